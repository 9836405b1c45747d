"""Summarize a release in a few lines: what was kept and dropped, how accurate it trains, and where it is."""

import dataclasses
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from winnow.checking import words
from winnow.errors import InputError
from winnow.releases.manifest import Manifest, Results, load
from winnow.run import outcomes
from winnow.selection import reasons
from winnow.terminal.console import Console, plain
from winnow.training.arms import ARMS

if TYPE_CHECKING:
    from winnow.training.compare import Difference  # at run time it would bring SciPy

PLANTED = {"wrong_labels": "wrong labels", "damaged": "damaged images"}


def facts(release: Path) -> dict[str, Any]:
    """What `describe` says of the release in a folder, ready for JSON.

    Raises:
        InputError: there is no release, or none of a format that is known.
    """
    opened = load(release)
    manifest = opened.manifest
    counts = [count.kept for count in manifest.class_counts.values()]
    planted = {name: getattr(manifest.results, name) for name in PLANTED}
    trusted = manifest.results.trusted_accuracy
    return {
        "release": str(release),
        "name": manifest.name,
        "manifest_sha256": opened.fingerprint,
        "pool": manifest.pool.samples,
        "kept": manifest.subset.samples,
        "classes": len(counts),
        "least_kept_of_a_class": min(counts),
        "most_kept_of_a_class": max(counts),
        "prepared": [line for lines in manifest.prepared.values() for line in lines],
        "encoder": manifest.encoder,
        "dropped": {
            reason: int(manifest.selection.get(reasons.key(reason), 0))
            for reason in reasons.counted(manifest.selection)
        },
        "checked": {key: manifest.selection[key] for key in words.KEYS if key in manifest.selection},
        "held_out": {key: int(count) for key, count in manifest.selection.items() if key.startswith("held_out")},
        "relabelled": {key: int(count) for key, count in manifest.selection.items() if key.startswith("relabelled")},
        "planted": {name: found.stated() for name, found in planted.items() if found},
        "adaptation": manifest.adaptation.stated(),
        "accuracy": {arm: manifest.results.accuracy.of(arm).stated() for arm in ARMS},
        "trusted_accuracy": {arm: trusted.of(arm).stated() for arm in ARMS} if trusted else None,
        "report": str(release / "report.html"),
    }


def describe(release: Path) -> None:
    """Print the summary of the release in a folder: what the stages found, in their order, and what it is worth.

    Raises:
        InputError: there is no release, or none of a format that is known.
    """
    manifest, found = load(release).manifest, facts(release)
    console = Console()
    pool, kept = found["pool"], found["kept"]
    console.print(
        f"\n[bold]{plain(manifest.name)}[/bold]: kept {kept:,} of {pool:,} images, dropped {pool - kept:,}; "
        f"{found['least_kept_of_a_class']:,} to {found['most_kept_of_a_class']:,} kept in each of {found['classes']} "
        "classes"
    )
    for stage, line in _outcomes(release, manifest, found):
        console.print(f"  {stage:<9} {plain(line)}")
    for kind, name in PLANTED.items():
        if planted := getattr(manifest.results, kind):
            console.print(
                f"  planted {name}: {planted.dropped:,} of {planted.planted:,} found and dropped; "
                f"{planted.share_of_pool:.1%} of the pool, {planted.share_of_kept:.2%} of what is kept"
            )
    console.print()
    console.print(_accuracies(manifest.results, kept, pool))
    console.print(f"\nrelease  {plain(release)}\nreport   {plain(found['report'])}")
    console.print("compare  winnow ui (MLflow's pages; choose two runs of “subset versions” and press Compare)")


def _outcomes(release: Path, manifest: Manifest, found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What each stage said when it ended, but for accuracies, which have a table, and the release, which comes last."""
    yield from (("prepare", line) for line in found["prepared"])
    yield "embed", outcomes.embedded(manifest.encoder, manifest.pool.samples)
    yield "adapt", outcomes.adapted(found["adaptation"])
    with suppress(InputError):  # a summary needs no table
        yield "score", outcomes.scored(load(release).scores)
    counts = {reasons.key(reason): count for reason, count in found["dropped"].items()}
    more = {**counts, **found["checked"], **found["relabelled"], **found["held_out"]}
    yield "optimize", outcomes.optimized({"pool": found["pool"], "kept": found["kept"], **more})


def _accuracies(results: Results, kept: int, pool: int) -> Table:
    """By what was trained on: accuracy on all held-out images, and on those whose label is not suspected."""
    trusted = results.trusted_accuracy
    more = ["label not suspected"] if trusted else []
    table = Table("trained on", "images", "test accuracy", *more, box=None, pad_edge=False)
    for arm, name in ARMS.items():
        measured = [part.of(arm) for part in (results.accuracy, trusted) if part]
        images = pool if arm == "all" else kept
        table.add_row(name, f"{images:,}", *(f"{found.mean:.2%} ± {100 * found.std:.2f}" for found in measured))
    return table


def as_facts(a: str, b: str, measure: str, found: "list[Difference]") -> dict[str, Any]:
    """Differences, ready for JSON: bounds are null with one seed, and so are seeds to tell where they are too many."""
    rows = [dataclasses.asdict(row) for row in found]
    for row in rows:
        row |= {bound: row[bound] if row["seeds"] > 1 else None for bound in ("low", "high")}
        row["setting"] = {name: _json(value) for name, value in row["setting"].items()}
    return {"a": a, "b": b, "measure": measure, "differences": rows}


def _json(value: Any) -> Any:
    """A cell of a table as JSON has it: no types of NumPy, and null for what is missing."""
    value = value.item() if hasattr(value, "item") else value
    return None if value != value else value  # noqa: PLR0124 only NaN is not itself


def differences(a: str, b: str, found: "list[Difference]") -> None:
    """Print how much better models trained on `a` are than those trained on `b`, in points of accuracy."""
    arms = "seeds", plain(a), plain(b), "difference", "95% interval", "seeds to tell"
    table = Table(*map(plain, found[0].setting), *arms, box=None)
    for row in found:
        table.add_row(
            *map(plain, row.setting.values()),
            str(row.seeds),
            f"{row.a:.2%}",
            f"{row.b:.2%}",
            f"{100 * row.mean:+.2f}",
            f"{100 * row.low:+.2f} to {100 * row.high:+.2f}" if row.seeds > 1 else "",
            f"{row.needed:,}" if row.needed else "",
        )
    Console(soft_wrap=False).print(table)
