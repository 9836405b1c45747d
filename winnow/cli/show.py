"""A release in a few lines: what was kept and dropped, what was found, what it is worth, and where it lies."""

from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from winnow.releases.manifest import Arms, load
from winnow.selection import reasons
from winnow.selection.reasons import REASONS
from winnow.terminal.console import Console, plain
from winnow.training.arms import ARMS

if TYPE_CHECKING:
    from winnow.training.compare import Difference  # at run time it would bring SciPy


def describe(release: Path) -> None:
    """Print the summary of the release in a folder.

    Raises:
        InputError: there is no release, or none of a format that is known.
    """
    manifest = load(release).manifest
    console = Console()
    pool, kept = manifest.pool.samples, manifest.subset.samples
    counts = [count.kept for count in manifest.class_counts.values()]
    console.print(
        f"\n[bold]{plain(manifest.name)}[/bold]: kept {kept:,} of {pool:,} images, dropped {pool - kept:,}; "
        f"{min(counts):,} to {max(counts):,} kept in each of {len(counts)} classes"
    )
    dropped = manifest.selection
    said = [f"{n:,} {name}" for reason, (name, _) in REASONS.items() if (n := dropped.get(reasons.key(reason), 0))]
    if said:
        console.print(f"  dropped: {', '.join(said)}")
    results = manifest.results
    for found, name in ((results.wrong_labels, "wrong labels"), (results.damaged, "damaged images")):
        if found:
            console.print(
                f"  planted {name}: {found.dropped:,} of {found.planted:,} found and dropped; "
                f"{found.share_of_pool:.1%} of the pool, {found.share_of_kept:.2%} of what is kept"
            )
    adaptation = manifest.adaptation
    console.print(
        f"  accuracy of the class prompts alone, on {plain(adaptation.measured_on)}: "
        f"{adaptation.zero_shot_accuracy:.1%} as the encoder came, {adaptation.adapted_accuracy:.1%} adapted\n"
    )
    console.print(_accuracies(results.accuracy, kept, pool))
    console.print(f"\nrelease  {plain(release)}\nreport   {plain(release / 'report.html')}")
    console.print("compare  make ui (MLflow's pages; choose two runs of “subset versions” and press Compare)")


def _accuracies(results: Arms, kept: int, pool: int) -> Table:
    table = Table("trained on", "images", "test accuracy", box=None, pad_edge=False)
    for arm, name in ARMS.items():
        result = results.of(arm)
        images = pool if arm == "all" else kept
        table.add_row(name, f"{images:,}", f"{result.mean:.2%} ± {100 * result.std:.2f}")
    return table


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
