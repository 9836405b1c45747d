"""What a method says of labels."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Judgement:
    """What a method says of labels.

    Attributes:
        score: (N,) the higher, the likelier the label is right.
        suspected: (N,) bool, the verdict; None: it gives none.
        right: (N,) probability that the label is right; None: the score is no probability.
    """

    score: np.ndarray
    suspected: np.ndarray | None = None
    right: np.ndarray | None = None


Judgements = dict[str, Judgement]
