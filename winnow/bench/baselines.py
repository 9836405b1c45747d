"""Selection methods to compare with: each maps the pool and a budget per class to the samples it keeps.

Greedy rules follow their papers, within each class; labels are those given. `docs/method.md` compares them with ours.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from winnow import budget, extras
from winnow.bench.labels import held_out
from winnow.features import Features
from winnow.files import locks, marks, outputs
from winnow.selection import adapt, coverage, optimize, ranking, score
from winnow.selection.methods import Balance, Method, Recipe
from winnow.training import classifier
from winnow.training.classifier import Training


@dataclass(frozen=True)
class Pool:
    """What there is to choose from.

    Attributes:
        data: features and the labels as given.
        images: (N, side, side, 3) uint8.
        training: how the network that judges is trained.
        seed: fixes random choices.
        memory: folder for what a method finds once for every budget.
        device: where to compute.
        earlier: seconds that were spent on finding it, in an earlier cell.
    """

    data: Features
    images: np.ndarray
    training: Training
    seed: int
    memory: Path
    device: str = "cpu"
    earlier: list[float] = field(default_factory=list)


Split = np.ndarray  # (C,) samples to keep of each class
Pick = Callable[[np.ndarray, int], np.ndarray]  # (n, d) unit features of a class and a budget to rows


def random(pool: Pool, split: Split) -> np.ndarray:
    """Stratified random selection."""
    return budget.draw(pool.data.labels, split, np.random.default_rng(pool.seed))


def winnow(pool: Pool, split: Split) -> np.ndarray:
    """Ours."""
    return _own(pool, split, "winnow", "proportional")


def paper(pool: Pool, split: Split) -> np.ndarray:
    """The published method with the budget split by class."""
    return _own(pool, split, "paper", "proportional")


def paper_unbalanced(pool: Pool, split: Split) -> np.ndarray:
    """The published method as published: one ranking over all classes."""
    return _own(pool, split, "paper", "none")


def herding(pool: Pool, split: Split) -> np.ndarray:
    """Samples whose running mean stays nearest to the mean of the class (Welling 2009)."""

    def pick(x: np.ndarray, k: int) -> np.ndarray:
        mean, total, free, chosen = x.mean(0), np.zeros(x.shape[1]), np.ones(len(x), bool), []
        for t in range(1, k + 1):
            chosen.append(int(np.where(free, x @ (t * mean - total), -np.inf).argmax()))
            free[chosen[-1]], total = False, total + x[chosen[-1]]
        return np.array(chosen, np.int64)

    return _within(pool, split, pick)


def k_center(pool: Pool, split: Split) -> np.ndarray:
    """Always the sample furthest from what was chosen, first the one nearest to the mean (Sener, Savarese 2018)."""

    def pick(x: np.ndarray, k: int) -> np.ndarray:
        chosen, far = [int((x @ x.mean(0)).argmax())], np.full(len(x), np.inf)
        while len(chosen) < k:
            far = np.minimum(far, 1 - x @ x[chosen[-1]])
            far[chosen[-1]] = -np.inf
            chosen.append(int(far.argmax()))
        return np.array(chosen[:k], np.int64)

    return _within(pool, split, pick)


def moderate(pool: Pool, split: Split) -> np.ndarray:
    """Samples whose distance to the mean of the class is nearest to the median distance (Xia et al. 2023)."""

    def pick(x: np.ndarray, k: int) -> np.ndarray:
        distance = np.linalg.norm(x - x.mean(0), axis=1)
        return np.abs(distance - np.median(distance)).argsort(kind="stable")[:k]

    return _within(pool, split, pick)


def facility_location(pool: Pool, split: Split) -> np.ndarray:
    """Greedy facility location over all samples of the class alike: coverage without trust."""

    def pick(x: np.ndarray, k: int) -> np.ndarray:
        return coverage.choose(torch.from_numpy(x).to(pool.device), np.ones(len(x)), k)

    return _within(pool, split, pick)


def el2n(pool: Pool, split: Split) -> np.ndarray:
    """The hardest samples by the error norm early in training, a mean of three short runs (Paul et al. 2021)."""
    error = once(pool, "el2n", lambda: pd.DataFrame({"error": _early_error(pool)}))["error"].to_numpy()
    return ranking.top(error, pool.data.labels, split, pool.data.ids)


def _early_error(pool: Pool) -> np.ndarray:
    short, classes = replace(pool.training, steps=max(10, pool.training.steps // 5)), len(pool.data.classes)
    labels = pool.data.labels
    error = np.zeros(len(labels))
    for run in range(3):
        model = classifier.fit(
            pool.images, labels, short, classes=classes, seed=3 * pool.seed + run, device=pool.device
        )
        p = model.logits(pool.images).softmax(1)
        error += (p - F.one_hot(torch.from_numpy(labels), classes)).norm(dim=1).numpy()
    return error


def cleanlab(pool: Pool, split: Split) -> np.ndarray:
    """The best self-confidence of a cross-validated logistic regression on the features (Northcutt et al. 2021)."""
    quality = once(pool, "cleanlab", lambda: label_quality(pool.data))
    return ranking.top(quality["self_confidence"].to_numpy(), pool.data.labels, split, pool.data.ids)


METHODS: dict[str, Callable[[Pool, Split], np.ndarray]] = {
    method.__name__: method
    for method in (
        winnow,
        random,
        paper,
        paper_unbalanced,
        herding,
        k_center,
        moderate,
        facility_location,
        el2n,
        cleanlab,
    )
}


EVERYTHING = "all"  # beside the methods: the whole pool, whatever the budget


def choose(pool: Pool, method: str, keep: float) -> tuple[np.ndarray, float]:
    """(N,) bool: what a method keeps of the pool, exactly as many as `keep` says; and the seconds that took in all."""
    if method == EVERYTHING:
        return np.ones(len(pool.data.labels), bool), 0.0
    start = time.perf_counter()
    split = budget.shares(pool.data.counts, budget.total(keep, len(pool.data.labels)), "proportional")
    chosen = METHODS[method](pool, split)
    seconds = time.perf_counter() - start + sum(pool.earlier)
    assert chosen.sum() == split.sum(), "every method meets the budget exactly"
    return chosen, seconds


def once(pool: Pool, name: str, find: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """What `find` returns, from the pool's memory if an earlier cell left it there; one cell finds it for all."""
    path = pool.memory / f"{name}.parquet"
    with locks.locked(path.with_suffix(".lock"), f"makes {path}"):
        if marks.is_finished(path):
            table = pd.read_parquet(path)
            pool.earlier.append(table.attrs["seconds"])
            return table
        start = time.perf_counter()
        table = find()
        table.attrs["seconds"] = time.perf_counter() - start
        with outputs.whole_file(path) as partial:
            table.to_parquet(partial)
        marks.finish(path)
        return table


