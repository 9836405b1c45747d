"""Choose the samples of a release that are worth a look, and the images to show beside each."""

from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from winnow.selection.reasons import DAMAGED, RELABELLED, SUSPECTED

TWINS, BROKEN, CLASSES, ENDS, HELD_OUT = 48, 48, 40, 3, 96  # at most, so that the report has room for suspects


@dataclass(frozen=True)
class GalleryImage:
    """A sample to look at.

    Attributes:
        id: of the sample.
        given: name of its class.
        likely: name of the class that the adapted encoder would have said.
        reason: why it was dropped, or "kept".
        note: a score, as text.
        beside: samples to show beside it, each with its caption.
        caption: of its own image, if it needs one.
        trusted: its label is trusted, although it looks most like another class.
    """

    id: str
    given: str
    likely: str
    reason: str
    note: str
    beside: list[tuple[str, str]] = field(default_factory=list)
    caption: str = ""
    trusted: bool = False


def suspects(table: pd.DataFrame, classes: list[str]) -> list[GalleryImage]:
    """Every sample with a suspected label, the most suspected first, beside typical images of both classes."""
    typical = _typical(table)
    rows = table[table["reason"] == SUSPECTED].sort_values(["alignment", "id"])
    looks = []
    for row in rows.to_dict("records"):
        given, likely = row["class_name"], classes[row["predicted"]]
        beside = [(typical[name], f"typical {name}") for name in (given, likely) if name in typical]
        looks.append(_look(row, classes, f"alignment {row['alignment']:.2f}{_agreement(row)}", beside))
    return looks


def _agreement(row: dict[Hashable, Any]) -> str:
    """How many of several encoders see the likely class; nothing of one encoder."""
    encoders = sum(str(name).startswith("predicted_") for name in row)
    return f"; {row['agree']} of {encoders} encoders see it alone" if encoders else ""


def near_duplicates(
    table: pd.DataFrame, pairs: pd.DataFrame, classes: list[str], *, same_class: bool
) -> list[GalleryImage]:
    """Pairs of images that are nearly the same, of one class or of two, which is a label conflict; most alike first.

    Of each pair the one whose label is less likely comes first.

    Args:
        table: the release's scores.
        pairs: as `selection.near_duplicates` finds them: id, of, cosine, same_class.
        classes: class names.
        same_class: which of the two.
    """
    rows = {row["id"]: row for row in table.to_dict("records")}
    known = pairs[(pairs["same_class"] == same_class) & pairs["id"].isin(rows) & pairs["of"].isin(rows)]
    looks = []
    for pair in known.sort_values(["cosine", "id"], ascending=[False, True]).head(TWINS).to_dict("records"):
        row, other = sorted((rows[pair["id"]], rows[pair["of"]]), key=lambda one: (one["alignment"], one["id"]))
        look = _look(row, classes, f"similarity {pair['cosine']:.3f}", [(other["id"], _state(other))])
        looks.append(replace(look, caption=_state(row)))
    return looks


def _state(row: dict[Hashable, Any]) -> str:
    return f"{row['class_name']}: {row['reason'] or 'kept'}"


def damaged(table: pd.DataFrame, classes: list[str]) -> list[GalleryImage]:
    """What looks damaged or out of place, the least aligned first."""
    rows = table[table["reason"] == DAMAGED].sort_values(["alignment", "id"]).head(BROKEN).to_dict("records")
    return [_look(row, classes, f"alignment {row['alignment']:.2f}") for row in rows]


def held_out(judged: pd.DataFrame, table: pd.DataFrame, classes: list[str]) -> list[GalleryImage]:
    """Held-out images whose label is suspected, the most suspected first, beside typical images of both classes.

    Args:
        judged: the release's table of held-out images.
        table: the release's scores.
        classes: class names.
    """
    typical = _typical(table)
    rows = judged[judged["reason"] != ""].sort_values(["alignment", "id"]).head(HELD_OUT)
    looks = []
    for row in rows.to_dict("records"):
        names = [row["class_name"], *([row["evidence"]] if row["evidence"] else [])]
        beside = [(typical[name], f"typical {name}") for name in names if name in typical]
        looks.append(_look(row, classes, f"held out, alignment {row['alignment']:.2f}", beside))
    return looks


def leaks(judged: pd.DataFrame, table: pd.DataFrame, classes: list[str]) -> list[GalleryImage]:
    """Held-out images that are nearly the same as one to choose from, beside it: other labels first, then most alike.

    Args:
        judged: the release's table of held-out images.
        table: the release's scores.
        classes: class names.
    """
    ours = {row["id"]: row for row in table.to_dict("records")}
    rows = judged[judged["of"].isin(ours)].sort_values(["same_class", "cosine", "id"], ascending=[True, False, True])
    looks = []
    for row in rows.head(TWINS).to_dict("records"):
        other = ours[row["of"]]
        alike = "the same bytes" if row["sha256"] == other["sha256"] else f"similarity {row['cosine']:.3f}"
        look = _look(row, classes, alike, [(other["id"], _state(other))])
        looks.append(replace(look, caption=f"{row['class_name']}: held out"))
    return looks


def relabelled(table: pd.DataFrame, classes: list[str]) -> list[GalleryImage]:
    """What was kept under a new label, the least sure first, beside typical images of both classes."""
    typical = _typical(table[table["reason"] != RELABELLED])
    rows = table[table["reason"] == RELABELLED].sort_values(["alignment", "id"]).head(HELD_OUT)
    looks = []
    for row in rows.to_dict("records"):
        given, new = row["evidence"], row["class_name"]
        beside = [(typical[name], f"typical {name}") for name in (given, new) if name in typical]
        look = _look(row, classes, f"kept as {new}, alignment {row['alignment']:.2f}", beside)
        looks.append(replace(look, given=given, trusted=False))
    return looks


def ends_of_classes(table: pd.DataFrame, classes: list[str]) -> dict[str, list[GalleryImage]]:
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
    row: dict[Hashable, Any], classes: list[str], note: str, beside: list[tuple[str, str]] | None = None
) -> GalleryImage:
    likely = classes[int(str(row["predicted"]))]
    reason = str(row["reason"]) or "kept"
    trusted = reason not in (SUSPECTED, DAMAGED)
    return GalleryImage(str(row["id"]), str(row["class_name"]), likely, reason, note, beside or [], trusted=trusted)
