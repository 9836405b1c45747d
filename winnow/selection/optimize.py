"""Stage optimize: choose the subset for the budget asked for.

In:  data/score (scores, near duplicates), data/embed (features), and from data/prepare/corrections.parquet the images
that a person decided to keep, and answers whether labels are right. Out: data/optimize/subset.parquet (the scores,
`selected`, and the reason for each dropped sample), held_out.parquet (`selection.held_out`) and metrics.json.

`winnow` covers the trusted samples of each class (`selection.coverage`); `paper` is the published method
(`selection.published`).
"""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from rich.progress import track
from scipy.special import expit

from winnow import budget, features
from winnow import corrections as decisions
from winnow.checking import results
from winnow.checking.results import Answers
from winnow.compute import threads
from winnow.errors import ArgumentError, InputError, named
from winnow.features import Features
from winnow.files.json_files import write_json
from winnow.files.outputs import whole_folder
from winnow.selection import answered, coverage, explain, held_out, near_duplicates, published, ranking
from winnow.selection import relabel as relabelling
from winnow.selection.methods import Balance, Method, Solver
from winnow.terminal import bars

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
    answers: Answers | None = None,
    max_wrong: float | None = None,
) -> pd.DataFrame:
    """Choose, and explain: adds `selected`, the columns of `selection.explain`, and for `paper` also `combined`.

    Where there are answers, those of `selection.answered` too.

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
        answers: of a person about the same rows.
        max_wrong: the share of wrong labels that may be kept, as far as answers show it; less is kept where need be.

    Raises:
        InputError: `keep` is out of range, or keeps fewer than are confirmed.
    """
    k = budget.total(keep, len(scores))
    twin = near_duplicates.twins(twins, data) if twins is not None else np.full(len(scores), -1)
    confirmed = np.zeros(len(scores), dtype=bool) if confirmed is None else confirmed
    if confirmed.sum() > k:
        raise ArgumentError(
            "keep",
            f"is {keep}, which keeps {k:,} samples, and corrections say to keep {confirmed.sum():,}; raise it, or take "
            "decisions back",
        )
    turn = np.select([confirmed, twin >= 0], [ranking.FIRST, ranking.LAST], ranking.IN_TURN)
    if method == "paper":
        table = published.choose(scores, data, k, solver, balance, device, turn)
    else:
        table = covering(scores, data, k, balance, device, turn)
    if answers:
        verdict = doubted(table, method)
        table = answered.settle(table, answers, turn, verdict, calibrated=method == "winnow", max_wrong=max_wrong)
    return explain.explain(table, data, doubted(table, method), device, twin)


def covering(
    scores: pd.DataFrame, data: Features, k: int, balance: Balance, device: str, turn: np.ndarray
) -> pd.DataFrame:
    """Within each class the samples that cover what is trusted; with no balance the best aligned make the budgets."""
    odds = np.where(turn == ranking.LAST, -np.inf, scores["alignment"].to_numpy())
    worth = ranking.in_turn(odds, turn)
    if balance == "none":
        best = ranking.top(worth, np.zeros_like(data.labels), np.array([k]), data.ids)
        split = np.bincount(data.labels[best], minlength=len(data.classes))
    else:
        split = ranking.split(data, k, balance, turn)
    trust, selected = expit(odds.astype(np.float64)), np.zeros(len(odds), dtype=bool)
    for members, share in zip(
        track(data.by_class(), description="optimize", disable=bars.hidden(), transient=True),
        split,
        strict=True,
    ):
        best = members[np.lexsort((data.ids[members], -worth[members]))]
        pool = best[: coverage.pool_size(trust[best], share)]
        if share < len(pool):
            x = torch.from_numpy(data.rows(pool)).to(device)
            pool = pool[coverage.choose(x, trust[pool], share, int((turn[pool] == ranking.FIRST).sum()))]
        selected[pool] = True
    return scores.assign(selected=selected)


def doubted(table: pd.DataFrame, method: Method) -> np.ndarray:
    """(N,) bool: the label is more likely wrong than right, as far as the method, or a person's answers, can say."""
    if "doubted" in table:
        return table["doubted"].to_numpy()
    other = (table["predicted"] != table["label"]).to_numpy()
    return other if method == "paper" else other & (table["alignment"] < 0).to_numpy()


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
    max_wrong: float | None = None,
    relabel: bool = False,
) -> None:
    """Choose from the folder `scores` of the feature folder `embed`; write subset.parquet and metrics.json to `out`.

    What the table of decisions at `corrections` says to keep is kept, and its answers count (`checking.results`). Where
    held-out images were judged, held_out.parquet says which of their labels are suspected (`selection.held_out`). With
    `relabel`, suspects whose right class is sure are offered under it (`selection.relabel`), unless a person decided
    about them.

    Raises:
        InputError: `keep` is out of range, or labels are to be changed that a person has answered about.
    """
    twins = pd.read_parquet(scores / "near_duplicates.parquet") if drop_near_duplicates else None
    data, judged = features.load(embed), pd.read_parquet(scores / "scores.parquet")
    answers = results.load(corrections, judged)
    if relabel:
        if answers is not None:
            raise InputError(
                "optimize.relabel does not go together with answers of `winnow check`, which are about labels as they "
                "were given; set it to false"
            )
        certainty = pd.read_parquet(scores / relabelling.TABLE)[["certainty", "posterior"]].to_numpy()
        judged, data = relabelling.apply(judged, data, certainty, decisions.decided(corrections, data.ids))
    with named("optimize.{}".format):
        table = select(
            judged,
            data,
            keep=keep,
            method=method,
            solver=solver,
            balance=balance,
            twins=twins,
            device=device,
            confirmed=decisions.kept(corrections, data.ids),
            answers=answers,
            max_wrong=max_wrong,
        )
    if relabel:
        table = relabelling.explain(table, data.classes)
    with whole_folder(out) as folder:
        table.to_parquet(folder / "subset.parquet", index=False)
        metrics = explain.summary(table) | said(table, answers, max_wrong)
        metrics |= relabelling.summary(table) if relabel else {}
        if (others := scores / held_out.TABLE).is_file():
            found = pd.read_parquet(others)
            confirmed = decisions.kept(corrections, found["id"].to_numpy(dtype=str))
            found = held_out.decide(found, data.classes, doubted(found, method), confirmed)
            found.to_parquet(folder / held_out.TABLE, index=False)
            metrics |= held_out.summary(found)
        write_json(folder / "metrics.json", metrics)


def said(table: pd.DataFrame, answers: Answers | None, max_wrong: float | None) -> dict[str, float | int]:
    """What answers say of the table that `select` gave, in numbers (`checking.results.numbers`)."""
    found = results.find(table, answers, max_wrong) if answers else None
    if max_wrong is not None and (found is None or found.at_most > max_wrong):
        words = f"at most {found.at_most:.2%} are shown" if found else "no sample was answered in full"
        log.warning("optimize.max_wrong is %g: %s; answer more with `winnow check`, or lower keep", max_wrong, words)
    if answers is None:
        return {}
    fitted = results.calibrate(table, answers) if "recalibrated" in table else None
    return results.numbers(answers, found, fitted, max_wrong)
