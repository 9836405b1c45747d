"""Convert what a caller has in memory to NumPy arrays: NumPy, torch, pandas, or lists of any of them.

What cannot be such an array is refused with the name of the argument and, where one is at fault, the row.
"""

import difflib
import os
import sys
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
from numpy.typing import ArrayLike

from winnow import features
from winnow.errors import ArgumentError, InputError
from winnow.features import Features, Names
from winnow.names import quoted

if TYPE_CHECKING:
    import pandas as pd
    import torch

Rows: TypeAlias = "ArrayLike | torch.Tensor | pd.Series | pd.DataFrame"
Source: TypeAlias = "Rows | str | os.PathLike[str] | Features"


def gathered(
    image: "Source | Sequence[Source]",
    labels: "Rows | None" = None,
    text: "Rows | Sequence[Rows | None] | None" = None,
    *,
    classes: Sequence[str] | None = None,
    ids: "Rows | None" = None,
) -> Features:
    """Features of what a caller has: arrays, or a folder or `Features` of which single parts are replaced.

    A list of these is an item for each encoder.

    Raises:
        InputError: they are none, with the argument, row or class at fault.
    """
    if not _is_several(image):
        return _of_one(cast("Source", image), labels, cast("Rows | None", text), classes, ids)
    items = list(cast("Sequence[Source]", image))
    said: list[Any] = [None] * len(items) if text is None else list(cast("Sequence[Any]", text))
    if len(said) != len(items) or (text is not None and not isinstance(text, list | tuple)):
        raise ArgumentError("text", f"must be a list with an item, or None, for each of the {len(items)} encoders")
    first = _of_one(items[0], labels, said[0], classes, ids)
    more = [_of_another(one, words, first, v) for v, (one, words) in enumerate(zip(items, said, strict=True)) if v]
    return replace(first, others=(*first.others, *more))


def _is_several(image: Any) -> bool:
    """Whether it is a list of what holds a row a sample, and not such a list itself."""
    return isinstance(image, list | tuple) and len(image) > 0 and all(map(_is_source, image))


def _is_source(value: Any) -> bool:
    return isinstance(value, str | os.PathLike | Features) or getattr(value, "ndim", 0) == 2


