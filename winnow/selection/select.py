"""Adapt, score and optimize on features in memory: what `winnow score` and `winnow select` run.

The stages call the same functions with files in between, so both ways choose the same samples.
"""

import pandas as pd

from winnow import budget
from winnow.compute import threads
from winnow.features import Features
from winnow.selection import adapt, optimize
from winnow.selection import near_duplicates as twins
from winnow.selection import score as scoring
from winnow.selection.methods import Balance, Method, Recipe, Solver

COLUMNS = ["id", "label", "class_name", "alignment", "sas", "sds", "predicted"]
OF_SEVERAL = ("agree", "predicted_")  # how the columns begin that only several encoders have
CHOSEN = ["selected", "reason", "evidence"]


def columns(table: pd.DataFrame) -> list[str]:
    """The columns of a table of scores that are for users."""
    return COLUMNS + [name for name in table.columns if name.startswith(OF_SEVERAL)]


@threads.fixed()
def score(data: Features, recipe: Recipe, *, method: Method, neighbours: float, seed: int, device: str) -> pd.DataFrame:
    """Adapt to the features and score them; see `winnow.selection.score.score` for the columns."""
    adapted = adapt.adapt(data, method, recipe, seed=seed, device=device)
    return scoring.score(data, adapted, neighbours=neighbours, device=device)


@threads.fixed()
def select(
    data: Features,
    recipe: Recipe,
    *,
    keep: float,
    method: Method,
    solver: Solver,
    balance: Balance,
    neighbours: float,
    near_duplicates: float,
    drop_near_duplicates: bool,
    seed: int,
    device: str,
) -> pd.DataFrame:
    """Adapt, score and choose; the columns of `score`, and those of `winnow.selection.optimize.select`.

    `near_duplicates` is the cosine from which two images count as nearly the same.

    Raises:
        InputError: `keep` is out of range; told before the work starts.
    """
    budget.total(keep, len(data.labels))
    scores = score(data, recipe, method=method, neighbours=neighbours, seed=seed, device=device)
    pairs = None
    if drop_near_duplicates:
        pairs = twins.find(data, scores["alignment"].to_numpy(), near_duplicates, device)
    return optimize.select(
        scores, data, keep=keep, method=method, solver=solver, balance=balance, twins=pairs, device=device
    )
