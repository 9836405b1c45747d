"""Alignment: how likely each label is right, judged by heads that never saw it and start at CLIP's text features.

The class scores of an image are a non-negative sum of three linear heads on the same frozen features:

- zero-shot, 100 x . t_c, which needs no labels;
- a discriminant of class means, each image scored by means it was left out of, in closed form;
- a logistic head that starts at the text features and takes a few steps, trained in folds.

The weights maximise the likelihood of labels that the heads have not seen. Because labels are wrong, that likelihood
includes a model of label noise (`selection.noise`). Heads that do not justify their parameters by the Bayesian
information criterion get no weight, so that only zero-shot remains. Without text features the zero-shot head is zero,
the logistic head starts there, and near classes are those whose means are near. `docs/method.md` derives and measures
it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from rich.progress import track
from scipy.optimize import minimize
from torch import Tensor
from torch.nn import functional as F

from winnow import features
from winnow.features import Features, SideBySide
from winnow.selection import heads, noise
from winnow.selection.heads import Discriminant, FoldedRows
from winnow.selection.noise import NoiseModel
from winnow.terminal import bars

FIT_ROWS, FIT_SCORES = 8_192, 2**21  # images, and images times classes, that choose the weights
START, LITTLE = 0.4, 0.01  # weights at the start
HEADS = ("zero_shot", "discriminant", "logistic")
TRUSTED, FAR = float(np.log(9)), 0.99  # log odds of a trusted label; as far as few trusted samples are is damage


@dataclass(frozen=True)
class Alignment:
    """What is known of the labels.

    Attributes:
        log_odds: (N,) float32, that the label is right.
        predicted: (N,) the class the image looks like.
        damaged: (N,) bool, the label is doubted and the image is unlike all that are trusted.
        weight: (C, d) the heads as one, for images that are not among the N.
        bias: (C,)
        choice: the weights, temperature and noise rate that were chosen, by name.
        rate: (K,) noise rates, by cell.
        near: (C, d) unit features of the names, or means, that say which classes are near.
        centre: (d,) mean of the unit features.
        metric: (d, d) of the distance from it by which damage is found.
        far: (1,) the distance from which an image is unlike all that are trusted.
        certainty: (N, 2) float32, probability of the predicted class, by heads that did not see the label: given the
            image alone, and given the label too, by the noise model.
        by_encoder: (V, N) the class that each of several encoders alone takes the image for; None of one.
    """

    log_odds: np.ndarray
    predicted: np.ndarray
    damaged: np.ndarray
    weight: np.ndarray
    bias: np.ndarray
    choice: dict[str, Any] = field(default_factory=dict)
    rate: np.ndarray = field(default_factory=lambda: np.empty(0))
    near: np.ndarray = field(default_factory=lambda: np.empty(0))
    centre: np.ndarray = field(default_factory=lambda: np.empty(0))
    metric: np.ndarray = field(default_factory=lambda: np.empty(0))
    far: np.ndarray = field(default_factory=lambda: np.array([np.inf]))
    certainty: np.ndarray = field(default_factory=lambda: np.empty((0, 2), np.float32))
    by_encoder: np.ndarray | None = None

    @torch.no_grad()
    def judge(self, image: np.ndarray | SideBySide, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Judge labels of images that are not among the N, by heads that saw none of them.

        Their labels may be wrong more often than those of the N, or less: only the noise rates are fitted to them.

        Args:
            image: (n, d) features; of several encoders, side by side.
            labels: (n,) classes.

        Returns:
            (n,) log odds, (n,) predicted class and (n,) damaged, as of the N.
        """
        how = noise.of_rates(torch.from_numpy(self.near), self.rate)
        parts = [slice(start, start + heads.BLOCK) for start in range(0, len(labels), heads.BLOCK)]
        found = np.concatenate([np.empty((0, len(self.rate))), *(self._mass(image[p], labels[p], how) for p in parts)])
        how = noise.refit(how, found, rounds=50, before=self.rate)
        log_odds, predicted = np.empty(len(labels), np.float32), np.empty(len(labels), np.int64)
        distance = np.empty(len(labels), np.float32)
        for part in parts:
            x, scores = self._scores(image[part])
            log_odds[part] = noise.log_odds(scores, torch.from_numpy(labels[part]), how)
            predicted[part] = scores.argmax(1)
            x -= self.centre
            distance[part] = (x @ self.metric * x).sum(1)
        return log_odds, predicted, (log_odds < 0) & (distance > self.far)

    def _scores(self, image: np.ndarray) -> tuple[np.ndarray, Tensor]:
        """Unit features (n, d) and class scores (n, C)."""
        x = features.unit(image)
        return x, torch.from_numpy(x @ self.weight.T + self.bias)

    def _mass(self, image: np.ndarray, labels: np.ndarray, how: NoiseModel) -> np.ndarray:
        """(n, K) probability that the true class lies in each cell."""
        p = torch.softmax(self._scores(image)[1], 1)
        return noise.mass(p, how.cell[labels], len(how.size)).numpy()


