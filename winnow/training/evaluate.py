"""Stage evaluate: compare models trained on the subset, on a random subset of its size, and on everything.

In:  data/prepare (images, truth), data/optimize, and for a probe data/embed. Out, in data/evaluate/:

    accuracy.csv   one row per cell: arm, seed, budget, measures (MEASURES, TRUSTED where held-out labels were judged,
                   and `accuracy_NAME` of each shifted test set), and COUNTS
    classes.csv    one row per class: how many images are held out, and the mean accuracy of each arm on them
    metrics.json   mean and standard deviation of each measure per arm; the planted faults that were found

A cell is one arm (subset, random, all) and one seed. Finished cells are kept in scratch, so a killed run can resume.
Durations are kept only in scratch and in the run's log, so that results are the same bytes each time.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from winnow import budget, features
from winnow.errors import InputError
from winnow.files import hashes, json_files, marks, outputs
from winnow.images import dataset
from winnow.images.dataset import Dataset
from winnow.training import cell_runner, classifier, probe, shifted_tests
from winnow.training.arms import ARMS, Arm
from winnow.training.classifier import Training
from winnow.training.length import Length
from winnow.training.measures import Measures

DIGITS = 6  # of results
MEASURES = ("accuracy", "worst_class", "calibration_error")
COUNTS = ("kept", "samples_seen")
TRUSTED = "trusted_accuracy"  # on the held-out images whose label is not suspected
GIVEN = "given_label"  # the column of labels before some were changed (`selection.relabel`)
SHIFTED = "accuracy_"  # before the name of a shifted test set


@dataclass(frozen=True)
class EvaluationJob:
    """What all cells have in common.

    Attributes:
        images: the folder of the prepared images.
        embed: that of their features, to which a probe is fitted.
        subset: the table of what was selected.
        pixels: the file of decoded images.
        tests: shifted test sets by name, each decoded in a folder (`winnow.training.shifted_tests`).
        training: of every network.
        length: of its training.
        held_out: the table of what is thought of held-out labels, where they were judged.
    """

    images: Path
    embed: Path
    subset: Path
    pixels: Path
    tests: dict[str, Path]
    training: Training
    length: Length
    held_out: Path | None = None

    @property
    def probes(self) -> bool:
        """Whether it is features that are judged by, not images."""
        return self.training.model == probe.PROBE

    @property
    def budget(self) -> str:
        """The budget by its name."""
        return "convergence" if self.probes else str(self.length)


def key(images: Path, subset: Path, outside: Path, *how: object, held_out: Path | None = None) -> str:
    """Names the work: cells that were finished for other images, subsets or training are not mistaken for these.

    Args:
        images: the folder of the prepared images.
        subset: the table of what was selected.
        outside: what the source stage found of the checkpoint and the shifted test sets.
        how: every parameter that changes a result.
        held_out: the table of what is thought of held-out labels.
    """
    read = (images / "index.parquet", subset, outside, *([held_out] if held_out else []))
    inputs = (hashes.file_sha256(path) for path in read)
    return hashes.sha256(*inputs, *map(repr, how))[:16]


def check(work: EvaluationJob, side: int, tests: dict[str, str], follow_links: bool = False) -> None:
    """Refuse what would break every cell, before images of `side` pixels are decoded.

    Raises:
        InputError: the network or its checkpoint cannot be had, a test set is at fault, or a probe has no features of
            held-out images.
    """
    classes = dataset.load(work.images).classes
    for name, source in tests.items():
        shifted_tests.check(name, source, classes, follow_links)
    if not work.probes:
        classifier.begin(work.training, side=side, classes=len(classes), seed=0)
    elif not (work.embed / "test.npy").exists():
        raise InputError(
            f"evaluate.model: a probe is measured on features of held-out images, and {work.embed} has "
            "none; add them to the features in embed.path"
        )


def decode(images: Path, size: int, out: Path) -> None:
    """Decode every image once, to `size` pixels, into the array file `out`, which cells map into memory."""
    if not marks.is_finished(out):
        with outputs.whole_file(out) as partial, partial.open("wb") as file:
            np.save(file, dataset.pixels(dataset.load(images), size))
        marks.finish(out)


def cell(work: EvaluationJob, arm: Arm, seed: int, out: Path, log: Path, *, device: str) -> None:
    """Train and measure one cell (`training.cell_runner`): its row goes to `out`, or to `log` why there is none."""
    cell_runner.finish(f"{arm}, seed {seed}", out, log, lambda: measure(work, arm, seed, device), device)


def measure(work: EvaluationJob, arm: Arm, seed: int, device: str) -> dict[str, Any]:
    """Train on one arm, and measure on what is held out and on shifted test sets.

    Raises:
        DivergenceError: the network is worth nothing.
    """
    data = dataset.load(work.images)
    subset = pd.read_parquet(work.subset)
    if arm != "subset" and GIVEN in subset:  # only the subset has new labels
        subset = subset.assign(label=subset[GIVEN])
    chosen = np.flatnonzero(choose(subset, len(data.classes), arm, seed))
    labels = subset["label"].to_numpy()[chosen]
    start = time.perf_counter()
    found, seen, more = (_probe if work.probes else _network)(work, data, chosen, labels, seed, device)
    measured = {name: getattr(found, name) for name in MEASURES} | _trusted(work, data, found.right) | more
    row = {"arm": arm, "seed": seed, "budget": work.budget, "kept": len(chosen), "samples_seen": seen}
    rounded = {name: round(value, DIGITS) for name, value in measured.items()}
    return row | rounded | {"by_class": found.by_class, "seconds": round(time.perf_counter() - start, 3)}


def _trusted(work: EvaluationJob, data: Dataset, right: np.ndarray) -> dict[str, float]:
    """Accuracy on the held-out images whose label is not suspected, where labels were judged and some are not.

    Of images that a network finds `right` (n,), or of those with features, which are what a probe is measured on.
    """
    if not work.held_out:
        return {}
    table, ids = pd.read_parquet(work.held_out), data.split("test")["id"]
    trusted = ~(table["id"] if work.probes else ids).isin(table.loc[table["reason"] != "", "id"]).to_numpy()
    return {TRUSTED: float(right[trusted].mean())} if len(table) and trusted.any() else {}


def _network(
    work: EvaluationJob, data: Dataset, chosen: np.ndarray, taught: np.ndarray, seed: int, device: str
) -> tuple[Measures, int, dict[str, float]]:
    """What a network is worth that is `taught` the `chosen` of the pool, the images it saw, its accuracy elsewhere."""
    block, labels = np.load(work.pixels, mmap_mode="r"), data.index["label"].to_numpy()
    pool, test = ((data.index["split"] == name).to_numpy() for name in ("train", "test"))
    rows, training = np.flatnonzero(pool)[chosen], work.length.training(work.training, len(chosen))
    model = classifier.fit(block[rows], taught, training, classes=len(data.classes), seed=seed, device=device)
    elsewhere = {
        SHIFTED + name: model.accuracy(np.load(folder / shifted_tests.PIXELS), np.load(folder / shifted_tests.LABELS))
        for name, folder in work.tests.items()
    }
    return model.measure(block[test], labels[test]), training.steps * training.batch_size, elsewhere


def _probe(
    work: EvaluationJob, data: Dataset, chosen: np.ndarray, taught: np.ndarray, seed: int, device: str
) -> tuple[Measures, int, dict[str, float]]:
    """The same of a linear probe on features, which draws nothing."""
    have = features.load(work.embed)
    model = probe.fit(have.image[chosen], taught, len(data.classes))
    test, labels = np.load(work.embed / "test.npy"), np.load(work.embed / "test_labels.npy")
    return model.measure(test, labels), model.passes * len(chosen), {}


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


def summarise(cells: list[Path], images: Path, subset: Path, truth: Path, out: Path) -> None:
    """Gather finished cells into accuracy.csv, classes.csv and metrics.json in `out`."""
    table = pd.DataFrame([json_files.read_json(cell) for cell in cells])
    elsewhere = [name for name in map(str, table) if name.startswith(SHIFTED)]
    faults = planted(pd.read_parquet(subset), pd.read_parquet(truth))
    measures = [*MEASURES, *([TRUSTED] if TRUSTED in table else [])]
    measured: dict[str, Any] = {name: _by_arm(table, name) for name in measures}
    if elsewhere:
        measured["shifted"] = {name.removeprefix(SHIFTED): _by_arm(table, name) for name in elsewhere}
    seen = table.groupby("arm")["samples_seen"].max()
    about = {"budget": table["budget"][0], "samples_seen": {arm: int(seen[arm]) for arm in ARMS}}
    with outputs.whole_folder(out) as folder:
        columns = ["arm", "seed", "budget", *measures, *elsewhere, *COUNTS]
        table[columns].to_csv(folder / "accuracy.csv", index=False)
        by_class(table, dataset.load(images)).to_csv(folder / "classes.csv", index=False)
        json_files.write_json(folder / "metrics.json", measured | about | faults)


def _by_arm(table: pd.DataFrame, name: str) -> dict[str, Any]:
    """Mean and standard deviation over seeds of a measure, by arm."""
    grouped = table.groupby("arm")[name]
    mean, std = grouped.mean(), grouped.std(ddof=1).fillna(0)
    return {arm: {"mean": float(mean[arm]), "std": float(std[arm])} for arm in ARMS}


def by_class(table: pd.DataFrame, data: Dataset) -> pd.DataFrame:
    """A row a class: class_name, held_out (images), and for each arm the mean over seeds of its accuracy."""
    counts = np.bincount(data.split("test")["label"], minlength=len(data.classes))
    found = pd.DataFrame({"class_name": data.classes, "held_out": counts})
    for arm in ARMS:
        rows = np.array(table.loc[table["arm"] == arm, "by_class"].tolist(), np.float64)
        found[arm] = rows.mean(0).round(DIGITS)
    return found


def planted(subset: pd.DataFrame, truth: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """For each kind of planted fault: how many there are and were dropped, their share of the pool and of the kept."""
    table = subset.merge(truth, on="id", how="left")
    kept, given = table["selected"], table[GIVEN if GIVEN in table else "label"]
    wrong = table["true_label"].notna() & (table["true_label"] != given)
    faults = {"wrong_labels": wrong, "damaged": table["damage"].fillna("") != ""}
    left = {"wrong_labels": table["true_label"].fillna(given) != table["label"], "damaged": faults["damaged"]}
    return {
        name: {
            "planted": int(fault.sum()),
            "dropped": int((fault & ~kept).sum()),
            "share_of_pool": float(fault.mean()),
            "share_of_kept": float(left[name][kept].mean()),
        }
        for name, fault in faults.items()
        if fault.any()
    }
