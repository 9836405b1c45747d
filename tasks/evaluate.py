"""Stage evaluate: what a model trained on the subset is worth, beside a random subset of its size and everything.

In:  data/prepare (images, truth), data/optimize/subset.parquet. Out, in data/evaluate/:

    accuracy.csv   a row a cell: arm, seed, accuracy, kept
    metrics.json   mean and standard deviation an arm; the planted faults that were found

A cell is one arm (subset, random, all) and one seed; each finished cell is kept in scratch, so a killed run goes on.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from tasks import budget, dataset, files
from tasks.training import classifier
from tasks.training.arms import ARMS, Arm
from tasks.training.classifier import Training


def key(images: Path, subset: Path, size: int, training: Training) -> str:
    """Names the work: cells that were finished for other images, subsets or training are not mistaken for these."""
    inputs = files.file_sha256(images / "index.parquet"), files.file_sha256(subset)
    return files.sha256(*inputs, str(size), str(asdict(training)))[:16]


def decode(images: Path, size: int, out: Path) -> None:
    """Decode every image once, to `size` pixels, into the array file `out`, which cells map into memory."""
    if not out.exists():
        with files.whole_file(out) as partial, partial.open("wb") as file:
            np.save(file, dataset.pixels(dataset.load(images), size))


def cell(
    images: Path, subset: Path, pixels: Path, arm: Arm, seed: int, out: Path, training: Training, device: str
) -> None:
    """Train and measure one cell; its result goes to the JSON file `out`, and is not made again where it is there.

    Without a GPU each cell has one core: cells run side by side, and the number of cores does not change the result.
    """
    if out.exists():
        return
    if device == "cpu":
        torch.set_num_threads(1)
    data = dataset.load(images)
    block = np.load(pixels, mmap_mode="r")
    train, test = ((data.index["split"] == name).to_numpy() for name in ("train", "test"))
    labels = data.index["label"].to_numpy()
    chosen = np.flatnonzero(train)[choose(pd.read_parquet(subset), len(data.classes), arm, seed)]
    model = classifier.fit(block[chosen], labels[chosen], training, classes=len(data.classes), seed=seed, device=device)
    accuracy = model.accuracy(block[test], labels[test])
    with files.whole_file(out) as partial:
        files.write_json(partial, {"arm": arm, "seed": seed, "accuracy": accuracy, "kept": len(chosen)})


def choose(subset: pd.DataFrame, classes: int, arm: Arm, seed: int) -> np.ndarray:
    """(N,) bool: the samples of the pool that an arm trains on; `random` is stratified and as large as the subset."""
    selected = subset["selected"].to_numpy()
    if arm == "subset":
        return selected
    if arm == "all":
        return np.ones_like(selected)
    labels = subset["label"].to_numpy()
    split = budget.shares(np.bincount(labels, minlength=classes), int(selected.sum()), "proportional")
    return budget.draw(labels, split, np.random.default_rng(seed))


def summarise(cells: list[Path], subset: Path, truth: Path, out: Path) -> None:
    """Gather finished cells into accuracy.csv and metrics.json in `out`."""
    table = pd.DataFrame([files.read_json(cell) for cell in cells])
    by_arm = table.groupby("arm")["accuracy"]
    accuracy = {arm: {"mean": by_arm.mean()[arm], "std": float(by_arm.std(ddof=1).fillna(0)[arm])} for arm in ARMS}
    faults = planted(pd.read_parquet(subset), pd.read_parquet(truth))
    with files.whole_folder(out) as folder:
        table[["arm", "seed", "accuracy", "kept"]].to_csv(folder / "accuracy.csv", index=False)
        files.write_json(folder / "metrics.json", {"accuracy": accuracy, **faults})


def planted(subset: pd.DataFrame, truth: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """For each kind of planted fault: how many there are and were dropped, their share of the pool and of the kept."""
    table = subset.merge(truth, on="id", how="left")
    kept = table["selected"]
    faults = {
        "wrong_labels": table["true_label"].notna() & (table["true_label"] != table["label"]),
        "damaged": table["damage"].fillna("") != "",
    }
    return {
        name: {
            "planted": int(fault.sum()),
            "dropped": int((fault & ~kept).sum()),
            "share_of_pool": float(fault.mean()),
            "share_of_kept": float(fault[kept].mean()),
        }
        for name, fault in faults.items()
        if fault.any()
    }
