"""Show what `winnow bench labels` found: a line as each row is done, then the table and a summary."""

from typing import Any

import numpy as np
from rich import box
from rich.table import Table

from winnow.bench.labels.measures import KEPT, Measures
from winnow.bench.labels.methods import OURS
from winnow.terminal.console import Console, plain

Rows = dict[str, dict[str, Measures]]  # by row and by score

WIDTH = 150  # of the table at least, also where it goes to a file
COLUMNS = {  # by measure: heading and format
    "auroc": ("AUROC", "{:.4f}"),
    "precision": ("precision", "{:.3f}"),
    "recall": ("recall", "{:.3f}"),
    "f1": ("F1", "{:.3f}"),
    "false_alarms": ("false\nalarms", "{:.1%}"),
    "believed_wrong": ("believed\nwrong", "{:.1%}"),
    "calibration_error": ("calibration\nerror", "{:.1%}"),
    **{f"left_{100 * keep:.0f}": (f"left at\n{keep:.0%}", "{:.2%}") for keep in KEPT},
    "seconds": ("CPU\nseconds", "{:.2f}"),
}
BEST = ("auroc", "f1")  # measures of which the best is marked, and which the summary compares


def line(name: str, scores: dict[str, Measures]) -> str:
    """A row in a few words."""
    own = scores[OURS]
    if own["auroc"] is None:
        return f"{name}: false alarms {own['false_alarms']:.2%}"
    words = [f"{measure} {own[measure]:.4f} ({_best(scores, measure)})" for measure in BEST]
    return f"{name}: {', '.join(words)}"


def _best(scores: dict[str, Measures], measure: str) -> str:
    rivals = _of_rivals(scores, measure)
    return f"{max(rivals, key=rivals.__getitem__)} {max(rivals.values()):.4f}" if rivals else "no rival"


def _of_rivals(scores: dict[str, Measures], measure: str) -> dict[str, float]:
    """A measure of every score but ours that has it."""
    return {name: value for name, found in scores.items() if name != OURS and (value := found[measure]) is not None}


def summary(rows: Rows) -> dict[str, Any]:
    """Ours against the best rival of each row, and what it believes and costs.

    For the area under the ROC curve and for F1: the worst and the mean difference, the number of rows, and those below
    with their differences. belief_error is the mean of |believed_wrong - wrong|; share_of_time the largest share of a
    rival's processor time.
    """
    found: dict[str, Any] = {measure: _gaps(rows, measure) for measure in BEST}
    belief = [abs(own["believed_wrong"] - own["wrong"]) for own in (scores[OURS] for scores in rows.values())]  # type: ignore[operator]
    found["belief_error"] = round(float(np.mean(belief)), 5) if belief else None
    shares: dict[str, float] = {}
    for scores in rows.values():
        for name, seconds in _of_rivals(scores, "seconds").items():
            method = name.split()[0]
            shares[method] = max(shares.get(method, 0), round((scores[OURS]["seconds"] or 0) / max(seconds, 1e-3), 3))
    return found | {"share_of_time": shares}


def _gaps(rows: Rows, measure: str) -> dict[str, Any]:
    gaps = {
        name: round(own - max(rivals.values()), 5)
        for name, scores in rows.items()
        if (own := scores[OURS][measure]) is not None and (rivals := _of_rivals(scores, measure))
    }
    if not gaps:
        return {"rows": 0}
    worst = min(gaps, key=gaps.__getitem__)
    return {
        "worst_gap": gaps[worst],
        "worst_row": worst,
        "mean_gap": round(float(np.mean(list(gaps.values()))), 5),
        "rows": len(gaps),
        "below": {name: gap for name, gap in gaps.items() if gap < 0},
    }


def show(rows: Rows) -> None:
    """Print the table; the best of a row is bold."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("noise, and score", no_wrap=True)
    for heading in ("wrong", *(heading for heading, _ in COLUMNS.values())):
        table.add_column(heading, justify="right")
    for name, scores in rows.items():
        table.add_row(f"[bold]{plain(name)}[/bold]", f"{scores[OURS]['wrong']:.1%}")
        for score, found in scores.items():
            table.add_row(f"  {score}", "", *(_cell(scores, measure, found[measure]) for measure in COLUMNS))
        table.add_section()
    console = Console(soft_wrap=False)
    console.width = max(console.width, WIDTH)
    console.print(table)


def _cell(scores: dict[str, Measures], measure: str, value: float | None) -> str:
    if value is None:
        return ""
    text = COLUMNS[measure][1].format(value)
    best = max((found[measure] or 0 for found in scores.values()), default=0)
    return f"[bold]{text}[/bold]" if measure in BEST and value == best else text
