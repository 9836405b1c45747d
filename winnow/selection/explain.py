"""Explain why each sample was dropped, and measure a subset by alignment, coverage and balance."""

import numpy as np
import pandas as pd
import torch

from winnow.checking import sampling
from winnow.features import Features
from winnow.selection import coverage, reasons
from winnow.selection.reasons import DAMAGED, OVER_BUDGET, REASONS, REDUNDANT, SUSPECTED, TWIN, UNCERTAIN


def explain(
    table: pd.DataFrame, data: Features, doubted: np.ndarray, device: str, twin: np.ndarray | None = None
) -> pd.DataFrame:
    """Add `similarity`, `reason` and `evidence` to a table in which `selected` says what was kept.

    `similarity` is the cosine to the most similar sample of the same label that was kept (NaN where the class kept
    none). What was dropped has one reason: damaged; a suspected label, with the class that the image looks like; a near
    duplicate, with the id of the image that it repeats; uncertain, where it was cut to keep fewer wrong labels than
    asked for; redundant, with the id of that most similar sample; or over budget, where the class kept none.

    Args:
        table: columns label, predicted, damaged, selected, and stratum where there are answers; a row a sample.
        data: the features, in the same order.
        doubted: (N,) bool, labels more likely wrong than right.
        device: where to compute.
        twin: (N,) row of the image of which each was to be dropped as a near duplicate, or -1.
    """
    selected = table["selected"].to_numpy()
    twin = np.full(len(table), -1) if twin is None else twin
    near, similarity = np.full(len(table), -1), np.full(len(table), np.nan, np.float32)
    for rows in data.by_class():
        if selected[rows].any():
            members = rows[np.argsort(data.ids[rows])]  # among doubles, the lower id is the evidence
            x = torch.from_numpy(data.rows(members)).to(device)
            row, similarity[members] = coverage.nearest(x, np.flatnonzero(selected[members]))
            near[members] = members[row]
    cut = (table["stratum"] < sampling.DROPPED).to_numpy() if "stratum" in table else np.zeros(len(table), dtype=bool)
    cases = [selected, table["damaged"].to_numpy(), doubted, twin >= 0, cut, near >= 0]
    reason = np.select(cases, ["", DAMAGED, SUSPECTED, TWIN, UNCERTAIN, REDUNDANT], OVER_BUDGET)
    looks_like = np.array(data.classes)[table["predicted"]]
    cases = [reason == SUSPECTED, reason == TWIN, reason == REDUNDANT]
    evidence = np.select(cases, [looks_like, data.ids[twin], data.ids[near]], "")
    return table.assign(similarity=similarity, reason=reason, evidence=evidence)


def summary(table: pd.DataFrame) -> dict[str, float | int]:
    """What was kept, in numbers.

    `alignment` is the mean over what is kept, `coverage` the mean similarity to it of the samples that look like their
    label, `balance` the share of the subset that lies in the same class as if it had been split as the pool is.
    """
    kept = table[table["selected"]]
    pool, counts = (np.bincount(part["label"], minlength=table["label"].max() + 1) for part in (table, kept))
    like = table.loc[table["predicted"] == table["label"], "similarity"]
    counted = table["reason"].value_counts()
    return {
        "pool": len(table),
        "kept": len(kept),
        **{reasons.key(reason): int(counted.get(reason, 0)) for reason in REASONS},
        **({reasons.key(UNCERTAIN): int(counted[UNCERTAIN])} if UNCERTAIN in counted else {}),
        "smallest_class_kept": int(counts.min()),
        "largest_class_kept": int(counts.max()),
        "alignment": float(kept["alignment"].mean()),
        "alignment_pool": float(table["alignment"].mean()),
        "coverage": float(like.fillna(0).mean()) if len(like) else 0.0,
        "balance": 1 - float(np.abs(counts / counts.sum() - pool / pool.sum()).sum()) / 2,
        "diversity": float(kept["sds"].mean()),
        "diversity_pool": float(table["sds"].mean()),
    }
