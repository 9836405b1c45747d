"""Read an image folder: one folder per class, as torchvision's ImageFolder, with split folders above or below."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath

import numpy as np

from winnow.errors import InputError
from winnow.images import storage
from winnow.names import quoted
from winnow.sources import listing, splits, tabular
from winnow.sources.base import Source, listed

# Files that stand beside an image of the same name and say something of it.
SIDECARS = (
    ".txt",
    ".json",
    ".xml",
    ".caption",
    ".yaml",
    ".yml",
    ".csv",
    ".npz",
    ".npy",
    ".md5",
    ".aae",
    ".xmp",
    ".mat",
)

PACKED = (".gz", ".tgz", ".zip", ".bz2", ".xz", ".zst", ".7z", ".rar")

# Files that tell of a data set, wherever they lie in it.
ABOUT = re.compile(
    r"(readme|licen[cs]e|copying)([._-].*)?[.](txt|md|rst|html?|pdf)|readme|licen[cs]e|md5sums|sha\d+sums"
)

Classes = dict[str, list[str]]  # the files of each class


@dataclass(frozen=True)
class Folder:
    """A folder of a source: the files right in it, as paths below the source, and the folders in it."""

    path: str = ""
    files: list[str] = field(default_factory=list)
    folders: dict[str, "Folder"] = field(default_factory=dict)
    passed: set[str] = field(default_factory=set)  # names of folders in it that are no classes

    @property
    def name(self) -> str:
        """Its last part."""
        return PurePosixPath(self.path).name

    @cached_property
    def images(self) -> int:
        """How many files right in it have the suffix of an image."""
        return sum(map(is_image, self.files))

    @cached_property
    def every(self) -> list[str]:
        """All files below it, in the order of a listing."""
        found = self.files + [file for folder in self.folders.values() for file in folder.every]
        return sorted(found, key=lambda file: file.split("/"))

    @cached_property
    def splits(self) -> dict[str, "Folder"]:
        """The folders in it that are splits, and where their classes are.

        They hold folders of images, where a class that is called `train` holds images.
        """
        means = splits.among(self.folders)
        inner = {name: folder.unwrapped for name, folder in self.folders.items() if means[name]}
        return {
            name: folder
            for name, folder in inner.items()
            if folder.folders and folder.images <= len(folder.every) - len(folder.files)
        }

    @property
    def unwrapped(self) -> "Folder":
        """Of `train` the folder `train/train` or `train/images`, if it holds nothing else; else it itself."""
        only = next(iter(self.folders.values())) if len(self.folders) == 1 and not self.images else None
        if only and (only.name == self.name or only.name.lower() in splits.FILLERS):
            return only.unwrapped
        return self

    @property
    def is_about(self) -> bool:
        """Whether it holds no images but what is said of them, as `labels` and `annotations` do."""
        return bool(self.every) and all(file.lower().endswith(SIDECARS) for file in self.every)

    def classes(self) -> Classes:
        """The folders in it as classes."""
        return {name: folder.every for name, folder in self.folders.items()}


def is_image(file: str) -> bool:
    """Whether a file has the suffix of an image."""
    return file.lower().endswith(storage.IMAGE_SUFFIXES)


def open_image_folder(base: str, held_out: str | None, follow_links: bool = False) -> Source:
    """List the folder; an id is the path below it.

    Every file counts but hidden ones, those of operating systems and those beside an image of the same name: what turns
    out to be no image is set aside with its reason, not passed over.

    Raises:
        InputError: there are no folders, or a class is held out that is not among the training images.
    """
    hidden, passed, notes = Counter[str](), Counter[str](), list[str]()
    files, sidecars = _without_sidecars(list(listing.walk(base, hidden=hidden, follow_links=follow_links)))
    files, about = _without_about(files)
    whole = _tree(files)
    top = whole
    while below := _below(top):
        notes.append(f"the data set is taken to be in the folder {below.path}")
        top = below
    for name in [name for name, folder in top.folders.items() if folder.is_about]:
        passed[f"files of the folder {name}, which holds no images"] = len(top.folders.pop(name).every)
        top.passed.add(name)
    if not top.folders:
        raise _no_classes(base, whole, "has no folders")
    parts = _parts(base, top, held_out, notes, passed)
    roles: dict[str, splits.Role] = splits.roles(parts, held_out)
    classes = sorted({name for split, role in roles.items() if role == "train" for name in parts[split]})
    number = {name: label for label, name in enumerate(classes)}
    for split in roles:
        if new := sorted(set(parts[split]) - set(number)):
            raise InputError(
                f"prepare.source: {base}: the split {split} has the class {quoted(new[0])}, which is not among the "
                "training images"
            )
    if len(classes) == 1 and (tables := _tables(whole.files)):
        raise InputError(
            f"prepare.source: {base} has one folder of images, and the table {tables[0]}; name the table itself if it "
            f"holds their labels: {base}/{tables[0]}"
        )
    if len(classes) == 1:
        notes.append(f"all images to choose from are in the folder {classes[0]}, so there is one class")
    rows = [
        (file, number[name], role)
        for split, role in sorted(roles.items())
        for name, found in sorted(parts[split].items())
        for file in found
    ]
    pool = [found for split, found in parts.items() if roles.get(split) == "train"]
    if deep := sorted({name for found in pool for name, inner in found.items() if _folders(inner) > 1}):
        notes.append(f"the classes {splits.shown(deep)} hold several folders, whose images all count for the class")
    counts = {split: sum(map(len, found.values())) for split, found in parts.items()}
    beside = len(files) - len(rows) - sum(n for split, n in counts.items() if split not in roles) - passed.total()
    passed.update({"files beside the folders of classes": beside, "files beside an image of the same name": sidecars})
    passed["README, LICENSE and the like beside images"] = about
    passed += hidden
    notes += [f"{what}: {n} passed over" for what, n in passed.items()]
    if said := splits.note(counts, roles):
        notes.insert(0, said)
    ids = [file for file, *_ in rows]
    table = listed(ids, [label for _, label, _ in rows], [role for *_, role in rows], {"file": np.array(ids, object)})
    return Source(base, classes, table, None, tuple(notes))


def _without_sidecars(files: list[str]) -> tuple[list[str], int]:
    """The files without those that stand beside an image of the same name, and how many these are."""
    images = [file for file in files if is_image(file)]
    known = {*images, *(file.rpartition(".")[0] for file in images)}
    kept = [file for file in files if not file.lower().endswith(SIDECARS) or file.rpartition(".")[0] not in known]
    return kept, len(files) - len(kept)


def _without_about(files: list[str]) -> tuple[list[str], int]:
    """The files of folders without README and the like, where images lie beside, and how many these are."""
    images = {file.rpartition("/")[0] for file in files if is_image(file)}
    kept = [
        file
        for file in files
        if file.rpartition("/")[0] not in images or not ABOUT.fullmatch(file.rpartition("/")[2].casefold())
    ]
    return kept, len(files) - len(kept)


def _folders(files: list[str]) -> int:
    """How many folders files are right in."""
    return len({file.rpartition("/")[0] for file in files})


def _tree(files: Iterable[str]) -> Folder:
    top = Folder()
    for file in files:
        folder = top
        for part in file.split("/")[:-1]:
            if part not in folder.folders:
                folder.folders[part] = Folder(f"{folder.path}/{part}".lstrip("/"))
            folder = folder.folders[part]
        folder.files.append(file)
    return top


def _below(top: Folder) -> Folder | None:
    """The folder in `top` that holds the data set, if `top` does not itself.

    It is the only one with folders for splits, or the only one there is, and holds several.
    """
    folders = [folder for folder in top.folders.values() if not folder.is_about]
    if top.splits:
        return None
    ends = {folder.path: _follow(folder) for folder in folders}
    inner = [end for end in ends.values() if end.splits]
    if len(inner) == 1:
        return inner[0]
    if len(inner) > 1:
        raise InputError(
            f"prepare.source: the folders {splits.shown(folder.path for folder in inner)} hold splits of their own; "
            "name one of them"
        )
    only = next(iter(ends.values())) if len(ends) == 1 and not top.images else None
    return only if only and len(only.folders) > 1 and not only.images else None


def _follow(folder: Folder) -> Folder:
    """The folder, or the first below it that holds more than one folder."""
    while len(folder.folders) == 1 and not folder.images:
        inner = next(iter(folder.folders.values()))
        if folder.splits or not inner.folders:
            break
        folder = inner
    return folder


def _parts(base: str, top: Folder, held_out: str | None, notes: list[str], passed: Counter[str]) -> dict[str, Classes]:
    """The classes of each split."""
    folders, found, means = top.folders, top.splits, splits.among(top.folders)
    named = held_out in folders and bool(folders[str(held_out)].folders)
    if named or splits.TRAIN in {means[name] for name in found}:
        parts = {name: folder for name, folder in folders.items() if folder.folders and not means[name]} | found
        for name in sorted(set(folders) - set(parts)):
            passed[f"files of the folder {name}, which has no folders of classes"] = len(folders[name].every)
        return {name: _empty(base, folder) | folder.classes() for name, folder in parts.items()}
    beside = {name: folder.every for name, folder in folders.items() if name not in found}
    if found and (not beside or set(beside) & {name for folder in found.values() for name in folder.folders}):
        return ({splits.TRAIN: beside} if beside else {}) | {name: folder.classes() for name, folder in found.items()}
    if by_class := _by_class(folders):
        return by_class
    flat = [name for name, folder in folders.items() if means[name] and not folder.unwrapped.folders]
    if flat and (len(flat) == len(folders) or len({means[name] for name in flat}) > 1):
        raise _no_classes(base, top, f"has images right in {splits.shown(flat)}")
    notes += [f"the folder {name} holds images itself, so it is taken for a class" for name in flat]
    alike = Counter(tuple(sorted(folder.folders)) for folder in folders.values() if len(folder.folders) > 1)
    if (same := next((names for names, count in alike.items() if count > 1), None)) is not None:
        several = [name for name, folder in folders.items() if tuple(sorted(folder.folders)) == same]
        if splits.look_like(several):
            raise InputError(
                f"prepare.source: the folders {splits.shown(several)} of {base} hold the same folders "
                f"({splits.shown(same)}) and look like splits; call them train and test, or set prepare.held_out to "
                "the one to hold out"
            )
        notes.append(
            f"the folders {splits.shown(several)} hold the same folders ({splits.shown(same)}); each is taken for a "
            "class, and if they are splits prepare.held_out names one of them"
        )
    return {splits.TRAIN: _empty(base, top) | top.classes()}


def _by_class(folders: dict[str, Folder]) -> dict[str, Classes]:
    """The classes of each split where the folders of splits are in those of classes; empty if they are not."""
    held = [name for name, folder in folders.items() if _holds_splits(folder)]
    if not held:
        return {}
    if other := [name for name in folders if name not in held]:
        raise InputError(
            f"prepare.source: the folder {quoted(held[0])} holds folders of splits "
            f"({splits.shown(folders[held[0]].folders)}), and {quoted(other[0])} does not; all classes must, or none"
        )
    parts: dict[str, Classes] = {}
    for name, folder in folders.items():
        for split, inner in folder.folders.items():
            parts.setdefault(split, {})[name] = inner.every
    return parts


def _holds_splits(folder: Folder) -> bool:
    """Whether a class has all its images in folders of splits, one to choose from among them."""
    means = splits.among(folder.folders).values()
    return all(means) and splits.TRAIN in means and not folder.images


def _empty(base: str, folder: Folder) -> Classes:
    """Folders without a file, which a listing of files does not show."""
    seen = {*folder.folders, *folder.passed}
    return {name: [] for name in listing.folders(base, folder.path) if name not in seen}


def _tables(files: list[str]) -> list[str]:
    return [file for file in files if file.lower().endswith(tabular.SUFFIXES)]


def _no_classes(base: str, top: Folder, what: str) -> InputError:
    more = ""
    if found := _tables(top.every):
        more = f"; for the table of their labels set prepare.source to {base}/{found[0]}"
    elif found := [file for file in top.every if file.lower().endswith(PACKED)]:
        more = f"; unpack {found[0]} first"
    return InputError(f"prepare.source: {base} {what}; an image folder has one for each class{more}")