@dataclass(frozen=True)
class Mixture:
    """A fit: `weight` (m,) of the heads, the noise with its rates, and the loss in nats."""

    weight: np.ndarray
    noise: NoiseModel
    loss: float


@dataclass(frozen=True)
class Fitted:
    """The three heads on the features of one encoder, each image judged without its label.

    Attributes:
        rows: the images.
        text: (C, d) the zero-shot head; zeros where there is no text.
        means: the discriminant.
        base: (d, C) where the logistic head starts.
        steps: (d, FOLDS, C) what its steps add, by fold.
        scatter: (d, d) covariance of the rows.
        near: (C, d) unit features of the names, or means, that say which classes are near.
        sample: (n,) rows that chose the weights.
        parts: (m, n, C) their scores by the heads.
        zero_shot: zero-shot alone.
        chosen: the mixture that was chosen.
    """

    rows: FoldedRows
    text: Tensor
    means: Discriminant
    base: Tensor
    steps: Tensor
    scatter: Tensor
    near: Tensor
    sample: np.ndarray
    parts: Tensor
    zero_shot: Mixture
    chosen: Mixture

    def scores(self, part: slice, weight: np.ndarray) -> Tensor:
        """(n, C) scores of some rows by the heads, added up by `weight` (m,); linear, so a fold needs one product."""
        zero_shot, centre, last = (float(w) for w in weight)
        fixed = zero_shot * 100 * self.text.T + last * self.base + centre * self.means.weight.T
        x, labels = self.rows[part], self.rows.labels[part]
        own = torch.arange(len(labels))
        scores = heads.by_fold(x, self.rows.fold[part], last * self.steps, fixed) + centre * self.means.bias
        dot = (x * self.means.weight[labels]).sum(1)
        left_out = self.means.left_out(dot, labels, self.means.norm[part])
        scores[own, labels] += centre * (left_out - dot - self.means.bias[labels])
        return scores

    def as_one(self, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The sum of the heads as one head (C, d) and (C,), for unit features as they are, not centred."""
        zero_shot, centre, last = (float(w) for w in weight)
        head = zero_shot * 100 * self.text + centre * self.means.weight + last * (self.base + self.steps.mean(1)).T
        return head.numpy(), (centre * self.means.bias - head @ self.rows.mean).numpy()


@torch.no_grad()
def align(data: Features, seed: int = 0) -> Alignment:
    """Judge every label by what the other labels and the class prompts say.

    Linear in N: a few products of (N, d) with (d, C) and with (d, d), a block at a time.

    Args:
        data: image (N, d) and perhaps text (C, d) features with labels.
        seed: draws the folds; the order of the rows has no influence.
    """
    found = fitted(data, seed)
    log_odds, predicted, certainty = judge(
        found.rows, lambda part: found.scores(part, found.chosen.weight), found.chosen.noise
    )
    distance = heads.distance(found.rows, found.scatter)
    damaged = unlike_the_trusted(distance, log_odds)
    weight, bias = found.as_one(found.chosen.weight)
    back = np.argsort(found.rows.order)
    choice = describe(found.chosen, found.zero_shot, found.parts)
    if data.text is None:  # a head of zeros has no temperature
        del choice["temperature"], choice["share"]["zero_shot"]
    elsewhere = {
        "rate": found.chosen.noise.rate,
        "near": found.near.numpy(),
        "centre": found.rows.mean.numpy(),
        "metric": heads.metric(found.scatter, heads.FAR_RIDGE).numpy(),
        "far": np.array([reach(distance, log_odds)]),
        "certainty": certainty[back],
    }
    return Alignment(log_odds[back], predicted[back], damaged[back], weight, bias, choice, **elsewhere)


@torch.no_grad()
def fitted(data: Features, seed: int, order: np.ndarray | None = None) -> Fitted:
    """Fit the heads on the features of one encoder and choose their weights; `order` (N,): not the rows' own."""
    rows, named = FoldedRows(data, seed, order), data.text is not None
    scatter = heads.covariance(rows)
    means = heads.discriminant(rows, scatter)
    text = torch.from_numpy(features.unit(data.text)) if data.text is not None else torch.zeros_like(means.mean)
    sample = rows.at_most(min(FIT_ROWS, max(FIT_SCORES // len(text), len(text))))
    x, labels = rows[sample], rows.labels[sample]
    parts = torch.stack([100 * x @ text.T, means.scores(x, labels, sample)])
    near = text if named else F.normalize(means.mean)
    guess = choose_noise(parts, labels, near)
    starts = [guess.weight[:1], np.array([START]), np.array([LITTLE])]
    zero_shot = fit_best(parts[:1], labels, guess.noise, starts)
    base = float(zero_shot.weight[0]) * 100 * text.T
    steps = heads.logistic(rows, base, guess.noise, scatter)
    parts = torch.cat([parts, heads.by_fold(x, rows.fold[sample], steps, base)[None]])
    adapted = fit(parts, labels, guess.noise, np.append(guess.weight, START))
    chosen = adapted if earns(adapted, zero_shot, len(parts) - 1, len(labels)) else padded(zero_shot, len(parts))
    return Fitted(rows, text, means, base, steps, scatter, near, sample, parts, zero_shot, chosen)


def judge(
    rows: FoldedRows, scores: Callable[[slice], Tensor], how: NoiseModel
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log odds (N,), predicted class (N,) and its certainty (N, 2) in the order of `rows`; `scores` gives (n, C)."""
    log_odds, predicted = np.empty(len(rows), np.float32), np.empty(len(rows), np.int64)
    certainty = np.empty((len(rows), 2), np.float32)
    for part in track(rows.blocks(), description="align", disable=bars.hidden(), transient=True):
        found, labels = scores(part), rows.labels[part]
        top = found.argmax(1)
        log_odds[part], predicted[part] = noise.log_odds(found, labels, how), top
        certainty[part, 0] = (found.amax(1) - found.logsumexp(1)).exp()
        certainty[part, 1] = noise.posterior(found, labels, top, how)
    return log_odds, predicted, certainty


def fit(parts: Tensor, labels: Tensor, start: NoiseModel, weight: np.ndarray) -> Mixture:
    """The weights and noise rates of the greatest likelihood.

    Args:
        parts: (m, n, C) scores of the heads.
        labels: (n,) labels, none of which the heads saw for its own row.
        start: noise to start from.
        weight: (m,) weights to start from.
    """
    cell, fitted = start.cell[labels], [start]

    def loss(log_weight: np.ndarray) -> tuple[float, np.ndarray]:
        weight = np.exp(log_weight)
        p = probabilities(weight, parts)
        mass = noise.mass(p, cell, len(start.size))
        fitted[0] = noise.refit(fitted[0], mass.numpy())
        likelihood = (mass @ fitted[0].factor).clamp_min(noise.TINY)
        gain = p * (fitted[0].factor[cell] / likelihood[:, None] - 1)
        slope = (parts.flatten(1) @ gain.flatten()).double().numpy()
        total = float(likelihood.log().sum(dtype=torch.float64)) + fitted[0].log_prior
        return -total / len(labels), -slope * weight / len(labels)

    bounds = [(-7, 4)] * len(parts)  # which make SciPy search by L-BFGS-B
    found = minimize(loss, np.log(weight), jac=True, bounds=bounds, options={"maxiter": 25, "ftol": 3e-5})
    return at(np.exp(found.x), parts, labels, fitted[0])


def fit_best(parts: Tensor, labels: Tensor, start: NoiseModel, weights: list[np.ndarray]) -> Mixture:
    """`fit` from the best of some weights (m,).

    The likelihood has poor maxima, such as zero-shot taken for certain and nearly all labels for wrong.
    """
    best = min((at(weight, parts, labels, start) for weight in weights), key=lambda mixture: mixture.loss)
    return fit(parts, labels, best.noise, best.weight)


def at(weight: np.ndarray, parts: Tensor, labels: Tensor, start: NoiseModel) -> Mixture:
    """The mixture of given weights (m,), its noise rates fitted to the end."""
    mass = noise.mass(probabilities(weight, parts), start.cell[labels], len(start.size))
    fitted = noise.refit(start, mass.numpy(), rounds=50)
    likelihood = (mass @ fitted.factor).clamp_min(noise.TINY).log().sum(dtype=torch.float64)
    return Mixture(weight, fitted, -float(likelihood) - fitted.log_prior)


def probabilities(weight: np.ndarray, parts: Tensor) -> Tensor:
    """(n, C) class probabilities of the scores (m, n, C), added up by `weight` (m,)."""
    return torch.softmax(torch.tensordot(torch.from_numpy(weight).float(), parts, 1), 1)


def earns(rich: Mixture, plain: Mixture, extra: int, n: int) -> bool:
    """Whether a fit earns its `extra` parameters over `n` labels (Bayesian information criterion)."""
    return plain.loss - rich.loss > 0.5 * extra * np.log(n)


def choose_noise(parts: Tensor, labels: Tensor, text: Tensor) -> Mixture:
    """Noise among near names where its rates earn their parameters, else symmetric noise."""
    starts = [np.full(len(parts), START), *np.where(np.eye(len(parts)), START, LITTLE)]
    plain = fit_best(parts, labels, noise.by_names(text, 0), starts)
    if len(text) <= 2:
        return plain
    near = fit(parts, labels, noise.by_names(text, noise.NEAREST), plain.weight)
    return near if earns(near, plain, len(near.noise.size) - len(plain.noise.size), len(labels)) else plain


def unlike_the_trusted(distance: np.ndarray, log_odds: np.ndarray) -> np.ndarray:
    """(N,) bool: labels that are doubted since the image is damaged or out of place, rather than of another class."""
    return (log_odds < 0) & (distance > reach(distance, log_odds))


def reach(distance: np.ndarray, log_odds: np.ndarray) -> float:
    """As far from the mean of all as few trusted images are, by the (N,) distances of all."""
    trusted = distance[log_odds > TRUSTED]
    return float(np.quantile(trusted, FAR)) if len(trusted) else np.inf


def padded(zero_shot: Mixture, m: int) -> Mixture:
    """Zero-shot alone, as a mixture of `m` heads."""
    return Mixture(np.append(zero_shot.weight, np.zeros(m - 1)), zero_shot.noise, zero_shot.loss)


def describe(chosen: Mixture, zero_shot: Mixture, parts: Tensor) -> dict[str, Any]:
    """What was chosen, in numbers: the share of a head is its part in the spread of the scores."""
    spread = chosen.weight * np.array([float(part.std(1, correction=0).mean()) for part in parts])
    return {
        "temperature": round(0.01 / float(zero_shot.weight[0]), 6),
        "gain_nats": round(zero_shot.loss - chosen.loss, 3),
        "share": dict(zip(HEADS, (spread / max(spread.sum(), noise.TINY)).round(4).tolist(), strict=True)),
        "noise_rate": round(1 - float(chosen.noise.rate[0]), 5),
    }
