"""The chain adapt, score, optimize on features in memory: what `winnow score` and `winnow select` do.

The stages call the same functions with files in between, so both ways choose the same samples.
"""

import pandas as pd

from tasks import adapt, budget, optimize
from tasks import score as scoring
from tasks.adapt import Recipe
from tasks.budget import Balance
from tasks.features import Features
from tasks.optimize import Method, Solver

COLUMNS = ["id", "label", "class_name", "alignment", "sas", "sds", "predicted"]


def score(data: Features, recipe: Recipe, *, neighbours: float, seed: int, device: str) -> pd.DataFrame:
    """Adapt to the features and score them; see `tasks.score.score` for the columns."""
    fitted = adapt.fit(data, recipe, seed=seed, device=device)
    return scoring.score(data, fitted, neighbours=neighbours, device=device)[COLUMNS]


def select(
    data: Features,
    recipe: Recipe,
    *,
    keep: float,
    method: Method,
    solver: Solver,
    balance: Balance,
    neighbours: float,
    seed: int,
    device: str,
) -> pd.DataFrame:
    """Adapt, score and choose; the columns of `score`, and `selected`.

    Raises:
        InputError: `keep` is out of range; told before the work starts.
    """
    budget.total(keep, len(data.labels))
    scores = score(data, recipe, neighbours=neighbours, seed=seed, device=device)
    chosen = optimize.select(scores, keep=keep, method=method, solver=solver, balance=balance, device=device)
    return chosen[[*COLUMNS, "selected"]]
