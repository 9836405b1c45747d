"""The methods of selection: which adaptation and which objective belong together."""

from typing import Literal

Method = Literal["winnow", "paper"]
# winnow: cross-fitted heads that start at CLIP judge the labels (`tasks.alignment`), then facility location among what
#         is trusted (`tasks.coverage`).
# paper:  linear adapters, SAS and SDS, and the published optimisation.
