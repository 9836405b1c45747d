"""The published method (paper, eq. 5 to 7): its scores combined, its objective as a sort, and its loop.

The objective is linear in the samples, so sorting finds its optimum (`docs/method.md`): that is `exact`. `gradient` is
the published loop.
"""

import logging

import numpy as np
import pandas as pd
import torch
from rich.progress import Progress

from winnow.features import Features
from winnow.selection import ranking
from winnow.selection.methods import Balance, Solver
from winnow.terminal import bars

ALPHA = 0.1  # weight of diversity against alignment
BETA = 2.0  # weight of the ratio
SHARPNESS = 100.0  # s = sigmoid(SHARPNESS * d)
START = 0.01  # every d at the start
LR, MOMENTUM = 1e-3, 0.9
TOLERANCE = 1e-3  # stop when BETA * |mean(s^) - r| is below it
MAX_STEPS = 100_000

log = logging.getLogger(__name__)


def choose(
    scores: pd.DataFrame, data: Features, k: int, solver: Solver, balance: Balance, device: str, turn: np.ndarray
) -> pd.DataFrame:
    """Choose `k` samples over the whole pool or within each class: adds the columns `combined` and `selected`."""
    label = data.labels
    # With no balance the whole pool is one group; otherwise each class is a group with a budget of its own.
    group = np.zeros_like(label) if balance == "none" else label
    split = np.array([k]) if balance == "none" else ranking.split(data, k, balance, turn)
    combined = combine(scores["sas"].to_numpy(), scores["sds"].to_numpy())
    worth = combined if solver == "exact" else gradient(combined, group, split, device)
    return scores.assign(combined=combined, selected=ranking.top(ranking.in_turn(worth, turn), group, split, data.ids))


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
    with Progress(disable=bars.hidden(), transient=True) as progress:
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
