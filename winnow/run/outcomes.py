"""What came of each stage, in a line: a stage says it when it ends, and `winnow show` repeats it for a release.

What `prepare` says is made while it reads (`winnow.images.prepare`), since it takes more than a line.

    >>> embedded({"encoder": "ViT-B-32"}, images=2552)
    '2,552 images have features of ViT-B-32'
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from winnow.checking import words
from winnow.files.json_files import read_json
from winnow.selection import held_out, reasons
from winnow.training.arms import ARMS

if TYPE_CHECKING:
    import pandas as pd  # at run time only by those that have imported it


def embedded(encoder: Mapping[str, Any], images: int) -> str:
    """What made the features of the images to choose from."""
    every = [encoder, *encoder.get("others", [])]
    names = [str(one.get("encoder", "an unknown encoder")).removeprefix("features ") for one in every]  # given ones too
    return f"{images:,} images have features of {' and of '.join(names)}"


def adapted(metrics: Mapping[str, Any]) -> str:
    """How well the prompts of the classes alone tell images apart, before and after; or class means, without text."""
    if metrics.get("zero_shot_accuracy") is None:
        return (
            f"accuracy without text, on {metrics['measured_on']}: {metrics['adapted_accuracy']:.1%}; class means stand "
            "for the classes"
        )
    return (
        f"accuracy of the class prompts alone, on {metrics['measured_on']}: {metrics['zero_shot_accuracy']:.1%} as the "
        f"encoder came, {metrics['adapted_accuracy']:.1%} adapted"
    )


def scored(table: "pd.DataFrame") -> str:
    """How many images look like another class; a row an image to choose from, with label and predicted."""
    others = int((table["predicted"] != table["label"]).sum())
    return f"{others:,} of {len(table):,} images look more like another class than like their label"


def optimized(metrics: Mapping[str, Any]) -> str:
    """What was kept, and what was dropped by reason."""
    counts = (
        (name, int(metrics.get(reasons.key(reason), 0))) for reason, (name, _) in reasons.counted(metrics).items()
    )
    why = ", ".join(f"{count:,} {name}" for name, count in counts if count)
    line = f"kept {metrics['kept']:,} of {metrics['pool']:,} images" + (f"; dropped: {why}" if why else "")
    checked = words.stated(metrics)
    line += f"; {checked}" if checked else ""
    if metrics.get("relabelled_offered"):
        line += f"; {metrics['relabelled']:,} kept under a new label of {metrics['relabelled_offered']:,} offered so"
    return line + (f"; {held_out.stated(metrics)}" if metrics.get("held_out") else "")


def evaluated(metrics: Mapping[str, Any]) -> str:
    """Test accuracy by what was trained on."""
    found = metrics["accuracy"]
    by_arm = (f"{found[arm]['mean']:.2%} ± {100 * found[arm]['std']:.2f} ({name})" for arm, name in ARMS.items())
    line = f"test accuracy: {', '.join(by_arm)}"
    if trusted := metrics.get("trusted_accuracy"):
        means = ", ".join(f"{trusted[arm]['mean']:.2%}" for arm in ARMS)
        line += f"; where the label is not suspected: {means}"
    return line


def released(manifest: Mapping[str, Any], release: Path) -> str:
    """Where the release and its report lie."""
    return f"{manifest['name']} is in {release}; see {release / 'report.html'}"


def of(stage: str, data: Path) -> str | None:
    """The line of a stage whose results are in the folder `data`; None for a stage that has none, or says its own."""
    say = SAYS.get(stage)
    return say(data / stage) if say else None


def _embedded(out: Path) -> str:
    return embedded(read_json(out / "encoder.json"), len(np.load(out / "labels.npy", mmap_mode="r")))


def _scored(out: Path) -> str:
    import pandas as pd
    import pyarrow.parquet as pq

    pairs = pq.read_metadata(out / "near_duplicates.parquet").num_rows
    line = scored(pd.read_parquet(out / "scores.parquet", columns=["label", "predicted"]))
    return line + (f"; {pairs:,} pairs are nearly the same" if pairs else "")


SAYS: dict[str, Callable[[Path], str]] = {
    "embed": _embedded,
    "adapt": lambda out: adapted(read_json(out / "metrics.json")),
    "score": _scored,
    "optimize": lambda out: optimized(read_json(out / "metrics.json")),
    "evaluate": lambda out: evaluated(read_json(out / "metrics.json")),
    "release": lambda out: released(read_json(out / "manifest.json"), out),
}
