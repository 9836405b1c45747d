"""What all sources share: the `Source` type, split names, labels, and checks that name the row at fault."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
import pandas as pd

from winnow.errors import InputError
from winnow.images import storage
from winnow.names import check_classes, check_names, quoted

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
        follow_links: read what a link leads to outside `base`, too; of files that were named it is meant.
        notes: what was guessed, passed over or not used: a line each, with a count.
        kind: what a person calls such a source, such as "an image folder".
    """

    base: str
    classes: list[str]
    table: pd.DataFrame
    copy: Callable[[], Iterator[bytes]] | None = None
    notes: tuple[str, ...] = ()
    follow_links: bool = True
    kind: str = ""


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


def find_column(columns: Sequence[str], wanted: str) -> str | None:
    """The column of that name, else the only one that differs from it in case or blanks alone; None for none."""
    if wanted in columns:
        return wanted
    alike = [name for name in columns if name.strip().casefold() == wanted.strip().casefold()]
    return alike[0] if len(alike) == 1 else None


def check(name: str, source: Source) -> None:
    """What must hold for any source.

    Raises:
        InputError: an id occurs twice, a label has no class, a class has no image, or two names are the same to read.
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


def faults(where: str, bad: list[str], total: int, what: str = "rows") -> InputError:
    """One error for many bad rows: the first few, and how many there are."""
    more = f"\n  and {total - SHOWN} more" if total > SHOWN else ""
    return InputError(
        f"prepare.source: {where} has {total} bad {what}:" + "".join(f"\n  {b}" for b in bad[:SHOWN]) + more
    )
