"""What is thought of held-out images, which are judged as those to choose from are (`selection.judge`).

    data/score/held_out.parquet      a row for each held-out image that has features, in the order of the index: id,
                                     label, class_name, alignment, predicted, damaged; and of, the image to choose from
                                     that it is nearly the same as, with cosine and same_class ("" where there is none)
    data/optimize/held_out.parquet   the same, and what came of it: reason (`suspected label`, `damaged` or nothing),
                                     evidence (the class that it looks like), and confirmed by a person

Nothing is dropped for it: what is measured on held-out images is measured on all of them, and also on those whose label
has no reason against it (`training.evaluate`).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from winnow.selection import reasons
from winnow.selection.reasons import DAMAGED, SUSPECTED

TABLE = "held_out.parquet"


def decide(table: pd.DataFrame, classes: list[str], doubted: np.ndarray, confirmed: np.ndarray) -> pd.DataFrame:
    """Say which held-out labels are suspected: adds `reason`, `evidence` and `confirmed`.

    Args:
        table: as `judge` leaves it.
        classes: C class names.
        doubted: (n,) bool, labels more likely wrong than right.
        confirmed: (n,) bool, those of which a person said to keep them: none of these is suspected.
    """
    reason = np.select([confirmed, table["damaged"].to_numpy(), doubted], ["", DAMAGED, SUSPECTED], "").astype(object)
    looks_like = np.array(classes, dtype=object)[table["predicted"]]
    evidence = np.where(reason == SUSPECTED, looks_like, "").astype(object)
    return table.assign(reason=reason, evidence=evidence, confirmed=confirmed)


def summary(table: pd.DataFrame) -> dict[str, int]:
    """How many held-out images were judged, are suspected or damaged, repeat one to choose from, and were confirmed."""
    counted = table["reason"].value_counts()
    found = {f"held_out_{reasons.key(reason)}": int(counted.get(reason, 0)) for reason in (SUSPECTED, DAMAGED)}
    more = {"held_out_near_duplicate": table["of"] != "", "held_out_confirmed": table["confirmed"]}
    return {"held_out": len(table)} | found | {name: int(rows.sum()) for name, rows in more.items()}


def stated(metrics: Mapping[str, Any]) -> str:
    """The counts of `summary` in words."""
    line = f"{metrics['held_out_suspected_label']:,} of {metrics['held_out']:,} held-out labels are suspected"
    more = (
        ("held_out_damaged", "look damaged"),
        ("held_out_near_duplicate", "are nearly the same as one to choose from"),
        ("held_out_confirmed", "were confirmed by a person"),
    )
    return line + "".join(f", {metrics[key]:,} {words}" for key, words in more if metrics[key])
