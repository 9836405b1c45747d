"""Seconds and memory at the size of ImageNet, on features with planted structure.

    python -m benchmarks.scale [--n 1281167] [--classes 1000] [--folder .winnow/benchmarks/scale]

Each part runs in a process of its own, whose greatest resident memory is measured (the memory-mapped features count):

- scores: SAS, SDS and the exact solver of the published objective, with adapters as they are drawn;
- default: the whole default method, from features to a subset that is explained.

Beside them: the rate of a bare matrix product and the share of it that the scores reach, scikit-learn's
NearestNeighbors on some of the classes, and the published loop of 100,000 steps (some steps, measured, and multiplied).
The last line is one JSON object.
"""

import json
import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table
from sklearn.neighbors import NearestNeighbors

from winnow import budget, features
from winnow.files import json_files, outputs
from winnow.selection import adapt, optimize, published, score
from winnow.selection.adapters import Adapters
from winnow.selection.methods import Recipe

DIM, GROUPS, CHUNK = 512, 8, 65_536
KEEP, NEIGHBOURS, WRONG = 0.3, 0.1, 0.1
SOME_CLASSES, SOME_ROWS, SOME_STEPS = 20, 2000, 20


def generate(folder: Path, n: int, classes: int) -> None:
    """Write a feature folder: classes around their prompts, in groups of like images, a tenth of the labels wrong."""
    rng = np.random.default_rng(0)
    text = features.unit(rng.normal(size=(classes, DIM)))
    centre = text[:, None] + 1.5 * features.unit(rng.normal(size=(classes * GROUPS, DIM))).reshape(classes, GROUPS, DIM)
    truth = rng.permutation(np.arange(n) % classes)
    labels = np.where(rng.random(n) < WRONG, rng.integers(0, classes, n), truth)
    with outputs.whole_folder(folder) as room:
        image = np.lib.format.open_memmap(room / "image.npy", "w+", np.float16, (n, DIM))
        for start in range(0, n, CHUNK):
            part = truth[start : start + CHUNK]
            rows = centre[part, rng.integers(0, GROUPS, len(part))]
            image[start : start + CHUNK] = features.unit(rows + 0.08 * rng.normal(size=rows.shape).astype(np.float32))
        np.save(room / "text.npy", text.astype(np.float16))
        np.save(room / "labels.npy", labels)
        json_files.write_json(room / "classes.json", [f"class {c:04d}" for c in range(classes)])


def scores(folder: Path) -> dict[str, float]:
    """SAS, SDS and the exact solver."""
    data = features.load(folder)
    adapters = Adapters(DIM, torch.Generator().manual_seed(0)).requires_grad_(False)
    start = time.perf_counter()
    table = score.score(data, adapters, neighbours=NEIGHBOURS, device="cpu")
    k, none = budget.total(KEEP, len(table)), np.zeros(len(table), dtype=np.int8)
    chosen = published.choose(table, data, k, "exact", "proportional", "cpu", none)
    seconds = time.perf_counter() - start
    assert chosen["selected"].sum() == round(KEEP * len(table))
    n, classes = len(data.labels), len(data.classes)
    products = 2 * DIM * (n * DIM + n * classes + float(np.square(data.counts.astype(float)).sum()))
    return {"seconds": seconds, "operations": products}


def default(folder: Path) -> dict[str, float]:
    """The default method."""
    data = features.load(folder)
    start = time.perf_counter()
    adapted = adapt.adapt(data, "winnow", Recipe(), seed=0, device="cpu")
    judged = time.perf_counter()
    table = score.score(data, adapted, neighbours=NEIGHBOURS, device="cpu")
    scored = time.perf_counter()
    table = optimize.select(
        table, data, keep=KEEP, method="winnow", solver="exact", balance="proportional", device="cpu"
    )
    done = time.perf_counter()
    assert table["selected"].sum() == round(KEEP * len(table))
    return {"seconds": done - start, "adapt": judged - start, "score": scored - judged, "optimize": done - scored}


