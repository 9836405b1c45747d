"""What every kind of source shares: its shape, the names of splits, labels as text, and checks that name the row."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
import pandas as pd

from tasks.errors import InputError
from tasks.images import storage
from tasks.names import check_classes, check_names, quoted

TEST_NAMES = ("test", "validation", "valid", "val")  # the first that is there is held out
SHOWN = 3  # faults shown; the others are counted


@dataclass(frozen=True)
class Source:
    """What a source holds.

    Attributes:
        base: the folder or URL that files are relative to, as the parameter gives it.
        classes: class names.
        table: id, label, split ("train" or "test"), and where the image lies (`images.storage`); a row an image.
        copy: gives the encoded images in the order of `table`, where they cannot be read one by one where they are;
            None where they can.
    """

    base: str
    classes: list[str]
    table: pd.DataFrame
    copy: Callable[[], Iterator[bytes]] | None = None


def listed(
    ids: Sequence[str],
    labels: Sequence[int] | np.ndarray,
    splits: Sequence[str],
    places: Mapping[str, object] | None = None,
) -> pd.DataFrame:
    """The table of a source: `places` holds its columns file, place and size."""
    check_ids(ids)
    where = {"file": "", "place": np.int64(0), "size": np.int64(storage.WHOLE), **(places or {})}
    return pd.DataFrame({"id": ids, "label": np.asarray(labels, np.int64), "split": splits} | where)


def check_ids(ids: Sequence[str]) -> None:
    """Refuse ids that no later step could use: they stand one a line in lists, and as paths in what is exported."""
    check_names(ids, "prepare.source")
    for name in ids:
        if ".." in name and ".." in PurePosixPath(name).parts:
            raise InputError(f"prepare.source: the name {quoted(name)} leads out of its folder (`..`); rename it")


def split_of(names: set[str], held_out: str | None) -> dict[str, str]:
    """Which parts are chosen from ("train") and which are held out ("test"); a part that is neither is left alone.

    Args:
        names: the names of all parts.
        held_out: the part to hold out; None takes `test` or one of its other names, where there is one.

    Raises:
        InputError: there is no part of that name.
    """
    if held_out is not None and held_out not in names:
        raise InputError(f"prepare.held_out: the source has no split {held_out!r}; it has {shown(sorted(names))}")
    test = held_out or next((name for name in TEST_NAMES if name in names), None)
    if "train" in names:
        return {"train": "train"} | ({test: "test"} if test else {})
    return {name: "test" if name == held_out else "train" for name in names}


def named_split(file: str) -> str:
    """The split that a file's name tells: `train-00000-of-00002.parquet` and `imagenet-train-000001.tar` say train."""
    words = PurePosixPath(file).stem.replace("_", "-").replace(".", "-").split("-")
    return next((word for word in words if word in ("train", *TEST_NAMES)), words[0])


def to_classes(labels: Sequence[str] | np.ndarray) -> tuple[list[str], np.ndarray]:
    """Class names, sorted, and each label as an index into them."""
    codes, names = pd.factorize(np.asarray(labels, dtype=object), sort=True)
    return [str(name) for name in names], codes.astype(np.int64)


def counted(labels: np.ndarray, where: str) -> list[str]:
    """Names for whole-number labels without any: "0", "1" and so on.

    Raises:
        InputError: a label is higher than there are images, so it is hardly a class.
    """
    if labels.max() >= len(labels):
        raise InputError(f"prepare.source: {where}: label {labels.max()} is higher than there are images")
    return [str(label) for label in range(int(labels.max()) + 1)]


def check(name: str, source: Source) -> None:
    """What must hold for any source.

    Raises:
        InputError: an id stands twice, a label has no class, a class has no image, or two names are the same to read.
    """
    table = source.table
    if table.empty:
        raise InputError(f"prepare.source: {name} has no images")
    if (twice := table["id"].duplicated()).any():
        raise InputError(
            f"prepare.source: {name} has the id {quoted(table['id'][twice].iloc[0])} twice; each must be unique"
        )
    outside = table[~table["label"].between(0, len(source.classes) - 1)]
    if len(outside):
        first, label = outside.iloc[0][["id", "label"]]
        raise InputError(
            f"prepare.source: {first} has label {label}, outside the {len(source.classes)} classes of {name}"
        )
    check_classes(source.classes, "prepare.source")
    counts = np.bincount(table.loc[table["split"] == "train", "label"], minlength=len(source.classes))
    if (counts == 0).any():
        missing = source.classes[counts.argmin()]
        raise InputError(
            f"prepare.source: class {quoted(missing)} of {name} has no image to choose from; add some or remove it"
        )


def faults(where: str, bad: list[str], total: int) -> InputError:
    """One error for many bad rows: the first few, and how many there are."""
    more = f"\n  and {total - SHOWN} more" if total > SHOWN else ""
    return InputError(
        f"prepare.source: {where} has {total} bad rows:" + "".join(f"\n  {b}" for b in bad[:SHOWN]) + more
    )


def shown(names: Sequence[object]) -> str:
    """The first names of many."""
    return ", ".join(map(str, names[:10])) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
