"""Checked features, from a folder or from memory: what adaptation, scoring and selection read.

    image.npy     (N, d)  image features, one row per sample
    text.npy      (C, d)  text features, one row per class (optional: without it, class means stand for the classes)
    labels.npy    (N,)    index of each sample's class in classes.json
    classes.json          the C class names
    ids.txt               N sample ids, one per line (optional: without it, a sample's id is its row number)
    encoder-2/            such a folder of a second encoder, of the same samples in the same order (optional; and so on)

`winnow select` reads such a folder, and the embed stage writes one. Features in memory pass the same checks
(`winnow.arrays`), with the arguments of the call named in place of the files.
"""

import logging
import os
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from winnow.errors import InputError
from winnow.files.hashes import sha256
from winnow.files.json_files import read_json, write_json
from winnow.files.memory_maps import forget, new_rows
from winnow.files.outputs import whole_file
from winnow.files.streams import is_stream
from winnow.names import check_classes, check_names, lines, quoted

PARTS = "image.npy, labels.npy, classes.json and, if the encoder reads text, text.npy"
LONGEST = 300  # characters of a library's words that a message repeats
TINY = 1e-12  # the least length of a mean that is divided by it
CHUNK = 8192  # rows read at a time, so that a file larger than memory can be checked

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Names:
    """What the parts of some features are called where they come from: arguments of a call, or files of a folder.

    `row` says where an id stands, given its row.
    """

    image: str = "image"
    text: str = "text"
    labels: str = "labels"
    classes: str = "classes"
    ids: str = "ids"
    row: str = "row"
    first: int = 0

    @classmethod
    def of_files(cls, folder: Path) -> "Names":
        """Name the parts by the files of a folder, and the ids by their lines."""
        image, text, labels = (str(folder / f"{part}.npy") for part in ("image", "text", "labels"))
        return cls(image, text, labels, str(folder / "classes.json"), str(folder / "ids.txt"), "line", 1)


@dataclass(frozen=True)
class Features:
    """Image features with labels, and text features if there are any.

    `image` may be a memory map and is never held twice.

    Attributes:
        image: (N, d) floating point.
        text: (C, d) floating point; None: the encoder reads no text.
        labels: (N,) int64 in [0, C).
        classes: C names.
        ids: (N,) unique strings.
        others: image features (N, d') of further encoders, each with text features (C, d') or None.
    """

    image: np.ndarray
    text: np.ndarray | None
    labels: np.ndarray
    classes: list[str]
    ids: np.ndarray
    others: "tuple[tuple[np.ndarray, np.ndarray | None], ...]" = ()

    @property
    def encoders(self) -> int:
        """How many encoders the features are of."""
        return 1 + len(self.others)

    def view(self, encoder: int) -> "Features":
        """The features of one encoder, counted from 0."""
        image, text = ((self.image, self.text), *self.others)[encoder]
        return replace(self, image=image, text=text, others=())

    @property
    def images(self) -> list[np.ndarray]:
        """Image features (N, d) of each encoder."""
        return [self.image, *(image for image, _ in self.others)]

    @property
    def joined(self) -> "np.ndarray | SideBySide":
        """(N, d) image features of one encoder, or of all side by side."""
        return SideBySide(self.images) if self.others else self.image

    @property
    def counts(self) -> np.ndarray:
        """(C,) samples in each class."""
        return np.bincount(self.labels, minlength=len(self.classes))

    @property
    def digest(self) -> str:
        """SHA-256 of the ids and labels: which data set this is."""
        return digest(self.ids, self.labels)

    def by_class(self) -> list[np.ndarray]:
        """C arrays: the rows of each class."""
        return np.split(np.argsort(self.labels, kind="stable"), self.counts.cumsum()[:-1])

    def rows(self, members: np.ndarray) -> np.ndarray:
        """(n, d) float32 unit image features of the samples `members`."""
        return unit(self.image[members])

    @cached_property
    def sums(self) -> np.ndarray:
        """(C, d) float32: the sum of each class's unit image features."""
        return np.stack([self.rows(members).sum(0, dtype=np.float64) for members in self.by_class()]).astype(np.float32)

    @property
    def anchors(self) -> np.ndarray:
        """(C, d) float32 unit rows that stand for the classes: text features, or class means where there are none."""
        if self.text is not None:
            return unit(self.text)
        return self.sums / np.linalg.norm(self.sums, axis=1, keepdims=True).clip(TINY)


