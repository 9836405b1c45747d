"""Test accuracy of one small network trained on what each method keeps, at every ratio, clean and with wrong labels.

    python -m benchmarks.accuracy ../shared/data [--only cifar10] [--methods winnow,random] [--seeds 3]

Every cell (dataset, noise, keep, method, seed) is a row of docs/results/accuracy.csv, written as soon as it is known;
cells that are there are not run again. Prints a table of means and standard deviations, and how ours compares with a
random choice and with the best; the last line is a JSON object.
"""

import csv
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

os.environ["OMP_NUM_THREADS"] = "1"  # cells run side by side, a core each

import pandas as pd
import typer
from rich.progress import track

RESULTS = Path("docs/results/accuracy.csv")
SCRATCH = Path(".winnow/benchmarks")
COLUMNS = ["dataset", "noise", "keep", "method", "seed", "accuracy", "kept", "wrong_left", "seconds"]


@dataclass(frozen=True)
class Task:
    """A data set and how the network is trained on it."""

    source: str
    features: str
    side: int
    width: int
    steps: int
    batch_size: int
    lr: float
    keeps: tuple[float, ...]


TASKS = {
    "cifar10": Task("cifar10", "cifar10/encoder", 32, 16, 1500, 64, 0.008, (0.05, 0.1, 0.3, 0.5, 0.7)),
    "caltech101": Task("caltech101/images", "caltech101/clip-vit-b-32", 64, 16, 1500, 64, 0.008, (0.2, 0.4, 0.6)),
}
NOISES = (0.0, 0.2)


@dataclass(frozen=True)
class Cell:
    """One training run."""

    dataset: str
    noise: float
    keep: float
    method: str
    seed: int


def prepare(name: str, room: Path) -> None:
    """Read and decode a data set under `room`, and take its features; what was done is not done again."""
    from winnow.bench import prepared

    task = TASKS[name]
    prepared.make(prepared.Origin(str(room / task.source), room / task.features, task.side), SCRATCH / name)


def run(cell: Cell) -> dict[str, Any]:
    """Select, train and measure, as `winnow.bench` does, on what `prepare` left."""
    import torch

    from winnow.bench import cells, prepared
    from winnow.training.classifier import Training
    from winnow.training.length import Length

    torch.set_num_threads(1)
    task = TASKS[cell.dataset]
    training = Training(task.width, task.steps, task.batch_size, task.lr, flip=True)
    noise, length = cells.Noise("symmetric", cell.noise), Length(task.steps, "steps")
    place = cells.Cell(noise, 0.0, cell.keep, cell.method, training.model, length, cell.seed)
    memory = SCRATCH / cell.dataset / f"{cell.noise}-{cell.seed}"
    row = cells.measure(
        prepared.load(SCRATCH / cell.dataset), place, {training.model: training}, training, memory, "cpu"
    )
    return asdict(cell) | {name: row[name] for name in COLUMNS[5:]}


def grid(datasets: list[str], methods: list[str], seeds: int) -> list[Cell]:
    """All cells, seed by seed, so that a run that is cut short leaves whole tables."""
    return [
        Cell(dataset, noise, keep, method, seed)
        for seed in range(seeds)
        for dataset in datasets
        for noise in NOISES
        for keep in TASKS[dataset].keeps
        for method in methods
    ]


def finished() -> pd.DataFrame:
    """The rows that are there."""
    return pd.read_csv(RESULTS) if RESULTS.exists() else pd.DataFrame(columns=COLUMNS)


def missing(cells: list[Cell]) -> list[Cell]:
    """The cells that have no row yet."""
    have = {tuple(row) for row in finished()[COLUMNS[:5]].itertuples(index=False)}
    return [cell for cell in cells if tuple(asdict(cell).values()) not in have]


def tables(rows: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Means and standard deviations in %, by data set, noise and keep (rows of a table) and method."""
    found: dict[str, dict[str, str]] = {}
    for (dataset, noise, keep), part in rows.groupby(["dataset", "noise", "keep"]):
        by_method = part.groupby("method")["accuracy"]
        mean, std = 100 * by_method.mean(), 100 * by_method.std(ddof=1).fillna(0)
        found[f"{dataset} noise {noise:g} keep {keep:g}"] = {m: f"{mean[m]:.2f} ± {std[m]:.2f}" for m in mean.index}
    return found


def judge(rows: pd.DataFrame) -> pd.DataFrame:
    """Ours against stratified random on clean data, and against the best of the others on noisy data.

    Returns:
        A row a setting: dataset, noise, keep, rival, `gap` of mean accuracies in points, `in_std` the same in standard
        deviations (the greater of the two), and `better`, the methods whose mean is above ours.
    """
    found = []
    for (dataset, noise, keep), part in rows.groupby(["dataset", "noise", "keep"]):
        by_method = part.groupby("method")["accuracy"]
        mean, std = (by_method.mean() * 100).to_dict(), (by_method.std(ddof=1) * 100).to_dict()
        ours = mean.pop("winnow")
        rival = max(mean, key=mean.__getitem__) if noise else "random"
        gap, better = ours - mean[rival], sorted((name for name in mean if mean[name] > ours), key=mean.__getitem__)
        found.append(
            (dataset, noise, keep, rival, gap, gap / max(std["winnow"], std[rival]), ", ".join(map(str, better[::-1])))
        )
    return pd.DataFrame(found, columns=["dataset", "noise", "keep", "rival", "gap", "in_std", "better"])


def main(
    room: Annotated[Path, typer.Argument(help="Folder with cifar10/ and caltech101/.")],
    only: Annotated[str, typer.Option(help="Data sets, by comma.")] = ",".join(TASKS),
    methods: Annotated[str, typer.Option(help="Methods, by comma; all if empty.")] = "",
    seeds: Annotated[int, typer.Option(min=1, help="Training runs of every cell.")] = 3,
) -> None:
    """Run the cells that are missing, then print the table."""
    from winnow.bench import baselines

    wanted = methods.split(",") if methods else list(baselines.METHODS)
    cells = missing(grid(only.split(","), wanted, seeds))
    for name in only.split(","):
        prepare(name, room)
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    if not RESULTS.exists():
        RESULTS.write_text(",".join(COLUMNS) + "\n")
    with ProcessPoolExecutor(os.cpu_count()) as workers:
        jobs = [workers.submit(run, cell) for cell in cells]
        for job in track(as_completed(jobs), total=len(jobs), description="cells", disable=not sys.stderr.isatty()):
            with RESULTS.open("a", newline="") as file:
                csv.DictWriter(file, COLUMNS, lineterminator="\n").writerow(job.result())
    show(finished(), wanted)


def show(rows: pd.DataFrame, methods: list[str]) -> None:
    """Print the tables and, last, one JSON object."""
    found, judged = tables(rows), judge(rows)
    print(
        markdown(found, methods),
        judged.to_markdown(index=False, floatfmt=("", "g", "g", "", "+.2f", "+.1f")),
        "",
        sep="\n\n",
    )
    clean = judged[judged["noise"] == 0]
    print(json.dumps({"accuracy": found, "mean_gap_to_random_on_clean": round(clean["gap"].mean(), 2)}))


def markdown(found: dict[str, dict[str, str]], methods: list[str]) -> str:
    """The table, as the docs show it."""
    table = pd.DataFrame.from_dict(found, orient="index", columns=methods).fillna("")
    return table.rename_axis("test accuracy in %").to_markdown()


if __name__ == "__main__":
    typer.run(main)
