"""Compare two releases: samples, labels, scores, classes, parameters, encoder and accuracies."""

from typing import Any

import numpy as np
import pandas as pd

from winnow.releases import manifest
from winnow.releases.manifest import Counts, Release
from winnow.selection.reasons import DAMAGED, OVER_BUDGET, REDUNDANT, SUSPECTED
from winnow.training.arms import ARMS

NEW, GONE = "new data", "no longer in the data"
NOW = {
    SUSPECTED: "newly suspected label",
    DAMAGED: "now looks damaged",
    REDUNDANT: "now redundant",
    OVER_BUDGET: "now over budget",
}
BEFORE = {
    SUSPECTED: "label no longer suspected",
    DAMAGED: "no longer looks damaged",
    REDUNDANT: "no longer redundant",
    OVER_BUDGET: "no longer over budget",
}


def compare(before: Release, after: Release) -> dict[str, Any]:
    """Everything in which two releases differ, ready for JSON.

    `added` and `dropped` hold the ids by reason; `score_drift` is over the samples that both pools have.
    """
    table = _joined(before, after)
    both = table[table["in_before"] & table["in_after"]]
    return {
        "before": _named(before),
        "after": _named(after),
        "samples": _samples(table),
        "relabelled": [
            {"id": row.id, "before": row.class_name_before, "after": row.class_name_after}
            for row in both[both["class_name_before"] != both["class_name_after"]].itertuples()
        ],
        "images_changed": both.loc[both["sha256_before"] != both["sha256_after"], "id"].tolist(),
        "score_drift": _drift(both),
        "classes": _classes(before, after),
        "accuracy": {
            label: {"before": _accuracy(before, arm), "after": _accuracy(after, arm)} for arm, label in ARMS.items()
        },
        **{part: _changed(one, two) for part, (one, two) in _made_of(before, after).items()},
    }


def _made_of(before: Release, after: Release) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """What made the releases, by dotted key."""
    sides = [
        {"parameters": one.parameters.stated(), "encoder": one.encoder, "packages": one.packages}
        for one in (before.manifest, after.manifest)
    ]
    return {part: (manifest.flat(sides[0][part]), manifest.flat(sides[1][part])) for part in sides[0]}


def _joined(before: Release, after: Release) -> pd.DataFrame:
    """A row for every sample of either pool, sorted by id."""
    columns = ["id", "class_name", "alignment", "selected", "reason", "sha256"]
    sides = (release.scores[columns] for release in (before, after))
    table = next(sides).merge(next(sides), on="id", how="outer", suffixes=("_before", "_after"), indicator=True)
    for side, only in (("before", "left_only"), ("after", "right_only")):
        table[f"in_{side}"] = table["_merge"].isin(["both", only])
        table[f"selected_{side}"] = table[f"selected_{side}"].eq(True)
    return table.sort_values("id")


def _named(release: Release) -> dict[str, Any]:
    pool, subset = release.manifest.pool, release.manifest.subset
    keep = release.manifest.parameters.optimize.keep
    return {
        "name": release.manifest.name,
        "keep": keep,
        "pool": pool.samples,
        "kept": subset.samples,
        "manifest_sha256": release.fingerprint,
    }


def _samples(table: pd.DataFrame) -> dict[str, Any]:
    added = table[table["selected_after"] & ~table["selected_before"]]
    dropped = table[table["selected_before"] & ~table["selected_after"]]
    return {
        "kept_by_both": int((table["selected_before"] & table["selected_after"]).sum()),
        "added": _by_reason(added["id"], added["reason_before"].map(BEFORE).where(added["in_before"], NEW)),
        "dropped": _by_reason(dropped["id"], dropped["reason_after"].map(NOW).where(dropped["in_after"], GONE)),
        "new_in_pool": int((~table["in_before"]).sum()),
        "gone_from_pool": int((~table["in_after"]).sum()),
    }


def _by_reason(ids: pd.Series, reasons: pd.Series) -> dict[str, list[str]]:
    groups = {str(reason): group.tolist() for reason, group in ids.groupby(reasons.fillna("unknown reason"))}
    return dict(sorted(groups.items(), key=lambda group: (-len(group[1]), group[0])))


def _drift(both: pd.DataFrame) -> dict[str, float | int]:
    """How far the alignment of the same samples has moved, and whether their order is the same."""
    if both.empty:
        return {"samples": 0}
    moved = both["alignment_after"] - both["alignment_before"]
    ranks = both[["alignment_before", "alignment_after"]].rank()
    order = float(ranks["alignment_before"].corr(ranks["alignment_after"]))
    return {
        "samples": len(both),
        "mean": float(moved.mean()),
        "median_size": float(moved.abs().median()),
        "largest": float(moved.abs().max()),
        "rank_correlation": order if np.isfinite(order) else 1.0,
    }


def _classes(before: Release, after: Release) -> dict[str, dict[str, Any]]:
    """Counts of each class whose counts have changed."""
    sides = before.manifest.class_counts, after.manifest.class_counts
    none = Counts(pool=0, kept=0)
    counts = {
        name: [{"pool": count.pool, "kept": count.kept} for count in (side.get(name, none) for side in sides)]
        for name in dict.fromkeys([*sides[0], *sides[1]])
    }
    return {name: {"before": old, "after": new} for name, (old, new) in counts.items() if old != new}


def _accuracy(release: Release, arm: str) -> dict[str, float]:
    found = release.manifest.results.accuracy.of(arm)
    return {"mean": found.mean, "std": found.std}


def _changed(before: dict[str, Any], after: dict[str, Any]) -> dict[str, dict[str, Any]]:
    keys = sorted({*before, *after})
    return {
        key: {"before": before.get(key), "after": after.get(key)} for key in keys if before.get(key) != after.get(key)
    }