@dataclass(frozen=True)
class SideBySide:
    """Unit features of several encoders side by side, made on demand."""

    images: list[np.ndarray]

    def __len__(self) -> int:
        """N."""
        return len(self.images[0])

    def __getitem__(self, part: slice) -> np.ndarray:
        """(n, d) float32, d that of all together."""
        return np.concatenate([unit(image[part]) for image in self.images], axis=1)


def unit(features: np.ndarray) -> np.ndarray:
    """Scale each row of (n, d) features to length one, in float32."""
    rows = features.astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def digest(ids: np.ndarray, labels: np.ndarray) -> str:
    """SHA-256 of ids and labels, the same in whatever order the samples come."""
    order = np.argsort(ids)
    return sha256("\n".join(f"{i}\t{c}" for i, c in zip(ids[order], labels[order], strict=True)))


def load(folder: str | Path) -> Features:
    """Read and check a folder of features; the image features stay on the disk, as a memory map.

    Args:
        folder: holds image.npy (N, d), labels.npy (N,), classes.json, and perhaps text.npy (C, d) and ids.txt.

    Raises:
        InputError: a file is missing or unreadable, or its content does not fit the others.
    """
    folder = Path(folder)
    image, text, labels = read_array(folder, "image"), read_text(folder), read_array(folder, "labels")
    classes, ids = read_classes(folder), read_ids(folder)
    found = checked(image, text, labels, classes, ids, Names.of_files(folder))
    return replace(found, others=tuple(_other(place, found) for place in folders(folder)[1:]))


def folders(folder: Path) -> list[Path]:
    """The feature folders of each encoder: the folder itself, and in it encoder-2, encoder-3 and so on."""
    found = [folder]
    while (place := folder / f"encoder-{len(found) + 1}").is_dir():
        found.append(place)
    return found


def _other(folder: Path, first: Features) -> tuple[np.ndarray, np.ndarray | None]:
    """Image and text features of another encoder, of the same samples."""
    own = load(folder)
    if not (np.array_equal(own.ids, first.ids) and np.array_equal(own.labels, first.labels)):
        raise InputError(f"{folder} holds features of other samples than {folder.parent}, or in another order")
    if own.classes != first.classes:
        raise InputError(f"{folder / 'classes.json'} names other classes than {folder.parent / 'classes.json'}")
    return own.image, own.text


def checked(
    image: np.ndarray,
    text: np.ndarray | None,
    labels: np.ndarray,
    classes: list[str],
    ids: list[str] | None,
    names: Names,
) -> Features:
    """Features whose parts fit each other.

    Args:
        image: (N, d).
        text: (C, d), or None.
        labels: (N,) indices of classes.
        classes: C names.
        ids: N names; None: row numbers.
        names: of these parts in messages.

    Raises:
        InputError: they do not; with the part at fault, and the row or class.
    """
    check_classes(classes, names.classes)
    known = np.array([f"{row:08d}" for row in range(len(image))] if ids is None else _unique(ids, len(image), names))
    _check_shapes(image, text, labels, classes, names)
    _check_labels(labels, classes, names, f"{names.classes} and {names.text}" if text is not None else names.classes)
    if text is not None:
        _check_rows(names.text, text, [f"class {quoted(name)}" for name in classes])
    _check_rows(names.image, image, known)
    return Features(image, text, labels.astype(np.int64), classes, known)


def held_out(folder: Path, data: Features) -> Features:
    """The held-out images whose features the stage embed left in a folder, beside those to choose from; perhaps none.

    Args:
        folder: holds test.npy (n, d), test_labels.npy (n,) and test_ids.txt, if any image is held out.
        data: what `load` gives of it.
    """
    places = folders(folder)
    if not all((place / "test.npy").exists() for place in places):
        others = tuple((image[:0], text) for image, text in data.others)
        return replace(data, image=data.image[:0], labels=data.labels[:0], ids=data.ids[:0], others=others)
    names = np.array(lines((folder / "test_ids.txt").read_bytes()))
    image, *more = (np.load(place / "test.npy", mmap_mode="r") for place in places)
    others = tuple((rows, text) for rows, (_, text) in zip(more, data.others, strict=True))
    labels = np.load(folder / "test_labels.npy").astype(np.int64)
    return replace(data, image=image, labels=labels, ids=names, others=others)


