"""Open labelled images of any kind. Each kind of source has a module, and all return a `base.Source`.

A source is listed first, which is cheap and reads no image, so that bad input is refused before long work starts.
"""

import fnmatch
import posixpath
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from os import PathLike, fspath
from typing import NamedTuple

from winnow import text
from winnow.errors import InputError
from winnow.images import storage
from winnow.sources import listing
from winnow.sources.base import Source, check
from winnow.sources.splits import shown

__all__ = ["Source", "open_source"]

FEW = 10  # images beside nested Parquet files or shards, such as those of a README


def open_source(
    source: str | PathLike[str], *, label: str = "label", held_out: str | None = None, follow_links: bool = False
) -> Source:
    """List what lies at `source`: a folder, a file, a pattern of files (`*`), a URL of those, or `torchvision:NAME`.

    Args:
        source: where.
        label: the column of labels, in tables and Parquet, and the key in a WebDataset's json.
        held_out: the split to hold out by name, or a text file (.txt) of the ids to hold out, one a line.
        follow_links: read images that links lead to outside an image folder, or the folder of a table.

    Raises:
        InputError: nothing can be read there, a class has no image, an id occurs twice, or a label has no class.
    """
    name = fspath(source).rstrip("/") or "/"
    by_file = held_out is not None and held_out.lower().endswith(".txt")
    with readable(name):
        opened = _open(name, label, None if by_file else held_out, follow_links)
    if by_file:
        _hold_out(opened, str(held_out))
    check(name, opened)
    return opened


@contextmanager
def readable(source: str) -> Iterator[None]:
    """Name the source where its files cannot be listed: a folder that is closed, a link to itself, folders in folders.

    Raises:
        InputError: instead of the error of the file system.
    """
    try:
        yield
    except (OSError, RecursionError) as error:
        raise _unlisted(source, error) from error


def _unlisted(source: str, error: Exception) -> InputError:
    return InputError(f"prepare.source: {source} cannot be read ({error})")


class Located(NamedTuple):
    """The folder that files are relative to, the names of its files (None: all below it), and what was passed over."""

    base: str
    names: list[str] | None
    notes: list[str]


def locate(source: str, *, follow_links: bool = False) -> Located:
    """Split a source into a folder and the files in it.

    Raises:
        InputError: nothing is there.
    """
    files, path = storage.connect(source)
    try:
        files.exists(path)
    except (OSError, ValueError) as error:  # the file systems of hubs have errors of their own for what is no name
        raise _unlisted(source, error) from error
    base, name = posixpath.split(source)
    base = base or "."
    if "*" in name:
        names = fnmatch.filter(listing.matching(base, ""), name) if files.exists(posixpath.dirname(path)) else []
        if not names:
            raise InputError(f"prepare.source: no file matches {source}")
        return Located(base, names, [])
    if files.isfile(path):
        return Located(base, [name], [])
    if not files.exists(path):
        raise InputError(f"prepare.source: {source} does not exist")
    if storage.is_local(files) and not files.isdir(path):
        raise InputError(f"prepare.source: {source} cannot be read: it is a pipe or a device")
    return _in_folder(source, follow_links)


def _in_folder(source: str, follow_links: bool) -> Located:
    """The Parquet files or shards of a folder, else of the folders in it, else an image folder."""
    parquet, tars = (listing.matching(source, suffix) for suffix in (".parquet", ".tar"))
    folders = listing.folders(source) if parquet or tars else []
    if folders and parquet and not tars and not _holds_data(source, parquet):
        found = _nested(source, follow_links, without=parquet)
        beside = f"{len(parquet)} Parquet files beside the folders are passed over; they hold no images and no paths"
        return found._replace(notes=[beside, *found.notes])
    notes = [f"the folders {shown(folders)} beside the files are passed over"] if folders else []
    stems = {posixpath.splitext(name)[0] for name in parquet}
    if tars and parquet:
        if any(posixpath.splitext(name)[0] in stems for name in tars):  # as img2dataset writes them
            return Located(
                source, tars, [f"{len(parquet)} Parquet files beside the tar shards are passed over", *notes]
            )
        beside = f"{len(tars)} tar files beside the Parquet are passed over; the pattern *.tar reads them"
        return Located(source, parquet, [beside, *notes])
    if parquet or tars:
        return Located(source, parquet or tars, notes)
    return _nested(source, follow_links, without=())


