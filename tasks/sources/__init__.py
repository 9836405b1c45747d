"""Where labelled images come from. Each kind of source has a module; all give the same (`base.Source`).

A source is listed first (cheap, no image is read), so that bad input is refused before the long work, and read after.
"""

import fnmatch
import posixpath
from os import PathLike, fspath

from tasks.errors import InputError
from tasks.images import storage
from tasks.names import lines
from tasks.sources import listing
from tasks.sources.base import Source, check, shown

__all__ = ["Source", "open_source"]

TABLES = (".csv", ".tsv")


def open_source(source: str | PathLike[str], *, label: str = "label", held_out: str | None = None) -> Source:
    """List what lies at `source`: a folder, a file, a pattern of files (`*`), a URL of those, or `torchvision:NAME`.

    Args:
        source: where.
        label: the column of labels, in tables and Parquet, and the key in a WebDataset's json.
        held_out: the split to hold out by name, or a text file (.txt) of the ids to hold out, one a line.

    Raises:
        InputError: nothing can be read there, a class has no image, an id stands twice, or a label has no class.
    """
    name = fspath(source).rstrip("/") or "/"
    by_file = held_out is not None and held_out.endswith(".txt")
    opened = _open(name, label, None if by_file else held_out)
    if by_file:
        _hold_out(opened, str(held_out))
    check(name, opened)
    return opened


def locate(source: str) -> tuple[str, list[str] | None]:
    """Split a source into the folder that files are relative to and the names of its files; None for all below it.

    Raises:
        InputError: nothing is there.
    """
    files, path = storage.connect(source)
    base, name = posixpath.split(source)
    base = base or "."
    if "*" in name:
        names = fnmatch.filter(listing.matching(base, ""), name) if files.exists(posixpath.dirname(path)) else []
        if not names:
            raise InputError(f"prepare.source: no file is like {source}")
        return base, names
    if files.isfile(path):
        return base, [name]
    if not files.exists(path):
        raise InputError(f"prepare.source: {source} does not exist")
    for suffix in (".parquet", ".tar"):
        if names := listing.matching(source, suffix):
            return source, names
    return source, None


def _open(source: str, label: str, held_out: str | None) -> Source:
    from tasks.sources import image_folder, parquet, table, torchvision, webdataset

    if source.startswith(torchvision.PREFIX):
        return torchvision.open_torchvision(source, held_out)
    base, names = locate(source)
    if names is None:
        return image_folder.open_image_folder(base, held_out)
    if all(name.endswith(".tar") for name in names):
        return webdataset.open_shards(base, names, label, held_out)
    if is_table(base, names):
        return table.open_table(base, names[0], label, held_out)
    if not all(name.endswith(".parquet") for name in names):
        raise InputError(
            f"prepare.source: {source} is neither an image folder nor Parquet (.parquet), tar shards (.tar) or a table "
            "(.csv, .tsv)"
        )
    return parquet.open_parquet(base, names, label, held_out)


def is_table(base: str, names: list[str]) -> bool:
    """Whether a file lists the paths of images, rather than to hold images."""
    from tasks.sources import table

    if len(names) != 1 or names[0].endswith(TABLES):
        return len(names) == 1
    files, root = storage.connect(base)
    if not names[0].endswith(".parquet"):
        return False
    schema = storage.open_parquet(files, f"{root}/{names[0]}").schema_arrow
    return storage.image_column(schema) is None and bool(set(table.PATHS) & set(schema.names))


def _hold_out(source: Source, path: str) -> None:
    """Hold out the images that a file names, one id a line, and no others."""
    files, where = storage.connect(path)
    try:
        listed = lines(files.cat_file(where))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"prepare.held_out: {path} cannot be read ({error})") from error
    wanted = set(filter(None, map(str.strip, listed)))
    chosen = source.table["id"].isin(wanted)
    if unknown := sorted(wanted - set(source.table["id"][chosen])):
        raise InputError(f"prepare.held_out: {path} names {len(unknown)} ids that the source lacks: {shown(unknown)}")
    source.table["split"] = chosen.map({True: "test", False: "train"})
