"""What Winnow itself says of labels, for `winnow bench labels`."""

import numpy as np

from winnow.bench.labels.judgement import Judgement, Judgements
from winnow.features import Features
from winnow.selection import alignment


def winnow(data: Features, seed: int) -> Judgements:
    """The log odds of `selection.alignment`; suspected are those below 0."""
    odds = alignment.align(data, seed).log_odds.astype(np.float64)
    return {"winnow": Judgement(odds, odds < 0, (1 + np.tanh(odds / 2)) / 2)}
