"""Linear heads on frozen features; each scores images with the help of other images' labels only.

`FoldedRows` holds the features as the heads use them; `discriminant` is in closed form, with each image left out of its
class mean; `logistic` is trained in folds. `selection.alignment` combines them.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from winnow import features
from winnow.features import Features

SHRINK = 16.0  # a class mean counts half when it is over this many images
RIDGE = 1.0  # of the discriminant's metric, in mean eigenvalues of the covariance
STEP_RIDGE = 10.0  # of the logistic head's metric: nearly plain features
FAR_RIDGE = 0.1  # of the distance that finds damage: nearly Mahalanobis's
FOLDS, STEPS = 3, 4  # of the logistic head
TRAINED_ON = 65_536  # images that train the logistic head at most, and that are held in memory
BLOCK = 8_192  # images in memory at a time


class FoldedRows:
    """Centred unit features in an order that is a matter of content alone, made on demand where there are many."""

    def __init__(self, data: Features, seed: int, order: np.ndarray | None = None) -> None:
        """Sort the rows of `data` by class and then by a hash of their content that `seed` draws; or as in `order`."""
        self.image = data.image
        self.order = np.lexsort((data.ids, _hash(data.image, seed), data.labels)) if order is None else order
        labels = data.labels[self.order]
        self.labels = torch.from_numpy(labels)
        self.place = np.arange(len(labels)) - np.searchsorted(labels, labels)  # within its class: folds, subsamples
        self.fold = torch.from_numpy(self.place % FOLDS)
        self.counts = torch.from_numpy(data.counts).float()
        self.mean = torch.zeros(self.image.shape[1])
        self._kept: Tensor | None = None
        total = torch.stack([self[part].sum(0, dtype=torch.float64) for part in self.blocks()]).sum(0)
        self.mean = (total / len(labels)).float()
        if len(labels) <= TRAINED_ON:
            self._kept = self[slice(None)]

    def __len__(self) -> int:
        """N."""
        return len(self.order)

    def __getitem__(self, part: slice | np.ndarray) -> Tensor:
        """(n, d) rows in sorted order."""
        if self._kept is not None:
            return self._kept[part]
        return F.normalize(torch.from_numpy(self.image[self.order[part]].astype(np.float32)), dim=1) - self.mean

    def blocks(self) -> list[slice]:
        """All rows, a block at a time."""
        return [slice(start, start + BLOCK) for start in range(0, len(self), BLOCK)]

    def at_most(self, n: int) -> np.ndarray:
        """About `n` rows, as many of every class as there are, but at least one: a subsample that has no favourites."""
        sizes = np.sort(self.counts.numpy())
        low, high = 1, max(int(sizes[-1]), 1)
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if np.minimum(sizes, middle).sum() <= n else (low, middle - 1)
        return np.flatnonzero(self.place < low)


def _hash(image: np.ndarray, seed: int) -> np.ndarray:
    """(N,) uint64 of each row's content: a multiply-add hash of the float16 bits of the unit row."""
    key = np.random.default_rng(seed).integers(0, 2**63, image.shape[1], dtype=np.uint64) | np.uint64(1)
    digest = np.empty(len(image), np.uint64)
    for start in range(0, len(image), BLOCK):
        part = slice(start, start + BLOCK)
        bits = features.unit(image[part]).astype(np.float16).view(np.uint16).astype(np.uint64)
        digest[part] = (bits + np.uint64(1)) @ key
    return (digest ^ (digest >> np.uint64(29))) * np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Discriminant:
    """The head x . A m_c - m_c . A m_c / 2 of the class means m_c in the metric A: one linear map with a bias.

    Attributes:
        weight: (C, d) A m_c.
        bias: (C,).
        metric: (d, d) A.
        counts: (C,) trust in each class: of images that are trusted wholly, their number.
        trust: (N,) share of each row in the mean of its class.
        mean: (C, d) m_c, of centred rows.
    """

    weight: Tensor
    bias: Tensor
    metric: Tensor
    counts: Tensor
    trust: Tensor
    mean: Tensor

    def left_out(self, x: Tensor, labels: Tensor, trust: Tensor) -> Tensor:
        """(n,) scores of rows `x` (n, d) for their own label by a mean without them, which has their `trust` (n,)."""
        norm, dot = (x @ self.metric * x).sum(1), (x * self.weight[labels]).sum(1)
        full = self.counts[labels] + SHRINK
        rest, dot, of_mean = full - trust, dot * full, -2 * self.bias[labels] * full**2
        return (dot - trust * norm) / rest - 0.5 * (of_mean - 2 * trust * dot + trust * trust * norm) / rest**2

    def scores(self, x: Tensor, labels: Tensor, part: slice | np.ndarray) -> Tensor:
        """(n, C) scores of the rows `x` = rows[part]; a row's label is in no mean that scores it."""
        scores = x @ self.weight.T + self.bias
        scores[torch.arange(len(x)), labels] = self.left_out(x, labels, self.trust[part])
        return scores


