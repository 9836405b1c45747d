"""Stage optimize: choose the subset for the budget asked for.

In:  data/score (scores, near duplicates), data/embed (features), and what a person said to keep in
data/prepare/corrections.parquet. Out: data/optimize/subset.parquet (the scores, `selected`, and why what was dropped
was dropped) and metrics.json.

`winnow` covers each class by what is trusted in it (`selection.coverage`). The objective of `paper` (eq. 5 to 7) is
linear in the samples, so its optimum is a sort, which `exact` is (`docs/method.md`); `gradient` is the published loop.
"""

import logging
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from rich.progress import Progress, track
from scipy.special import expit

from winnow import budget, features
from winnow import corrections as decisions
from winnow.budget import Balance
from winnow.compute import threads
from winnow.errors import InputError
from winnow.features import Features
from winnow.files.json_files import write_json
from winnow.files.outputs import whole_folder
from winnow.selection import coverage, explain, near_duplicates
from winnow.selection.methods import Method, Solver

ALPHA = 0.1  # weight of diversity against alignment
BETA = 2.0  # weight of the ratio
SHARPNESS = 100.0  # s = sigmoid(SHARPNESS * d)
START = 0.01  # every d at the start
LR, MOMENTUM = 1e-3, 0.9
TOLERANCE = 1e-3  # stop when BETA * |mean(s^) - r| is below it
MAX_STEPS = 100_000
FIRST, IN_TURN, LAST = 1, 0, -1  # what a person confirmed, the rest, and near duplicates

log = logging.getLogger(__name__)


def select(
    scores: pd.DataFrame,
    data: Features,
    *,
    keep: float,
    method: Method,
    solver: Solver,
    balance: Balance,
    twins: pd.DataFrame | None = None,
    device: str,
    confirmed: np.ndarray | None = None,
) -> pd.DataFrame:
    """Choose, and explain: adds `selected`, the columns of `selection.explain`, and for `paper` also `combined`.

    Args:
        scores: columns id, label, alignment, sas, sds, predicted, damaged; a row a sample.
        data: the features that were scored, in the same order.
        keep: share of the samples to keep; round(keep * N) are.
        method: what is optimised.
        solver: how the published objective is.
        balance: how the budget is split over classes.
        twins: near duplicates (`selection.near_duplicates`) that are kept only where a budget leaves no choice.
        device: where to compute.
        confirmed: (N,) bool, what is kept in any case, within the budget; a class that needs more than its share for
            that gets it, and the others share the rest.

    Raises:
        InputError: `keep` is out of range, or keeps fewer than are confirmed.
    """
    k = budget.total(keep, len(scores))
    twin = near_duplicates.twins(twins, data) if twins is not None else np.full(len(scores), -1)
    confirmed = np.zeros(len(scores), dtype=bool) if confirmed is None else confirmed
    if confirmed.sum() > k:
        raise InputError(
            f"optimize.keep is {keep}, which keeps {k:,} samples, and corrections say to keep {confirmed.sum():,}; "
            "raise it, or take decisions back"
        )
    turn = np.select([confirmed, twin >= 0], [FIRST, LAST], IN_TURN)
    if method == "paper":
        table = published(scores, data, k, solver, balance, device, turn)
    else:
        table = covering(scores, data, k, balance, device, turn)
    return explain.explain(table, data, doubted(table, method), device, twin)


def published(
    scores: pd.DataFrame, data: Features, k: int, solver: Solver, balance: Balance, device: str, turn: np.ndarray
) -> pd.DataFrame:
    """The published method (paper, eq. 5 to 7), over the whole pool or within each class."""
    label = data.labels
    # With no balance the whole pool is one group; otherwise each class is a group with a budget of its own.
    group = np.zeros_like(label) if balance == "none" else label
    split = np.array([k]) if balance == "none" else _split(data, k, balance, turn)
    combined = combine(scores["sas"].to_numpy(), scores["sds"].to_numpy())
    worth = combined if solver == "exact" else gradient(combined, group, split, device)
    return scores.assign(combined=combined, selected=top(_in_turn(worth, turn), group, split, data.ids))


def _in_turn(worth: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """What each is worth (N,), with what comes FIRST above all others and what comes LAST below them."""
    return np.select([turn == FIRST, turn == LAST], [np.inf, -np.inf], worth)


def _split(data: Features, k: int, balance: Balance, turn: np.ndarray) -> np.ndarray:
    """(C,) samples to keep in each class."""
    least = np.bincount(data.labels[turn == FIRST], minlength=len(data.classes))
    return budget.shares_of_at_least(data.counts, k, balance, least)


def covering(
    scores: pd.DataFrame, data: Features, k: int, balance: Balance, device: str, turn: np.ndarray
) -> pd.DataFrame:
    """Within each class the samples that cover what is trusted; with no balance the best aligned make the budgets."""
    odds = np.where(turn == LAST, -np.inf, scores["alignment"].to_numpy())
    worth = _in_turn(odds, turn)
    if balance == "none":
        best = top(worth, np.zeros_like(data.labels), np.array([k]), data.ids)
        split = np.bincount(data.labels[best], minlength=len(data.classes))
    else:
        split = _split(data, k, balance, turn)
    trust, selected = expit(odds.astype(np.float64)), np.zeros(len(odds), dtype=bool)
    for members, share in zip(
        track(data.by_class(), description="optimize", disable=not sys.stderr.isatty(), transient=True),
        split,
        strict=True,
    ):
        best = members[np.lexsort((data.ids[members], -worth[members]))]
        pool = best[: coverage.pool_size(trust[best], share)]
        if share < len(pool):
            x = torch.from_numpy(data.rows(pool)).to(device)
            pool = pool[coverage.choose(x, trust[pool], share, int((turn[pool] == FIRST).sum()))]
        selected[pool] = True
    return scores.assign(selected=selected)


def doubted(table: pd.DataFrame, method: Method) -> np.ndarray:
    """(N,) bool: the label is more likely wrong than right, as far as the method can say."""
    other = (table["predicted"] != table["label"]).to_numpy()
    return other if method == "paper" else other & (table["alignment"] < 0).to_numpy()


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


@threads.fixed()
def run(
    scores: Path,
    embed: Path,
    corrections: Path,
    out: Path,
    *,
    keep: float,
    method: Method,
    solver: Solver,
    balance: Balance,
    drop_near_duplicates: bool,
    device: str,
) -> None:
    """Choose from the folder `scores` of the feature folder `embed`; write subset.parquet and metrics.json to `out`.

    What the table of decisions at `corrections` says to keep is kept.
    """
    twins = pd.read_parquet(scores / "near_duplicates.parquet") if drop_near_duplicates else None
    data = features.load(embed)
    table = select(
        pd.read_parquet(scores / "scores.parquet"),
        data,
        keep=keep,
        method=method,
        solver=solver,
        balance=balance,
        twins=twins,
        device=device,
        confirmed=decisions.kept(corrections, data.ids),
    )
    with whole_folder(out) as folder:
        table.to_parquet(folder / "subset.parquet", index=False)
        write_json(folder / "metrics.json", explain.summary(table))