def neighbours(folder: Path) -> dict[str, float]:
    """Our SDS and scikit-learn's NearestNeighbors, on the same classes."""
    data = features.load(folder)
    rows = [data.rows(members[:SOME_ROWS]) for members in data.by_class()[:SOME_CLASSES]]
    start = time.perf_counter()
    for x in rows:
        score.diversity(torch.from_numpy(x), score.count_neighbours(NEIGHBOURS, len(x)))
    ours = time.perf_counter()
    for x in rows:
        count = score.count_neighbours(NEIGHBOURS, len(x))
        NearestNeighbors(n_neighbors=count, algorithm="brute", n_jobs=-1).fit(x).kneighbors()
    theirs = time.perf_counter()
    return {"ours": ours - start, "scikit_learn": theirs - ours}


def loop(folder: Path) -> dict[str, float]:
    """Seconds that the published loop would take for its 100,000 steps, from some of them."""
    data = features.load(folder)
    worth = np.random.default_rng(0).random(len(data.labels))
    steps, published.MAX_STEPS = published.MAX_STEPS, SOME_STEPS
    start = time.perf_counter()
    published.gradient(worth, np.zeros(len(worth), np.int64), np.array([round(KEEP * len(worth))]))
    return {"seconds": (time.perf_counter() - start) / SOME_STEPS * steps}


def product_rate() -> float:
    """Multiplications and additions a second of a bare matrix product, the best of five."""
    a, best = torch.rand(4096, 4096), 0.0
    for _ in range(5):
        start = time.perf_counter()
        a @ a
        best = max(best, 2 * 4096**3 / (time.perf_counter() - start))
    return best


def measured(part: Callable[[Path], dict[str, float]], folder: Path) -> dict[str, float]:
    """What a part returns, and its greatest resident memory in GiB."""
    found = part(folder)
    return found | {"peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}


def alone(part: Callable[[Path], dict[str, float]], folder: Path) -> dict[str, float]:
    """`measured` in a new process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as one:
        return one.submit(measured, part, folder).result()


def main(
    n: Annotated[int, typer.Option(min=1000, help="Samples.")] = 1_281_167,
    classes: Annotated[int, typer.Option(min=1, help="Classes.")] = 1000,
    folder: Annotated[Path, typer.Option(help="Where the features are made, once.")] = Path(".winnow/benchmarks/scale"),
) -> None:
    """Measure the scores and the default method at scale."""
    made = folder / f"{n}x{classes}"
    if not made.exists():
        generate(made, n, classes)
    rate, parts = product_rate(), {part.__name__: alone(part, made) for part in (scores, default, neighbours, loop)}
    share = parts["scores"]["operations"] / parts["scores"]["seconds"] / rate
    show(n, classes, rate, share, parts)
    figures: dict[str, Any] = {
        "scores_seconds": parts["scores"]["seconds"],
        "default_seconds": parts["default"]["seconds"],
        "peak_gib": max(parts["scores"]["peak_gib"], parts["default"]["peak_gib"]),
        "matmul_share": share,
        "scores_peak_gib": parts["scores"]["peak_gib"],
        "sds_seconds_of_scikit_learn": parts["neighbours"]["ours"] / parts["neighbours"]["scikit_learn"],
        "loop_seconds": parts["loop"]["seconds"],
    }
    print(json.dumps({key: round(value, 3) for key, value in figures.items()} | {"n": n}))


def show(n: int, classes: int, rate: float, share: float, parts: dict[str, dict[str, float]]) -> None:
    """Print the table."""
    table = Table(f"{n:,} x {DIM} float16, {classes:,} classes", "seconds", "peak GiB", "")
    scored, whole, near, steps = (parts[name] for name in ("scores", "default", "neighbours", "loop"))
    stages = ", ".join(f"{name} {whole[name]:.0f}" for name in ("adapt", "score", "optimize"))
    table.add_row(
        "SAS, SDS, exact solver",
        f"{scored['seconds']:.1f}",
        f"{scored['peak_gib']:.2f}",
        f"{share:.0%} of a bare matrix product's {rate / 1e9:.0f} GFLOP/s",
    )
    table.add_row("default method", f"{whole['seconds']:.1f}", f"{whole['peak_gib']:.2f}", stages)
    table.add_row(
        f"SDS of {SOME_CLASSES} classes",
        f"{near['ours']:.2f}",
        "",
        f"scikit-learn's NearestNeighbors: {near['scikit_learn']:.2f}",
    )
    table.add_row(
        "the published loop, 100,000 steps",
        f"{steps['seconds']:,.0f}",
        f"{steps['peak_gib']:.2f}",
        f"from {SOME_STEPS} steps",
    )
    Console(width=130).print(table)


if __name__ == "__main__":
    typer.run(main)
