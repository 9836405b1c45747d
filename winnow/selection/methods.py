"""The methods of selection and their options, with the one set of defaults for Python, the command and params.yaml."""

from dataclasses import dataclass
from typing import Literal

Method = Literal["winnow", "paper"]
Solver = Literal["exact", "gradient"]  # of paper: its optimum at once, or its loop
Balance = Literal["none", "proportional", "uniform"]  # how a budget is split over the classes
# winnow: cross-fitted heads that start at CLIP judge the labels (`selection.alignment`), then facility location among
#         what is trusted (`selection.coverage`).
# paper:  linear adapters, SAS and SDS, and the published optimisation.

METHOD: Method = "winnow"
SOLVER: Solver = "exact"
BALANCE: Balance = "proportional"
NEIGHBOURS = 0.1
NEAR_DUPLICATES = 0.97
DROP_NEAR_DUPLICATES = False
SEED = 0
SEEDS = 2**31  # a seed is below


@dataclass(frozen=True)
class Recipe:
    """How adapters are fitted; the defaults are the published recipe as re-runs of it use it.

    Attributes:
        epochs: passes over the data.
        lr: step size of Adam.
        batch_size: images a step; the batch supplies the negatives.
        temperature: divides the cosines.
    """

    epochs: int = 30
    lr: float = 1e-4
    batch_size: int = 256
    temperature: float = 1.0
