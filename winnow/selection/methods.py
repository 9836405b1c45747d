"""The methods of selection: which adaptation and which objective belong together, and how the objective is solved."""

from typing import Literal

Method = Literal["winnow", "paper"]
Solver = Literal["exact", "gradient"]  # of paper: its optimum at once, or its loop
# winnow: cross-fitted heads that start at CLIP judge the labels (`selection.alignment`), then facility location among
#         what is trusted (`selection.coverage`).
# paper:  linear adapters, SAS and SDS, and the published optimisation.
