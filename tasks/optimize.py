"""Stage optimize: choose the subset for the budget asked for.

In:  data/score/scores.parquet. Out: data/optimize/subset.parquet (the scores, what was combined, and `selected`) and
metrics.json.

The published objective (paper, eq. 5 to 7) is linear in the samples, so its optimum is a sort; `docs/method.md` derives
it. `exact` is that sort, `gradient` is the published loop.
"""

import logging
import sys
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
from rich.progress import Progress

from tasks import budget
from tasks.budget import Balance
from tasks.files import whole_folder, write_json

Method = Literal["paper"]
Solver = Literal["exact", "gradient"]

ALPHA = 0.1  # weight of diversity against alignment
BETA = 2.0  # weight of the ratio
SHARPNESS = 100.0  # s = sigmoid(SHARPNESS * d)
START = 0.01  # every d at the start
LR, MOMENTUM = 1e-3, 0.9
TOLERANCE = 1e-3  # stop when BETA * |mean(s^) - r| is below it
MAX_STEPS = 100_000

log = logging.getLogger(__name__)


def select(
    scores: pd.DataFrame, *, keep: float, method: Method, solver: Solver, balance: Balance, device: str
) -> pd.DataFrame:
    """Add `combined` and `selected` to a table of scores.

    Args:
        scores: columns id, label, sas, sds; a row a sample.
        keep: share of the samples to keep; round(keep * N) are.
        method: what is optimised.
        solver: how.
        balance: how the budget is split over classes.
        device: where the gradient solver computes.

    Raises:
        InputError: `keep` is out of range.
    """
    label = scores["label"].to_numpy()
    k = budget.total(keep, len(scores))
    # With no balance the whole pool is one group; otherwise each class is a group with a budget of its own.
    group = np.zeros_like(label) if balance == "none" else label
    split = np.array([k]) if balance == "none" else budget.shares(np.bincount(label), k, balance)
    combined = combine(scores["sas"].to_numpy(), scores["sds"].to_numpy())
    worth = combined if solver == "exact" else gradient(combined, group, split, device)
    return scores.assign(combined=combined, selected=top(worth, group, split, scores["id"].to_numpy()))


def combine(sas: np.ndarray, sds: np.ndarray) -> np.ndarray:
    """What a sample is worth, c = a + ALPHA * b, of (N,) scores scaled to [0, 1] and then to a mean of one."""
    return _scale(sas) + ALPHA * _scale(sds)


def _scale(score: np.ndarray) -> np.ndarray:
    score = score.astype(np.float64)
    low, high = score.min(), score.max()
    if high == low:
        return np.ones_like(score)
    scaled = (score - low) / (high - low)
    return scaled / scaled.mean()


def top(worth: np.ndarray, group: np.ndarray, split: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Mark the `split[g]` samples of greatest worth in each group g; ties go to the lower id, so row order is nothing.

    Args:
        worth: (N,) what each sample is worth.
        group: (N,) group of each sample.
        split: (G,) samples to take from each group.
        ids: (N,) unique ids.

    Returns:
        (N,) bool.
    """
    order = np.lexsort((ids, -worth, group))
    starts = np.searchsorted(group[order], np.arange(len(split)))
    rank = np.arange(len(order)) - starts[group[order]]
    chosen = np.zeros(len(order), dtype=bool)
    chosen[order] = rank < split[group[order]]
    return chosen


def gradient(worth: np.ndarray, group: np.ndarray, split: np.ndarray, device: str = "cpu") -> np.ndarray:
    """The published loop (paper, eq. 5 to 7): SGD with momentum on one parameter a sample, straight-through estimator.

    Minimises, over the parameters d with s = sigmoid(SHARPNESS * d) and s^ = 1[s > 1/2] - stop(s) + s,

        L = -mean(s * worth) + BETA * sum_g (n_g / N) |mean_g(s^) - r_g|

    where r_g is the budget of group g as a share of it. With one group this is the published loss.

    Args:
        worth: (N,) a_i + ALPHA * b_i.
        group: (N,) group of each sample.
        split: (G,) samples to keep in each group.
        device: where to compute.

    Returns:
        (N,) the parameters d when the ratio is met (or after MAX_STEPS); the samples kept are those of greatest d.
    """
    c, g = torch.tensor(worth, device=device), torch.tensor(group, device=device)
    size = torch.bincount(g, minlength=len(split)).double()
    ratio = torch.from_numpy(split).to(device) / size.clamp(min=1)
    d = torch.full_like(c, START, requires_grad=True)
    optimizer = torch.optim.SGD([d], lr=LR, momentum=MOMENTUM)
    with Progress(disable=not sys.stderr.isatty(), transient=True) as progress:
        bar = progress.add_task("optimize (gradient)", total=MAX_STEPS)
        for _ in range(MAX_STEPS):
            s = torch.sigmoid(SHARPNESS * d)
            hard = (s > 0.5).double() - s.detach() + s
            kept = torch.zeros_like(size).index_add(0, g, hard) / size.clamp(min=1)
            miss = BETA * (size / len(c) * (kept - ratio).abs()).sum()
            if miss < TOLERANCE:
                break
            optimizer.zero_grad()
            (miss - (s * c).mean()).backward()
            optimizer.step()
            progress.advance(bar)
        else:
            log.warning("the gradient loop did not meet the ratio in %d steps; it is cut to the budget", MAX_STEPS)
    return d.detach().cpu().numpy()


def run(scores: Path, out: Path, *, keep: float, method: Method, solver: Solver, balance: Balance, device: str) -> None:
    """Choose from the table `scores` and write subset.parquet and metrics.json to `out`."""
    table = select(pd.read_parquet(scores), keep=keep, method=method, solver=solver, balance=balance, device=device)
    with whole_folder(out) as folder:
        table.to_parquet(folder / "subset.parquet", index=False)
        write_json(folder / "metrics.json", summary(table))


def summary(table: pd.DataFrame) -> dict[str, float | int]:
    """What was kept, in numbers: in all and by class, and the mean scores beside those of the pool."""
    kept = table[table["selected"]]
    counts = np.bincount(kept["label"], minlength=table["label"].max() + 1)
    return {
        "pool": len(table),
        "kept": len(kept),
        "smallest_class_kept": int(counts.min()),
        "largest_class_kept": int(counts.max()),
        "mean_alignment_kept": float(kept["alignment"].mean()),
        "mean_alignment_pool": float(table["alignment"].mean()),
        "mean_diversity_kept": float(kept["sds"].mean()),
        "mean_diversity_pool": float(table["sds"].mean()),
    }
