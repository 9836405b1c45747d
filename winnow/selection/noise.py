"""A model of label noise: which classes are mistaken for one another, and how often.

Seen from a label y, the true classes fall into K cells: 0 is y itself, cell r holds the classes whose r-th nearest name
is y, and the last cell holds the others. A label stays right with probability rate[0] and comes from a class of cell r
with rate[r], shared evenly among its size[r] classes; the rates are fitted by expectation-maximisation. With no cells
but the first and the last this is symmetric noise.

People do not err by names alone: one class may be taken for one certain other. So a confusion of a true class with a
label has a rate of its own where the data earn it, by an extended Bayesian information criterion that also pays for the
choice among all C (C - 1) confusions (Chen and Chen 2008).
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

NEAREST = 5  # nearest names that have a rate of their own
PRIOR_RIGHT, PRIOR_COUNT = 0.8, 20.0  # what is believed before a label is seen, and how many images that weighs
LEAST = 1e-3  # of a class keeps the rates of its cells, whatever its confusions take
TINY = 1e-30


@dataclass(frozen=True)
class NoiseModel:
    """Noise rates by cell.

    Attributes:
        cell: (C, C) cell of a true class (column) seen from a label (row).
        size: (K,) classes in each cell.
        rate: (K,) probability that a label comes from each cell, 1 in all.
        own: (C, C) rates of the confusions that have one of their own, by label (row) and true class (column), and 0
            for the others; None: there are none.
    """

    cell: Tensor
    size: np.ndarray
    rate: np.ndarray
    own: Tensor | None = None

    @property
    def factor(self) -> Tensor:
        """(K,) probability that a class of each cell gives the label."""
        return torch.from_numpy(self.rate / self.size).float()

    @property
    def given(self) -> Tensor:
        """(C, C) probability of a label (row) given the true class (column)."""
        cells = self.factor[self.cell]
        if self.own is None:
            return cells
        cells[self.own > 0] = 0
        return self.own + cells * ((1 - self.own.sum(0)).clamp_min(LEAST) / cells.sum(0).clamp_min(TINY))

    @property
    def pairs(self) -> Tensor:
        """(E, 2) label and true class of the confusions that have a rate of their own."""
        return torch.empty(0, 2, dtype=torch.int64) if self.own is None else torch.nonzero(self.own)

    def stated(self) -> dict[str, np.ndarray]:
        """The rates as arrays: by cell, and of the confusions that have their own."""
        rates = np.empty(0, np.float32) if self.own is None else self.own[self.own > 0].numpy()
        return {"rate": self.rate, "confused": self.pairs.numpy(), "confused_rate": rates}

    @property
    def confusions(self) -> int:
        """How many have a rate of their own."""
        return len(self.pairs)

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


def of_pairs(noise: NoiseModel, pairs: Tensor, rate: Tensor) -> NoiseModel:
    """The same noise, with rates (E,) of their own for confusions (E, 2) of a label with a true class."""
    own = torch.zeros(noise.cell.shape)
    own[pairs[:, 0], pairs[:, 1]] = rate.float()
    return replace(noise, own=own)


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


def expected(noise: NoiseModel, p: Tensor, labels: Tensor) -> Tensor:
    """(C, C) expected number of images by label (row) and true class (column), from class probabilities `p` (n, C)."""
    posterior = p * noise.given[labels]
    posterior /= posterior.sum(1, keepdim=True).clamp_min(TINY)
    return torch.zeros_like(noise.cell, dtype=p.dtype).index_add_(0, labels, posterior)


def with_confusions(noise: NoiseModel, p: Tensor, labels: Tensor, *, rounds: int, strict: bool) -> NoiseModel:
    """Rounds of expectation-maximisation of the rates, where each confusion may earn a rate of its own.

    Args:
        noise: to start from.
        p: (n, C) class probabilities of the images.
        labels: (n,) labels as given.
        rounds: how many.
        strict: pay for the choice among all confusions, rather than among those of a class; a search that starts
            strictly finds nothing, since what labels teach hides what is wrong with them.
    """
    prior, cells = PRIOR_COUNT * _prior(noise.size), noise.cell.flatten()
    for _ in range(rounds):
        count = expected(noise, p, labels)
        total = count.sum(0)
        by_cell = torch.zeros(len(noise.size)).index_add_(0, cells, count.flatten()).double().numpy() + prior
        noise = replace(noise, rate=by_cell / by_cell.sum(), own=None)
        mean = total * noise.given
        gain = count * (count / mean.clamp_min(TINY)).clamp_min(TINY).log() - (count - mean)
        gain = torch.where(count > mean, gain, 0).fill_diagonal_(0)
        earned = (gain > _price(gain, len(labels), total, strict)) & (gain > 0)
        if earned.any():
            noise = replace(noise, own=torch.where(earned, count / (total + PRIOR_COUNT), 0))
    return noise


def _price(gain: Tensor, n: int, total: Tensor, strict: bool) -> Tensor:
    """Nats that a rate of its own has to gain: a number, or one a class."""
    classes = len(gain)
    if not strict:
        return 0.5 * (total + 1).log() + np.log(max(classes - 1, 2))
    best = gain.flatten().sort(descending=True)[0]
    price = 0.5 * np.log(n) + np.log(max(classes * (classes - 1), 1)) + 1 - torch.arange(1, len(best) + 1).log()
    passed = (best > price).nonzero()
    return price[passed.max()] if len(passed) else torch.tensor(torch.inf)


def posterior(scores: Tensor, labels: Tensor, classes: Tensor, noise: NoiseModel) -> Tensor:
    """(n,) probability that `classes` (n,) are the true ones, given the images and their labels, as for `log_odds`."""
    joint = scores + noise.given.clamp_min(TINY).log()[labels]
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
    own, p, given = log_p[rows, labels], log_p.exp(), noise.given
    p[rows, labels] = 0
    wrong = (p * given[labels]).sum(1)
    return own + given.diagonal()[labels].log() - wrong.clamp_min(TINY).log()