def _of_another(image: Any, text: Any, first: Features, encoder: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Image and text features of another encoder, once they are known to fit the samples and classes of the first."""
    known, names = None, Names(f"image[{encoder}]", f"text[{encoder}]")
    if isinstance(image, str | os.PathLike):
        folder = Path(image)
        known, text = features.read_ids(folder), features.read_text(folder) if text is None else text
        image = features.read_array(folder, "image")
    elif isinstance(image, Features):
        known, text, image = image.ids.tolist(), image.text if text is None else text, image.image
    if known is not None and known != first.ids.tolist():
        raise InputError(f"{names.image} has other ids than image[0], or in another order")
    array, prompts = rows(image, names.image), None if text is None else rows(text, names.text)
    if len(array) != len(first.ids):
        raise InputError(f"{names.image} has {len(array)} rows, and image[0] {len(first.ids)}; both need every sample")
    found = features.checked(array, prompts, first.labels, first.classes, first.ids.tolist(), names)
    return found.image, found.text


def _of_one(
    image: "Source",
    labels: "Rows | None",
    text: "Rows | None",
    classes: Sequence[str] | None,
    ids: "Rows | None",
) -> Features:
    """Features of one argument, which may be a folder or `Features` of several encoders."""
    others: Sequence[tuple[Any, Any]] = ()
    named, names = (None if classes is None else class_names(classes)), Names()
    if isinstance(image, str | os.PathLike):
        folder = Path(image)
        if all(part is None for part in (labels, text, classes, ids)):
            return features.load(folder)
        image, files = features.read_array(folder, "image"), Names.of_files(folder)
        names = Names(
            files.image,
            files.text if text is None else names.text,
            files.labels if labels is None else names.labels,
            files.classes if classes is None else names.classes,
            *((files.ids, files.row, files.first) if ids is None else (names.ids, names.row, names.first)),
        )
        labels = features.read_array(folder, "labels") if labels is None else labels
        text = features.read_text(folder) if text is None else text
        named = features.read_classes(folder) if named is None else named
        known = features.read_ids(folder) if ids is None else texts(ids, "ids")
        others = [(features.read_array(p, "image"), features.read_text(p)) for p in features.folders(folder)[1:]]
    elif isinstance(image, Features):
        have = image
        image, others = have.image, have.others
        labels = have.labels if labels is None else labels
        text = have.text if text is None else text
        named = have.classes if named is None else named
        known = texts(have.ids if ids is None else ids, "ids")
    else:
        known = None if ids is None else texts(ids, "ids")
    if labels is None:
        raise ArgumentError("labels", "is missing: it holds the class of each row of image, as an index or a name")
    prompts = None if text is None else rows(text, names.text)
    found, named = indices(labels, named, names.labels)
    if named is None:
        named = [str(c) for c in range(_classes(found, prompts))]
    first = features.checked(rows(image, names.image), prompts, found, named, known, names)
    return replace(first, others=tuple(_of_another(*one, first, v) for v, one in enumerate(others, start=1)))


def _classes(labels: np.ndarray, text: np.ndarray | None) -> int:
    """How many classes there are where none is named: a row of text each, or as many as the greatest label needs."""
    if text is not None:
        return len(text)
    return min(int(labels.max()) + 1, len(labels)) if labels.size and labels.dtype.kind in "iu" else 1


def rows(value: Any, name: str) -> np.ndarray:
    """An array (n, d) of what holds a row a sample; a memory map stays one.

    Raises:
        InputError: its rows differ in length, or it is no array.
    """
    array = _array(value, name)
    if array.dtype == object and (pandas := sys.modules.get("pandas")) and isinstance(value, pandas.DataFrame):
        for column, kind in value.dtypes.items():
            if kind.kind not in "fiub":
                raise InputError(f"{name}: column {column!r} holds {kind}; give only the columns of numbers")
    if array.dtype == object and array.ndim == 1:
        array = _stacked([_array(row, f"{name}: row {i}") for i, row in enumerate(array)], name)
    if array.ndim == 0 or array.dtype.kind not in "fiub":
        raise InputError(f"{name} holds {_kind(array)}; it must hold numbers, a row for each sample or class")
    return array


def _stacked(parts: list[np.ndarray], name: str) -> np.ndarray:
    for i, row in enumerate(parts):
        if row.ndim != 1:
            raise InputError(f"{name}: row {i} is not a list of numbers, but {_kind(row)} of shape {row.shape}")
        if row.shape != parts[0].shape:
            raise InputError(f"{name}: row {i} has {len(row)} numbers, and row 0 has {len(parts[0])}")
    return np.stack(parts) if parts else np.empty((0, 0))


def indices(labels: Any, classes: list[str] | None, name: str) -> tuple[np.ndarray, list[str] | None]:
    """(n,) indices of classes, and the classes where labels are names.

    Names are looked up in `classes`; without these, the classes are the categories of pandas, or the sorted names.

    Raises:
        InputError: a label is missing, or none of the classes.
    """
    categories = getattr(getattr(labels, "dtype", None), "categories", None)
    if categories is None:
        categories = getattr(labels, "categories", None)
    if categories is not None:
        _refuse_missing(labels, name)
        if classes is not None and not len(categories.difference(range(len(classes)))):
            return np.asarray(labels, dtype=np.int64), classes
        codes = np.asarray(getattr(labels, "cat", labels).codes, dtype=np.int64)
        own = [str(category) for category in categories]
        return (codes, own) if classes is None else (_looked_up([own[c] for c in codes], classes, name), classes)
    if isinstance(labels, list | tuple) and any(label is None or isinstance(label, str | bytes) for label in labels):
        labels = np.array(labels, dtype=object)  # which else becomes text throughout, with NaN as a class
    array = _array(labels, name)
    if array.dtype.kind not in "OUT":
        return array, classes
    if array.ndim != 1:
        raise InputError(f"{name} has shape {array.shape}; it needs one label for each row")
    values = array.tolist()
    wrong = [isinstance(value, bool) or not isinstance(value, Integral) for value in values]
    if not any(wrong):
        return _whole(values, name), classes
    if any(isinstance(value, str) for value in values):
        wrong = [not isinstance(value, str) for value in values]
    for row, value in enumerate(values):
        if wrong[row]:
            raise InputError(f"{name}: row {row} is {value!r}; labels are the names of classes, or their indices")
    if classes is None:
        classes = sorted(set(values))
    return _looked_up(values, classes, name), classes


def _whole(values: list[int], name: str) -> np.ndarray:
    """(n,) int64 of whole numbers of any type."""
    limit = np.iinfo(np.int64).max
    for row, value in enumerate(values):
        if abs(value) > limit:
            raise InputError(f"{name}: row {row} is {value}; labels are the names of classes, or their indices")
    return np.array(values, dtype=np.int64)


def _looked_up(values: list[str], classes: list[str], name: str) -> np.ndarray:
    place = {known: c for c, known in enumerate(classes)}
    for row, value in enumerate(values):
        if value not in place:
            near = difflib.get_close_matches(value, classes, n=1)
            meant = f"; the nearest is {quoted(near[0])}" if near else ""
            raise InputError(
                f"{name}: row {row} is {quoted(value)}, which is none of the {len(classes)} classes{meant}"
            )
    return np.array([place[value] for value in values], dtype=np.int64)


def class_names(value: Any) -> list[str]:
    """Class names, in the order of the rows of text.

    Raises:
        ArgumentError: they are not a list of text.
    """
    listed = None if isinstance(value, str | bytes | Mapping | Set) else _listed(value)
    if not listed or not all(isinstance(name, str) for name in listed):
        raise ArgumentError("classes", "must be a list of class names, in the order of the rows of text")
    return listed


def texts(value: Any, name: str) -> list[str]:
    """Ids as text: whole numbers and paths are written out.

    Raises:
        InputError: one is neither.
    """
    _refuse_missing(value, name)
    listed = None if isinstance(value, str | bytes | Mapping | Set) else _listed(value)
    if listed is None:
        raise InputError(f"{name} must be a list of ids, one for each row of image")
    found = []
    for row, one in enumerate(listed):
        if isinstance(one, os.PathLike):
            one = Path(one).as_posix()  # noqa: PLW2901
        if isinstance(one, bool) or not isinstance(one, str | Integral):
            raise InputError(f"{name}: row {row} is {one!r}; an id is text or a whole number")
        found.append(str(one))
    return found


def _listed(value: Any) -> list[Any] | None:
    try:
        return list(value.tolist() if hasattr(value, "tolist") else value)
    except TypeError:
        return None


def _array(value: Any, name: str) -> np.ndarray:
    """An array of any shape, with what only NumPy or torch know made plain."""
    if isinstance(value, np.memmap):
        return value
    if hasattr(value, "todense"):
        raise InputError(f"{name} is sparse ({type(value).__name__}); give a dense array")
    if isinstance(value, Mapping | Set | str | bytes):
        raise InputError(f"{name} is {type(value).__name__}; it must be an array, a column of a table, or a list")
    if isinstance(value, np.ma.MaskedArray):
        value = np.ma.filled(value if value.dtype.kind == "f" else value.astype(object), np.nan)
    if (torch := sys.modules.get("torch")) is not None and isinstance(value, torch.Tensor):
        value = value.detach()
        if value.is_meta:
            raise InputError(f"{name} is a tensor on the device meta, which holds no numbers")
        value = (value.float() if value.dtype == torch.bfloat16 else value).cpu()
    _refuse_missing(value, name)
    if isinstance(value, list | tuple) and value and not isinstance(value[0], str | int | float):
        parts = [_array(row, f"{name}: row {i}") for i, row in enumerate(value)]
        return np.stack(parts) if all(part.ndim == 0 for part in parts) else _stacked(parts, name)
    try:
        return np.asarray(value)
    except Exception as error:  # whatever a library raises that cannot turn its object into an array
        raise InputError(f"{name} cannot be read as an array ({str(error).splitlines()[0]})") from error


def _refuse_missing(value: Any, name: str) -> None:
    """Refuse columns of pandas with gaps, which NumPy would fill with NaN or other objects."""
    pandas = sys.modules.get("pandas")
    if pandas is None or not isinstance(value, pandas.Series | pandas.Index | pandas.Categorical):
        return
    gaps = np.flatnonzero(value.isna())
    if len(gaps):
        raise InputError(f"{name}: row {gaps[0]} has no value ({len(gaps)} such rows)")


def _kind(array: np.ndarray) -> str:
    return "a single value" if array.ndim == 0 else "objects" if array.dtype == object else str(array.dtype)