def save(folder: Path, features: Features) -> None:
    """Write a feature folder; features as float16 unit rows."""
    write_rows(folder / "image.npy", features.image)
    if features.text is not None:
        write_rows(folder / "text.npy", features.text)
    write_names(folder, features.labels, features.classes, features.ids)
    for encoder in range(1, features.encoders):
        place = folder / f"encoder-{encoder + 1}"
        place.mkdir()
        save(place, features.view(encoder))


def write_rows(path: Path, rows: np.ndarray, places: np.ndarray | None = None) -> None:
    """Write rows (n, d), or those at some `places`, as float16 unit rows; a chunk at a time is in memory."""
    count = len(rows) if places is None else len(places)
    with whole_file(path) as partial:  # `rows` may be a map of what lies there
        out = new_rows(partial, (count, rows.shape[1]))
        for start in range(0, count, CHUNK):
            part = slice(start, min(start + CHUNK, count))
            out[part] = unit(rows[part if places is None else places[part]])
            forget(out)
            forget(rows)
        out.flush()


def write_names(folder: Path, labels: np.ndarray, classes: list[str], ids: Iterable[str]) -> None:
    """Write the rest of a feature folder: labels, class names and ids."""
    np.save(folder / "labels.npy", labels)
    write_json(folder / "classes.json", classes)
    write_ids(folder / "ids.txt", ids)


def write_ids(path: Path, ids: Iterable[str]) -> None:
    """Write ids, one a line."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f"{i}\n" for i in ids)


def check_folder(folder: Path) -> None:
    """Refuse a place that is no folder.

    Raises:
        InputError: it is none.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; a feature folder holds {PARTS}")


def read_array(folder: Path, part: str) -> np.ndarray:
    """The array of a part of a feature folder, as a memory map.

    Raises:
        InputError: there is none that can be read.
    """
    check_folder(folder)
    path = folder / f"{part}.npy"
    if not path.is_file():
        raise InputError(f"{path} is missing; a feature folder holds {PARTS}")
    try:
        with np.errstate(all="ignore"):
            array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # whatever numpy makes of a header that lies
        why = textwrap.shorten(str(error), LONGEST, placeholder=" ...")
        raise InputError(f"{path} is not a NumPy array file ({why}); write it with numpy.save") from error
    if not isinstance(array, np.ndarray) or array.ndim == 0:
        raise InputError(f"{path} is an archive or a single number; write one array with numpy.save")
    return array


def read_text(folder: Path) -> np.ndarray | None:
    """The text features of a feature folder, None where it has no text.npy.

    Raises:
        InputError: it cannot be read.
    """
    return read_array(folder, "text") if os.path.lexists(folder / "text.npy") else None


def read_classes(folder: Path) -> list[str]:
    """The class names of a feature folder.

    Raises:
        InputError: there is no list of names.
    """
    path = folder / "classes.json"
    if not path.is_file():
        raise InputError(f"{path} is missing; it is the JSON list of class names, which labels are indices into")
    names = read_json(path)
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise InputError(f"{path} must be a JSON list of class names")
    return names


def read_ids(folder: Path) -> list[str] | None:
    """The ids of a feature folder, None where it has no ids.txt.

    Raises:
        InputError: it cannot be read.
    """
    path = folder / "ids.txt"
    if not os.path.lexists(path):  # a link that leads nowhere is no list left out
        return None
    if is_stream(path):
        raise InputError(f"{path} cannot be read: it is a pipe or a device")
    try:
        return lines(path.read_bytes())
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as text in UTF-8 ({error})") from error