def label_quality(data: Features) -> pd.DataFrame:
    """cleanlab's self_confidence (N,) by five-fold logistic regression on the features."""
    rank = extras.load("cleanlab.rank", "bench")  # it takes seconds to import, and other methods do without
    p = held_out.probabilities(data)
    quality = rank.get_label_quality_scores(data.labels, p, method="self_confidence", adjust_pred_probs=False)
    return pd.DataFrame({"self_confidence": quality})


def _own(pool: Pool, split: Split, method: Method, balance: Balance) -> np.ndarray:
    def scored() -> pd.DataFrame:
        adapted = adapt.adapt(pool.data, method, Recipe(), seed=pool.seed, device=pool.device)
        return score.score(pool.data, adapted, neighbours=0.1, device=pool.device)

    scores = once(pool, method, scored)
    keep = int(split.sum()) / len(scores)
    table = optimize.select(
        scores, pool.data, keep=keep, method=method, solver="exact", balance=balance, device=pool.device
    )
    return table["selected"].to_numpy()


def _within(pool: Pool, split: Split, pick: Pick) -> np.ndarray:
    """Apply `pick` to each class; (N,) bool."""
    chosen = np.zeros(len(pool.data.labels), bool)
    for members, k in zip(pool.data.by_class(), split, strict=True):
        if k:
            chosen[members[pick(pool.data.rows(members), int(k))]] = True
    return chosen
