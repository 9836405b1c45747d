"""Show the difference between two releases, in the terminal or as a page."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.table import Table

from winnow.files.outputs import whole_file
from winnow.reports import pages
from winnow.terminal.console import Console, plain

SHOWN = 12  # rows of a list in the terminal


def write(found: dict[str, Any], before: str, after: str, path: Path) -> None:
    """Write the difference as a page that needs no other file."""
    with whole_file(path) as unfinished:
        content = found | {"a": before, "b": after, "tables": _tables(found)}
        unfinished.write_text(pages.render("diff.html.jinja", content), encoding="utf-8")


def show(found: dict[str, Any], before: str, after: str) -> None:
    """Print the difference."""
    console = Console()
    samples = found["samples"]
    console.print(f"\n[bold]{plain(before)}[/bold] → [bold]{plain(after)}[/bold]")
    for side, name in (("before", before), ("after", after)):
        one = found[side]
        console.print(f"  {plain(name)}: kept {one['kept']:,} of {one['pool']:,} (keep {one['keep']:g})")
    console.print(f"  kept by both {samples['kept_by_both']:,}")
    for change in ("added", "dropped"):
        reasons = samples[change]
        said = ", ".join(f"{len(ids):,} {reason}" for reason, ids in reasons.items())
        console.print(f"  {change} {sum(map(len, reasons.values())):,}" + (f": {said}" if said else ""))
    if found["relabelled"] or found["images_changed"]:
        console.print(f"  {len(found['relabelled']):,} relabelled, {len(found['images_changed']):,} images changed")
    if (drift := found["score_drift"])["samples"]:
        console.print(
            f"  alignment moved by {drift['median_size']:.3g} in the median, {drift['largest']:.3g} at most; "
            f"rank correlation {drift['rank_correlation']:.3f}"
        )
    for title, rows in _tables(found).items():
        _print(console, title, rows)


def _tables(found: dict[str, Any]) -> dict[str, list[tuple[str, str, str]]]:
    """Rows of name, before and after, by what they are of."""
    accuracy, kept = (
        (lambda v: f"{v['mean']:.2%} ± {100 * v['std']:.2f}"),
        (lambda v: f"{v['kept']:,} of {v['pool']:,}"),
    )
    tables = {"accuracy": _rows(found["accuracy"], accuracy), "classes": _rows(found["classes"], kept)}
    tables["relabelled"] = [(row["id"], row["before"], row["after"]) for row in found["relabelled"]]
    return tables | {part: _rows(found[part], str) for part in ("parameters", "encoder", "packages")}


def _rows(sides: dict[str, dict[str, Any]], shown: Callable[[Any], str]) -> list[tuple[str, str, str]]:
    return [(name, shown(side["before"]), shown(side["after"])) for name, side in sides.items()]


def _print(console: Console, title: str, rows: list[tuple[str, str, str]]) -> None:
    """A table of what differs, where something does."""
    if not rows:
        return
    table = Table(title, "before", "after", box=None, pad_edge=False)
    for row in rows[:SHOWN]:
        table.add_row(*map(plain, row))
    console.print()
    console.print(table)
    if len(rows) > SHOWN:
        console.print(f"… and {len(rows) - SHOWN:,} more; --json has them all")
