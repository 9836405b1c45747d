"""A model of label noise: which classes are mistaken for one another, and how often.

Seen from a label y, the true classes fall into K cells: 0 is y itself, cell r holds the classes whose r-th nearest name
is y, and the last cell holds the others. A label stays right with probability rate[0] and comes from a class of cell r
with rate[r], shared evenly among its size[r] classes; the rates are fitted by expectation-maximisation. With no cells
but the first and the last this is symmetric noise.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

NEAREST = 5  # nearest names that have a rate of their own
PRIOR_RIGHT, PRIOR_COUNT = 0.8, 20.0  # what is believed before a label is seen, and how many images that weighs
TINY = 1e-30


@dataclass(frozen=True)
class NoiseModel:
    """Noise rates by cell.

    Attributes:
        cell: (C, C) cell of a true class (column) seen from a label (row).
        size: (K,) classes in each cell.
        rate: (K,) probability that a label comes from each cell, 1 in all.
    """

    cell: Tensor
    size: np.ndarray
    rate: np.ndarray

    @property
    def factor(self) -> Tensor:
        """(K,) probability that a class of each cell gives the label."""
        return torch.from_numpy(self.rate / self.size).float()

    @property
    def log_prior(self) -> float:
        """Log-probability of the rates before a label is seen, up to a constant."""
        return PRIOR_COUNT * float(_prior(self.size) @ np.log(self.rate + 1e-12))


def by_names(text: Tensor, nearest: int) -> NoiseModel:
    """Noise between C classes whose names, or means, have the unit features `text` (C, d); 0 `nearest`: symmetric."""
    classes = len(text)
    similarity = (text @ text.T).fill_diagonal_(torch.inf)
    rank = similarity.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    last = min(nearest + 1, classes - 1)
    size = np.ones(last + 1)
    size[last] = max(classes - last, 1)
    return NoiseModel(rank.clamp_(max=last).T.contiguous(), size, _prior(size))


def of_rates(text: Tensor, rate: np.ndarray) -> NoiseModel:
    """Noise of rates (K,) that were fitted before, between classes whose names have the unit features `text` (C, d)."""
    return replace(by_names(text, len(rate) - 2), rate=rate)


def _prior(size: np.ndarray) -> np.ndarray:
    """(K,) rates before a label is seen: every wrong class alike."""
    wrong = size[1:] / max(size[1:].sum(), 1)
    return np.concatenate([[PRIOR_RIGHT], (1 - PRIOR_RIGHT) * wrong])


def mass(p: Tensor, cell: Tensor, cells: int) -> Tensor:
    """(n, K) probability that the true class lies in each cell; `p` (n, C) class probabilities, `cell` (n, C)."""
    return p.new_zeros(len(p), cells).scatter_add_(1, cell, p)


def refit(noise: NoiseModel, found: np.ndarray, rounds: int = 2, before: np.ndarray | None = None) -> NoiseModel:
    """Rounds of expectation-maximisation of the rates, the prior as pseudo-counts; `found` (n, K) is `mass`.

    What is believed `before` (K,) a label is seen is the prior, where nothing is known.
    """
    prior, rate = PRIOR_COUNT * (_prior(noise.size) if before is None else before), noise.rate
    for _ in range(rounds):
        factor = rate / noise.size
        expected = factor * (found.T @ (1 / (found @ factor).clip(TINY))) + prior
        rate = expected / expected.sum()
    return replace(noise, rate=rate)


def posterior(scores: Tensor, labels: Tensor, classes: Tensor, noise: NoiseModel) -> Tensor:
    """(n,) probability that `classes` (n,) are the true ones, given the images and their labels, as for `log_odds`."""
    joint = scores + noise.factor.clamp_min(TINY).log()[noise.cell[labels]]
    return (joint[torch.arange(len(labels)), classes] - joint.logsumexp(1)).exp()


def log_odds(scores: Tensor, labels: Tensor, noise: NoiseModel) -> Tensor:
    """Log odds that labels are right, given the images.

    Args:
        scores: (n, C) class scores of the images, log-probabilities up to a constant.
        labels: (n,) labels as given.
        noise: how labels go wrong.

    Returns:
        (n,) log P(right) - log P(wrong), given image and label.
    """
    log_p, rows = torch.log_softmax(scores, 1), torch.arange(len(labels))
    own, p = log_p[rows, labels], log_p.exp()
    p[rows, labels] = 0
    wrong = mass(p, noise.cell[labels], len(noise.size)) @ noise.factor
    return own + noise.factor[0].log() - wrong.clamp_min(TINY).log()
