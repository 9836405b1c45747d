"""Locate the images of a release, and decide whether they may be opened without being named.

A release may come from a stranger, and so may its record of where the images are. By default, Winnow opens only files
in the folder that the release came in. To open more, name it with --source or --images, or in the params.yaml of the
project that made the release.
"""

import posixpath
from dataclasses import replace
from pathlib import Path, PurePosixPath

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from winnow import urls
from winnow.errors import InputError
from winnow.images import dataset
from winnow.images.dataset import Dataset
from winnow.names import check_names
from winnow.releases import versions
from winnow.releases.manifest import Release
from winnow.terminal.say import one_line

NONE = (
    "holds no images (no index.parquet); name the folder that `prepare` wrote with --images, or get it with "
    "`dvc get REPOSITORY data/prepare/images`. --format ids needs no images"
)


class NotNamedError(InputError):
    """Images that nobody asked to open: their source lies outside the folder that the release came in."""


def find(release: Release, images: Path | None, source: str | None) -> Dataset | None:
    """The images of a release; None where none lie beside it.

    Args:
        release: the release.
        images: the folder that `prepare` wrote, as a person names it; None for prepare/images beside the release.
        source: where the source of the images lies, as a person names it; None for where the folder says.

    Raises:
        NotNamedError: they lie outside the release's folder, and nobody named them.
        InputError: the folder that was named holds none, or what it holds cannot be read.
    """
    if source is not None:
        _check_option(source)
    if images is not None:
        return _checked(_load(images, source))
    if not release.images.is_dir():
        return None
    tree = release.folder.absolute().parent.resolve()
    is_ours = _is_ours(release)
    if not is_ours and (outside := _outside(release.images, tree)):
        raise NotNamedError(f"{outside} leads out of {tree}; name the folder of the images with --images")
    data = _load(release.images, source)
    if source is not None or (is_ours and _names(data.source)):
        return data
    if _is_within(data, tree):
        return replace(data, follow_links=False)
    raise NotNamedError(
        f"their source, {one_line(data.source)}, lies outside {tree}, where the release came from; name it with "
        "--source"
    )


def _check_option(source: str) -> None:
    try:
        urls.check(source)
    except InputError as error:
        raise InputError(f"--source: {error}") from error


def _load(folder: Path, source: str | None) -> Dataset:
    if not (folder / "index.parquet").is_file():
        raise InputError(f"{folder} {NONE}")
    data = dataset.load(folder, source)
    check_names(data.index["id"], str(folder / "index.parquet"))
    return data


def _checked(data: Dataset) -> Dataset:
    """Refuse a source that may not be opened, whoever names it."""
    try:
        urls.check(data.source)
    except InputError as error:
        raise InputError(f"{data.folder / 'source.json'}: {error}; name another place with --source") from error
    return data


def _outside(folder: Path, tree: Path) -> Path | None:
    """What leads out of a folder, itself or a link in it."""
    return next((path for path in (folder, *folder.rglob("*")) if not path.resolve().is_relative_to(tree)), None)


def _is_within(data: Dataset, tree: Path) -> bool:
    """Whether every image lies in the folder that the release came in."""
    if data.index["copied"].all():
        return True
    try:
        return urls.local(data.source).resolve().is_relative_to(tree)
    except InputError:  # at a URL
        return False


def _is_ours(release: Release) -> bool:
    """Whether this is the release of the project in the working directory."""
    return release.folder.resolve() == Path(versions.PLACE).resolve()


def _names(source: str) -> bool:
    """Whether the params.yaml of the working directory names a source: the folder itself, or files in it."""
    try:
        named = YAML(typ="safe").load(Path("params.yaml"))["prepare"]["source"]
    except (OSError, YAMLError, TypeError, KeyError):
        return False
    base, name = posixpath.split(str(named).rstrip("/"))
    is_file = "*" in name or PurePosixPath(name).suffix
    return source in ((base or ".", str(named)) if is_file else (str(named).rstrip("/") or "/",))
