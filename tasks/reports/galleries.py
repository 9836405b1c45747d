"""Which samples of a release are worth a look, and what stands beside each: pure choices on the table of scores."""

from dataclasses import dataclass, field

import pandas as pd

from tasks.reasons import DAMAGED, REDUNDANT, SUSPECTED

SUSPECTS, TWINS, BROKEN, CLASSES, ENDS = 120, 48, 48, 40, 3  # at most; the report stays below 10 MB with all of them
TWIN = 0.95  # cosine above which a redundant sample is called a near duplicate


@dataclass(frozen=True)
class Look:
    """A sample to look at.

    Attributes:
        id: of the sample.
        given: name of its class.
        likely: name of the class that the adapted encoder would have said.
        reason: why it was dropped, or "kept".
        note: what is to be said of it.
        beside: samples to show beside it, each with its caption.
    """

    id: str
    given: str
    likely: str
    reason: str
    note: str
    beside: list[tuple[str, str]] = field(default_factory=list)


def suspects(table: pd.DataFrame, classes: list[str]) -> list[Look]:
    """What has a suspected label, the most suspected first, beside typical images of the class given and the likely."""
    typical = _typical(table)
    rows = table[table["reason"] == SUSPECTED].sort_values(["alignment", "id"]).head(SUSPECTS)
    looks = []
    for row in rows.to_dict("records"):
        given, likely = row["class_name"], classes[row["predicted"]]
        beside = [(typical[name], f"typical {name}") for name in (given, likely) if name in typical]
        looks.append(_look(row, classes, f"alignment {row['alignment']:.2f}", beside))
    return looks


def near_duplicates(table: pd.DataFrame, classes: list[str]) -> list[Look]:
    """What was dropped because a sample that was kept is nearly the same, the most alike first."""
    twins = table[(table["reason"] == REDUNDANT) & (table["similarity"] >= TWIN) & table["evidence"].isin(table["id"])]
    rows = twins.sort_values(["similarity", "id"], ascending=[False, True]).head(TWINS).to_dict("records")
    return [
        _look(row, classes, f"similarity {row['similarity']:.3f}", [(row["evidence"], "kept instead")]) for row in rows
    ]


def damaged(table: pd.DataFrame, classes: list[str]) -> list[Look]:
    """What looks damaged or out of place, the least aligned first."""
    rows = table[table["reason"] == DAMAGED].sort_values(["alignment", "id"]).head(BROKEN).to_dict("records")
    return [_look(row, classes, f"alignment {row['alignment']:.2f}") for row in rows]


def ends_of_classes(table: pd.DataFrame, classes: list[str]) -> dict[str, list[Look]]:
    """By class, largest first: what was kept and is most typical of it, and least."""
    kept = table[table["selected"]].sort_values(["alignment", "id"], ascending=[False, True])
    ends = {}
    for name in kept["class_name"].value_counts(sort=True).index[:CLASSES]:
        rows = kept[kept["class_name"] == name].to_dict("records")
        most, least = rows[:ENDS], rows[max(ENDS, len(rows) - ENDS) :]
        ends[str(name)] = [_look(row, classes, "most typical") for row in most] + [
            _look(row, classes, "least typical") for row in least
        ]
    return ends


def _typical(table: pd.DataFrame) -> dict[str, str]:
    """The best aligned sample that was kept, by class."""
    kept = table[table["selected"]].sort_values(["alignment", "id"], ascending=[False, True])
    best = kept.drop_duplicates("class_name")
    return dict(zip(best["class_name"], best["id"], strict=True))


def _look(
    row: dict[object, object], classes: list[str], note: str, beside: list[tuple[str, str]] | None = None
) -> Look:
    likely = classes[int(str(row["predicted"]))]
    reason = str(row["reason"]) or "kept"
    return Look(str(row["id"]), str(row["class_name"]), likely, reason, note, beside or [])