def covariance(rows: FoldedRows) -> Tensor:
    """(d, d) total covariance, which sees no label."""
    scatter = torch.zeros(2 * [len(rows.mean)])
    for part in rows.blocks():
        x = rows[part]
        scatter.addmm_(x.T, x)
    return scatter / len(rows)


def metric(scatter: Tensor, ridge: float) -> Tensor:
    """Inverse of the covariance `scatter` (d, d) plus a ridge in units of its mean eigenvalue."""
    d = len(scatter)
    ridged = scatter + (ridge * scatter.trace() / d + 1e-8) * torch.eye(d)
    return torch.cholesky_inverse(torch.linalg.cholesky(ridged))


def distance(rows: FoldedRows, scatter: Tensor) -> np.ndarray:
    """(N,) Mahalanobis distance, squared, of each row from the mean of all: great for images unlike all the others."""
    a = metric(scatter, FAR_RIDGE)
    return torch.cat([(x @ a * x).sum(1) for x in (rows[part] for part in rows.blocks())]).numpy()


def discriminant(rows: FoldedRows, scatter: Tensor, trust: Tensor) -> Discriminant:
    """Fit the head of class means: means shrunk towards the mean of all, in a metric that sees no label.

    Args:
        rows: features and labels.
        scatter: (d, d) covariance of the rows.
        trust: (N,) how much of each row goes into the mean of its class; 0: it is left out.
    """
    a, classes = metric(scatter, RIDGE), len(rows.counts)
    total, counts = torch.zeros(classes, len(a)), torch.zeros(classes)
    for part in np.array_split(torch.nonzero(trust)[:, 0].numpy(), max(len(trust) // BLOCK, 1)):
        weight = trust[part]
        total.index_add_(0, rows.labels[part], weight[:, None] * rows[part])
        counts.index_add_(0, rows.labels[part], weight)
    mean = total / (counts + SHRINK)[:, None]
    head = mean @ a
    return Discriminant(head, -0.5 * (mean * head).sum(1), a, counts, trust, mean)


def logistic(rows: FoldedRows, base: Tensor, scatter: Tensor, trust: Tensor) -> Tensor:
    """What a few steps on the labels of the other folds add to a head of text features.

    Nesterov's accelerated gradient from zero, in a metric that sees no label; the step of a class shrinks with its
    number of images. That it stops early is the penalty for leaving the text features.

    Args:
        rows: features and labels.
        base: (d, C) the head it starts at.
        scatter: (d, d) covariance of the rows.
        trust: (N,) weight of each row; 0: it is left out.

    Returns:
        (d, FOLDS, C): what is added to `base` for the rows of each fold.
    """
    members = torch.nonzero(trust)[:, 0].numpy()
    x, labels, fold, trust = rows[members], rows.labels[members], rows.fold[members], trust[members]
    classes = base.shape[1]
    in_fold = torch.zeros(FOLDS * classes).index_add_(0, fold * classes + labels, trust).view(FOLDS, classes)
    rate, a = 1 / (in_fold.sum(0) - in_fold + SHRINK), metric(scatter, STEP_RIDGE)
    weight = before = torch.zeros(len(base), FOLDS, classes)
    pace = 1.0
    for _ in range(STEPS):
        after = (1 + (1 + 4 * pace * pace) ** 0.5) / 2
        ahead = weight + (pace - 1) / after * (weight - before)
        uphill = a @ _slope(x, labels, fold, base[:, None] + ahead, trust).flatten(1)
        weight, before, pace = ahead + uphill.view_as(ahead) * rate, weight, after
    return weight


def _slope(x: Tensor, labels: Tensor, fold: Tensor, weight: Tensor, trust: Tensor) -> Tensor:
    """Gradient (d, FOLDS, C) of each head's log-likelihood of the labels outside its fold, weighted by trust (n,)."""
    gradient, classes = torch.zeros_like(weight), weight.shape[2]
    for k in range(FOLDS):  # the rows of a fold teach the heads of the others
        others = [other for other in range(FOLDS) if other != k]
        heads, uphill = weight[:, others].flatten(1), torch.zeros(len(weight), (FOLDS - 1) * classes)
        for part in torch.nonzero(fold == k)[:, 0].split(max(2**22 // heads.shape[1], 1)):
            p = torch.softmax((x[part] @ heads).view(len(part), FOLDS - 1, classes), 2).neg_()
            p[torch.arange(len(part)), :, labels[part]] += 1
            uphill.addmm_(x[part].T, p.mul_(trust[part][:, None, None]).flatten(1))
        gradient[:, others] += uphill.view(len(weight), FOLDS - 1, classes)
    return gradient


def by_fold(x: Tensor, fold: Tensor, steps: Tensor, base: Tensor) -> Tensor:
    """(n, C) scores of the rows `x` (n, d) by the logistic head of the fold that each was kept out of."""
    out = x.new_empty(len(x), base.shape[1])
    for k in range(FOLDS):
        out[fold == k] = x[fold == k] @ (base + steps[:, k])
    return out
