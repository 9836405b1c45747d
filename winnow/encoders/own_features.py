"""Match your own features with the images, row by row, or say why that is impossible."""

from pathlib import Path

import numpy as np
import pandas as pd

from winnow.errors import InputError
from winnow.features import Features
from winnow.names import quoted


def match(index: pd.DataFrame, have: Features, folder: Path) -> np.ndarray:
    """(N,) row of `have` for each sample of the index, -1 where a held-out image has none."""
    pool = (index["split"] == "train").to_numpy()
    if (folder / "ids.txt").exists():
        rows = pd.Index(have.ids).get_indexer(index["id"])
        missing = index["id"][(rows < 0) & pool]
        if len(missing):
            raise InputError(
                f"{folder / 'ids.txt'} lacks {len(missing)} images of the pool, the first {quoted(missing.iloc[0])}"
            )
        return rows
    rows = np.full(len(index), -1)
    if len(have.ids) == len(index):
        return np.arange(len(index))
    if len(have.ids) == pool.sum():
        rows[pool] = np.arange(pool.sum())
        return rows
    raise InputError(
        f"{folder}: {len(have.ids)} rows of features for {pool.sum()} images to choose from ({len(index)} with those "
        "held out); embed the same images, or add ids.txt with the id of each row"
    )


def check_classes(classes: list[str], index: pd.DataFrame, have: Features, rows: np.ndarray, folder: Path) -> None:
    """Refuse features whose classes are others: unequal in number or, where names differ, in who belongs to them."""
    if len(have.classes) != len(classes):
        raise InputError(f"{folder}: {len(have.classes)} classes of features for {len(classes)} classes of images")
    known = index[rows >= 0].assign(theirs=have.labels[rows[rows >= 0]])
    agree = (known["label"] == known["theirs"]).groupby(known["label"]).mean()
    for c, (ours, theirs) in enumerate(zip(classes, have.classes, strict=True)):
        if ours != theirs and agree.get(c, 0) < 0.5:
            raise InputError(
                f"{folder / 'classes.json'}: class {c} is {quoted(theirs)}, of the images it is {quoted(ours)}"
            )
