"""Run one cell of a grid: train a network on what one method kept, measure it, and save the result."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from winnow.bench import baselines, prepared
from winnow.bench.prepared import PreparedData
from winnow.features import Features
from winnow.files import hashes
from winnow.images import plant
from winnow.training import cell_runner, classifier
from winnow.training.classifier import Training
from winnow.training.length import Length

DIGITS = 5  # of results

Kind = Literal["clean", "symmetric", "asymmetric", "near"]


@dataclass(frozen=True)
class LabelNoise:
    """Wrong labels.

    Attributes:
        kind: how they are drawn (`images.plant`).
        share: of the pool; with `asymmetric`, of the classes that are mistaken.
        to: of `asymmetric`, pairs of class names: the first is mistaken for the second. None at all: each class for the
            next, the last for the first.
    """

    kind: Kind = "clean"
    share: float = 0.0
    to: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return f"{self.kind} {self.share:g}" if self.share else "clean"

    def plant(self, data: Features, rng: np.random.Generator) -> np.ndarray:
        """(N,) labels as given.

        Raises:
            InputError: `to` names a class that there is not.
        """
        if self.kind == "asymmetric":
            to = plant.mistaken(data.classes, dict(self.to), "noises.to")
            return plant.asymmetric(data.labels, to, self.share, rng)
        if self.kind == "near":
            return plant.near(data.labels, data.anchors if data.text is None else data.text, self.share, rng)
        return plant.wrong_labels(data.labels, len(data.classes), self.share, rng)


@dataclass(frozen=True)
class Cell:
    """Which network is trained on what."""

    noise: LabelNoise
    damage: float
    keep: float
    method: str
    model: str
    budget: Length
    seed: int

    @property
    def settings(self) -> dict[str, Any]:
        """The columns of a row that say which cell it is."""
        return {
            name: str(value) if isinstance(value, LabelNoise | Length) else value for name, value in vars(self).items()
        }

    def __str__(self) -> str:
        parts = (
            self.noise,
            f"damage {self.damage:g}",
            f"keep {self.keep:g}",
            self.method,
            self.model,
            self.budget,
            f"seed {self.seed}",
        )
        return "_".join(str(part).replace(" ", "-") for part in parts)


@dataclass(frozen=True)
class BenchJob:
    """What all cells of a grid have in common.

    Attributes:
        prepared: folder of the prepared data, and of what methods find out once for several cells.
        digest: names the prepared data without damage (`prepared.digest`).
        trainings: how each model is trained, except for how long.
        judge: how the network is trained that a method may need to choose: what is chosen never depends on the model
            that is then trained.
    """

    prepared: Path
    digest: str
    trainings: dict[str, Training]
    judge: Training

    def folder(self, cell: Cell) -> Path:
        """The folder of a cell's images."""
        return self.prepared / (f"damage-{cell.damage:g}-{cell.seed}" if cell.damage else "clean")

    def memory(self, cell: Cell) -> Path:
        """The folder of what methods find out about a cell's pool."""
        return self.prepared / "memory" / _digest(self.digest, cell.noise, cell.damage, cell.seed, self.judge)

    def name(self, cell: Cell) -> str:
        """The name of a cell's files; another whenever the result could be another."""
        return f"{cell}_{_digest(self.digest, cell, self.trainings[cell.model], self.judge)[:8]}"


def _digest(*parts: object) -> str:
    return hashes.sha256(*map(repr, parts))[:16]


def run(work: BenchJob, cell: Cell, out: Path, log: Path, *, device: str) -> None:
    """Train and measure a cell (`winnow.training.cell_runner`): its row goes to `out`, or to `log` why there is none.

    Args:
        work: what all cells share.
        cell: which.
        out: the result, a JSON file.
        log: a text file.
        device: where to compute.
    """

    def row() -> dict[str, Any]:
        return measure(prepared.load(work.folder(cell)), cell, work.trainings, work.judge, work.memory(cell), device)

    cell_runner.finish(str(cell), out, log, row, device)


def measure(
    on: PreparedData, cell: Cell, trainings: dict[str, Training], judge: Training, memory: Path, device: str
) -> dict[str, Any]:
    """Select, train and measure.

    Args:
        on: images, features and true labels.
        cell: which.
        trainings, judge: as in `Work`.
        memory: folder for what methods find out about the pool of this cell.
        device: where to compute.

    Returns:
        A row of the results.

    Raises:
        DivergenceError: the network is worth nothing.
    """
    labels = cell.noise.plant(on.data, np.random.default_rng(cell.seed))
    data = replace(on.data, labels=labels)
    chosen, seconds = baselines.choose(
        baselines.Pool(data, on.train, judge, cell.seed, memory, device), cell.method, cell.keep
    )
    training = cell.budget.training(trainings[cell.model], int(chosen.sum()))
    start = time.perf_counter()
    model = classifier.fit(
        on.train[chosen], labels[chosen], training, classes=len(data.classes), seed=cell.seed, device=device
    )
    trained = time.perf_counter() - start
    found = model.measure(on.test, on.test_labels)
    measured = {
        "accuracy": found.accuracy,
        "worst_class": found.worst_class,
        "calibration_error": found.calibration_error,
        "kept": int(chosen.sum()),
        "wrong_left": float((labels != on.data.labels)[chosen].mean()),
        "damaged_left": float(on.damaged[chosen].mean()),
        "seconds": seconds,
        "training_seconds": trained,
        "samples_seen": training.steps * training.batch_size,
    }
    rounded = {name: round(value, DIGITS) for name, value in measured.items()}
    return cell.settings | rounded | {"by_class": found.by_class}