def _unique(ids: list[str], n: int, names: Names) -> list[str]:
    """Refuse ids that are not one for each of `n` rows, that are blank, or that stand twice."""
    if len(ids) != n:
        raise InputError(f"{names.ids} has {len(ids)} ids for {n} rows of {names.image}; each row needs one")
    check_names(ids, names.ids)
    known: dict[str, int] = {}
    for place, name in enumerate(ids, start=names.first):
        if not name.strip():
            raise InputError(f"{names.ids}: {names.row} {place} is blank; it needs the id of that row")
        if (first := known.setdefault(name, place)) != place:
            raise InputError(
                f"{names.ids}: the id {quoted(name)} occurs twice ({names.row}s {first} and {place}); each must be "
                "unique"
            )
    return ids


def _check_shapes(
    image: np.ndarray, text: np.ndarray | None, labels: np.ndarray, classes: list[str], names: Names
) -> None:
    _check_matrix(names.image, image, "sample")
    if text is not None:
        _check_matrix(names.text, text, "class")
        _check_text(image, text, classes, names)
    if labels.ndim != 1 or len(labels) != len(image):
        raise InputError(f"{names.labels} has shape {labels.shape} for {len(image)} rows of {names.image}")


def _check_matrix(name: str, features: np.ndarray, row: str) -> None:
    if features.ndim != 2 or features.dtype.kind != "f" or not features.size:
        raise InputError(
            f"{name} is {features.dtype} of shape {features.shape}; it must be floating point, with a row for each "
            f"{row} and a column for each dimension"
        )


def _check_text(image: np.ndarray, text: np.ndarray, classes: list[str], names: Names) -> None:
    if image.shape[1] != text.shape[1]:
        raise InputError(
            f"{names.image} has {image.shape[1]} dimensions and {names.text} {text.shape[1]}; both must come from the "
            "same encoder"
        )
    if len(text) != len(classes):
        short = (
            f"; text features are missing from class {quoted(classes[len(text)])} on"
            if len(text) < len(classes)
            else ""
        )
        raise InputError(f"{names.text} has {len(text)} rows, and {names.classes} {len(classes)} names{short}")


def _check_labels(labels: np.ndarray, classes: list[str], names: Names, parts: str) -> None:
    if labels.dtype.kind not in "iu":
        gaps = np.flatnonzero(np.isnan(labels)) if labels.dtype.kind == "f" else np.empty(0)
        where = f": row {gaps[0]} has no label" if gaps.size else f" holds {labels.dtype}"
        raise InputError(
            f"{names.labels}{where}; labels are whole numbers, each the index of a class in {names.classes}"
        )
    outside = np.flatnonzero((labels < 0) | (labels >= len(classes)))
    if outside.size:
        row = outside[0]
        raise InputError(f"{names.labels}: row {row} has label {labels[row]}, outside the {len(classes)} classes")
    counts = np.bincount(labels.astype(np.int64), minlength=len(classes))
    if (counts == 0).any():
        without = [classes[c] for c in np.flatnonzero(counts == 0)[:5]]
        raise InputError(
            f"{names.labels}: {np.count_nonzero(counts == 0)} class(es) have no image "
            f"({', '.join(map(quoted, without))}); drop them from {parts}, or add images"
        )
    single = [quoted(classes[c]) for c in np.flatnonzero(counts == 1)]
    if single:
        log.warning(
            "%d class(es) have a single image, which has no neighbour to be judged by and is kept wherever "
            "the budget allows: %s",
            len(single),
            ", ".join(single[:5]),
        )


def _check_rows(place: str, features: np.ndarray, names: np.ndarray | list[str]) -> None:
    for start in range(0, len(features), CHUNK):
        with np.errstate(over="ignore"):  # what is too large for float32 is infinite, and refused below
            rows = features[start : start + CHUNK].astype(np.float32)
        lengths = np.einsum("nd,nd->n", rows, rows)
        bad = np.flatnonzero(~np.isfinite(lengths) | (lengths == 0))
        if bad.size:
            row = start + bad[0]
            raise InputError(
                f"{place}: row {row} ({names[row]}) {_fault(features[row])}; embed it again, or leave it out"
            )


def _fault(row: np.ndarray) -> str:
    if not np.isfinite(row).all():
        return "has a NaN or infinite value"
    if not row.any():
        return "is all zeros"
    return f"has values too {'large' if np.abs(row).max() > 1 else 'small'} for float32"
