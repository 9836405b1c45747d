"""How well each score tells wrong labels from right, on any feature folders, with wrong labels planted.

    python -m benchmarks.label_noise FOLDER... [--seeds 3] [--strength 1] [--without paper]

Scores: ours, the published one (SAS of fitted adapters), raw CLIP (zero-shot log-probability of the label), and
cleanlab's self-confidence and normalized margin on five-fold logistic regression over the same features. Noise: 20% and
40% symmetric, and 20% near (a wrong label is one of the three nearest class names). Prints the area under the ROC
curve, the share of wrong labels left when the best 30, 50, 70 and 80% are kept, and seconds, means over the seeds; the
last line is one JSON object.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sklearn.metrics import roc_auc_score

from winnow import features
from winnow.bench.baselines import label_quality
from winnow.features import Features, unit
from winnow.images import plant
from winnow.selection import adapt, score
from winnow.selection.alignment import align
from winnow.selection.methods import Recipe

KEPT = (0.3, 0.5, 0.7, 0.8)
OURS, RIVALS = "ours", ("raw_clip", "cleanlab_self_confidence", "cleanlab_normalized_margin")
Scores = dict[str, np.ndarray]  # by name, (N,) each: higher means more likely rightly labelled
Planter = Callable[[Features, np.random.Generator], np.ndarray]


def symmetric(share: float) -> Planter:
    """Wrong labels from all other classes alike."""
    return lambda data, rng: plant.wrong_labels(data.labels, len(data.classes), share, rng)


def near(data: Features, rng: np.random.Generator) -> np.ndarray:
    """Wrong labels from the three classes whose names are nearest."""
    return plant.near(data.labels, data.anchors if data.text is None else data.text, 0.2, rng)


NOISES: dict[str, Planter] = {"symmetric 20%": symmetric(0.2), "symmetric 40%": symmetric(0.4), "near 20%": near}


def ours(data: Features, seed: int, strength: float) -> Scores:
    """The log odds of `selection.alignment`."""
    return {OURS: align(data, seed).log_odds}


def paper(data: Features, seed: int, strength: float) -> Scores:
    """SAS of the published adapters."""
    fitted = adapt.fit(data, Recipe(), seed=seed, device="cpu")
    return {"paper": score.score(data, fitted, neighbours=1, device="cpu")["sas"].to_numpy()}


def raw_clip(data: Features, seed: int, strength: float) -> Scores:
    """Log-probability of the label at CLIP's own temperature."""
    logits = torch.from_numpy(100 * unit(data.image) @ data.anchors.T)
    return {"raw_clip": torch.log_softmax(logits, 1)[torch.arange(len(logits)), data.labels].numpy()}


def cleanlab(data: Features, seed: int, strength: float) -> Scores:
    """cleanlab's two scores."""
    return {f"cleanlab_{name}": quality for name, quality in label_quality(data, strength).items()}


CONTESTANTS = {function.__name__: function for function in (ours, paper, raw_clip, cleanlab)}


def measure(
    data: Features, wrong: np.ndarray, seed: int, contestants: list[str], strength: float
) -> dict[str, list[float]]:
    """AUROC, shares of wrong labels left at KEPT, and seconds, by score."""
    found = {}
    for contestant in contestants:
        start = time.perf_counter()
        scores = CONTESTANTS[contestant](data, seed, strength)
        seconds = time.perf_counter() - start
        for name, values in scores.items():
            order = np.argsort(-values, kind="stable")
            left = [float(wrong[order[: round(keep * len(order))]].mean()) for keep in KEPT]
            found[name] = [float(roc_auc_score(~wrong, values)), *left, seconds]
    return found


def judge(rows: dict[str, dict[str, list[float]]]) -> dict[str, float]:
    """Ours against the best of its rivals: the worst and the mean difference over the rows, and the share of time."""
    gaps = [row[OURS][0] - max(row[rival][0] for rival in RIVALS) for row in rows.values()]
    times = [row[OURS][-1] / row[RIVALS[1]][-1] for row in rows.values()]
    return {
        "worst_gap": round(min(gaps), 5),
        "mean_gap": round(float(np.mean(gaps)), 5),
        "largest_share_of_cleanlab_time": round(max(times), 3),
    }


def main(
    folders: Annotated[list[Path], typer.Argument(help="Feature folders.")],
    seeds: Annotated[int, typer.Option(min=1, help="Draws of the noise.")] = 3,
    strength: Annotated[float, typer.Option(min=0.01, help="C of cleanlab's logistic regression.")] = 1.0,
    without: Annotated[str, typer.Option(help="A contestant to leave out, such as paper, which is slow.")] = "",
) -> None:
    """Compare scores of label quality."""
    contestants = [name for name in CONTESTANTS if name != without]
    rows: dict[str, dict[str, list[float]]] = {}
    jobs = [(folder, noise) for folder in folders for noise in NOISES]
    for folder, noise in track(jobs, description="rows", disable=not sys.stderr.isatty()):
        data = features.load(folder)
        align(replace(data, labels=data.labels))  # the first call of a process pays for loading libraries
        runs = []
        for seed in range(seeds):
            labels = NOISES[noise](data, np.random.default_rng(seed))
            runs.append(measure(replace(data, labels=labels), labels != data.labels, seed, contestants, strength))
        rows[f"{folder.parent.name}/{folder.name} {noise}"] = {
            name: np.mean([run[name] for run in runs], 0).round(5).tolist() for name in runs[0]
        }
    show(rows)
    print(json.dumps({"rows": rows} | judge(rows)))


def show(rows: dict[str, dict[str, list[float]]]) -> None:
    """Print the table."""
    table = Table("folder and noise", "score", "AUROC", *(f"left at {keep:.0%}" for keep in KEPT), "seconds")
    for name, row in rows.items():
        for score_name, (auroc, *left, seconds) in row.items():
            table.add_row(name, score_name, f"{auroc:.4f}", *(f"{share:.2%}" for share in left), f"{seconds:.2f}")
        table.add_section()
    Console(width=140).print(table)


if __name__ == "__main__":
    typer.run(main)
