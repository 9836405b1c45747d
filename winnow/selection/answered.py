"""What answers of a person change in a selection that was made without them."""

import numpy as np
import pandas as pd

from winnow.checking import results, sampling
from winnow.checking.results import RIGHT, WRONG, Answers
from winnow.selection import ranking


def settle(
    table: pd.DataFrame,
    answers: Answers,
    turn: np.ndarray,
    doubted: np.ndarray,
    *,
    calibrated: bool,
    max_wrong: float | None,
) -> pd.DataFrame:
    """Cut to what meets `max_wrong`, take out what was found wrong, and recalibrate the verdicts.

    Adds `answer`, `stratum` (of `checking.sampling`, by what was selected without answers), `doubted` (the verdict) and
    with enough answers, where asked for, `recalibrated` (log odds).

    Args:
        table: columns id, label, alignment, predicted and selected; a row an image.
        answers: about the same rows.
        turn: (N,) what is FIRST stays in any case, and LAST takes a place only where nothing else can.
        doubted: (N,) bool, the verdict without answers.
        calibrated: recalibrate alignment and verdict; it has to be log odds.
        max_wrong: the share of wrong labels that may be kept; None: any.
    """
    stratum, selected = sampling.strata(table), table["selected"].to_numpy()
    found = results.find(table, answers, max_wrong)
    cut = found is not None and found.kept.sum() < selected.sum()
    if found is not None:
        selected = found.kept
    wrong = (answers.said == WRONG) & (turn != ranking.FIRST)
    selected = selected & ~wrong if cut else exchange(table, selected, wrong, turn)
    table = table.assign(selected=selected, answer=answers.said, stratum=stratum)
    if calibrated and (fitted := results.calibrate(table, answers)):
        odds = fitted.of(table["alignment"].to_numpy())
        doubted = (table["predicted"] != table["label"]).to_numpy() & (odds < fitted.doubted_below)
        table = table.assign(recalibrated=odds.astype(np.float32))
    known = np.isin(answers.said, [RIGHT, WRONG])
    return table.assign(doubted=np.where(known, answers.said == WRONG, doubted))


def exchange(table: pd.DataFrame, selected: np.ndarray, wrong: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """(N,) what is kept when the best aligned others of the class take the places of what is wrong.

    Where a class has no other, what is wrong stays: the budget leaves no choice.
    """
    labels, ids = table["label"].to_numpy(), table["id"].to_numpy(dtype=str)
    budget = np.bincount(labels[selected], minlength=labels.max(initial=0) + 1)
    stays, spare = selected & ~wrong, ~selected & ~wrong
    # Four ranks, each by alignment: what stays, what can take a place, near duplicates, and what is wrong.
    rank = np.select([stays, spare & (turn != ranking.LAST), spare], [3, 2, 1], 0)
    order = np.lexsort((ids, -table["alignment"].to_numpy(), -rank))
    worth = np.empty(len(table))
    worth[order] = -np.arange(len(table))
    return ranking.top(worth, labels, budget, ids)