def _holds_data(source: str, parquet: list[str]) -> bool:
    """Whether Parquet files hold images or their paths, by the first; img2dataset's tell where the images are."""
    from winnow.sources import table

    files, root = storage.connect(source)
    with storage.open_parquet(files, f"{root}/{parquet[0]}") as file:
        schema = file.schema_arrow
    return bool(storage.image_columns(schema)) or table.is_table(schema.names) or {"url", "status"} <= set(schema.names)


def _nested(source: str, follow_links: bool, without: Collection[str]) -> Located:
    """A folder whose Parquet files or shards lie in folders, as in a clone from the hub; else an image folder.

    The files `without` are not read.
    """
    found: dict[str, list[str]] = {".parquet": [], ".tar": []}
    images = 0
    for name in listing.walk(source, follow_links=follow_links):
        if name in without:
            continue
        suffix = posixpath.splitext(name)[1].lower()
        if suffix in found:
            found[suffix].append(name)
        images += suffix in storage.IMAGE_SUFFIXES
    names = found[".parquet"] or found[".tar"]
    if not names or images > FEW:
        return Located(source, None, [])
    folders = sorted({posixpath.dirname(name) for name in names})
    return Located(source, names, [f"{len(names)} files are read from {shown(folders)}"])


def _open(source: str, label: str, held_out: str | None, follow_links: bool) -> Source:
    from winnow.sources import image_folder, parquet, table, torchvision, webdataset

    if source.startswith(torchvision.PREFIX):
        return replace(torchvision.open_torchvision(source, held_out), kind="a data set of torchvision's")
    base, names, notes = locate(source, follow_links=follow_links)
    listed = names is None  # the files that hold images are named by what lies there, and not by a person
    if names is None:
        opened, kind = image_folder.open_image_folder(base, held_out, follow_links), "an image folder"
    elif all(name.lower().endswith(".tar") for name in names):
        opened, kind = webdataset.open_shards(base, names, label, held_out), "tar shards (WebDataset)"
    elif listed := is_table(base, names):
        opened, kind = table.open_table(base, names[0], label, held_out), "a table of paths and labels"
    elif all(name.lower().endswith(".parquet") for name in names):
        opened, kind = parquet.open_parquet(base, names, label, held_out), "Parquet files of images"
    else:
        raise InputError(f"prepare.source: {source} {_unread(names)}")
    if listed and not follow_links:
        listing.refuse_links(base, opened.table["file"])
    links = follow_links or not listed
    return replace(opened, notes=(*notes, *opened.notes), follow_links=links, kind=kind)


def _unread(names: list[str]) -> str:
    """Why files of other kinds are not read, and what to do."""
    from winnow.sources import image_folder, tabular

    if len(names) > 1 and all(name.lower().endswith(tabular.SUFFIXES) for name in names):
        return f"is {len(names)} tables ({shown(names)}); name one, whose column `split` says what is held out"
    if packed := next((name for name in names if name.lower().endswith(image_folder.PACKED)), None):
        return f"holds {packed}, which is compressed: gunzip shards of tar, and unpack an archive of folders"
    if sheet := next((name for name in names if name.lower().endswith((".xlsx", ".xls", ".ods"))), None):
        return f"is a spreadsheet, {sheet}; save it as CSV"
    return "is neither an image folder nor Parquet (.parquet), tar shards (.tar) or a table (.csv, .tsv, .jsonl)"


def is_table(base: str, names: list[str]) -> bool:
    """Whether a file lists the paths of images, rather than to hold images."""
    from winnow.sources import parquet, table, tabular

    if len(names) != 1 or names[0].lower().endswith(tabular.SUFFIXES):
        return len(names) == 1
    if not names[0].lower().endswith(".parquet"):
        return False
    files, root = storage.connect(base)
    with storage.open_parquet(files, f"{root}/{names[0]}") as file:
        schema = file.schema_arrow
    texts = [field.name for field in schema if parquet.is_text(field.type)]
    return storage.image_column(schema) is None and table.is_table(texts)


def _hold_out(source: Source, path: str) -> None:
    """Hold out the images that a file names, one id a line, and no others."""
    files, where = storage.connect(path)
    try:
        with storage.open_file(files, where) as file:
            wanted = set(text.lines(file.read(), f"prepare.held_out: {path}"))
    except OSError as error:
        raise InputError(f"prepare.held_out: {path} cannot be read ({error})") from error
    ids = set(source.table["id"])
    wanted = {text.as_listed(name, ids) for name in wanted if name in ids or not name.startswith("#")}
    chosen = source.table["id"].isin(wanted)
    if unknown := sorted(wanted - ids):
        raise InputError(f"prepare.held_out: {path} names {len(unknown)} ids that the source lacks: {shown(unknown)}")
    source.table["split"] = chosen.map({True: "test", False: "train"})
