"""Alignment: how likely each label is right, judged by heads that never saw it.

The class scores of an image are a non-negative sum of three linear heads on the same frozen features:

- zero-shot, 100 x . t_c, which needs no labels;
- a discriminant of class means, each image scored by means it was left out of, in closed form;
- a logistic head that starts at the text features and takes a few steps, trained in folds.

The weights maximise the likelihood of labels that the heads have not seen, under a model of label noise
(`selection.noise`). A head that is taught by wrong labels learns to give them, which raises that likelihood and hides
the noise. So heads, weights and noise are fitted by expectation-maximisation: each label teaches as much as it is
trusted, and is judged again by what the others then teach. The search has two starts, as it ends where it is near:
from all labels as given, and from those that zero-shot agrees with; the likelihood decides. Zero-shot, which no label
has taught, then has a say of its own in the order of the labels. Heads that do not justify their parameters by the
Bayesian information criterion get no weight. Without text features the zero-shot head is zero, the logistic head starts
there, and near classes are those whose means are near. `docs/method.md` derives and measures it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from rich.progress import track
from scipy.optimize import minimize
from scipy.special import expit
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
ROUNDS, STRICT = 5, 2  # of expectation-maximisation, the last of which are strict about confusions
SEARCHED = 16_384  # images at most in the search; more teach the heads that it ends with
SURE = 4  # power of the share of images that zero-shot puts where all heads do: its weight in the order of labels
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
        confused: (E, 2) label and true class of the confusions that have a rate of their own.
        confused_rate: (E,)
        zero_shot: (C, d) the head that no label has taught.
        say: (1,) weight of its log odds beside those of all heads.
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
    confused: np.ndarray = field(default_factory=lambda: np.empty((0, 2), np.int64))
    confused_rate: np.ndarray = field(default_factory=lambda: np.empty(0, np.float32))
    zero_shot: np.ndarray = field(default_factory=lambda: np.empty((0, 0), np.float32))
    say: np.ndarray = field(default_factory=lambda: np.zeros(1))
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
        if len(self.confused):  # as much more often, or less
            pairs, more = torch.from_numpy(self.confused), (1 - how.rate[0]) / max(1 - self.rate[0], noise.TINY)
            how = noise.of_pairs(how, pairs, torch.from_numpy(self.confused_rate) * min(float(more), 1.0))
        log_odds, predicted = np.empty(len(labels), np.float32), np.empty(len(labels), np.int64)
        zero_shot, distance = np.zeros(len(labels), np.float32), np.empty(len(labels), np.float32)
        for part in parts:
            x, scores = self._scores(image[part])
            given = torch.from_numpy(labels[part])
            log_odds[part], predicted[part] = noise.log_odds(scores, given, how), scores.argmax(1)
            if self.say[0]:
                zero_shot[part] = logit(torch.from_numpy(x @ self.zero_shot.T), given)
            x -= self.centre
            distance[part] = (x @ self.metric * x).sum(1)
        if self.say[0] and len(labels):
            log_odds = heard(log_odds, zero_shot, float(self.say[0]))
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

    def scores(self, parts: Tensor) -> Tensor:
        """(n, C) class scores from those of the heads (m, n, C)."""
        return torch.tensordot(torch.from_numpy(self.weight).float(), parts, 1)


@dataclass(frozen=True)
class Heads:
    """Three heads of centred rows: text (C, d), class means, and what the folds add to base (d, C)."""

    text: Tensor
    base: Tensor
    means: Discriminant
    steps: Tensor

    def parts(self, rows: FoldedRows, part: slice | np.ndarray) -> Tensor:
        """(3, n, C) scores of rows[part] by each head."""
        x, labels = rows[part], rows.labels[part]
        by_steps = heads.by_fold(x, rows.fold[part], self.steps, self.base)
        return torch.stack([100 * x @ self.text.T, self.means.scores(x, labels, part), by_steps])


@dataclass(frozen=True)
class Fitted:
    """Three heads on the features of one encoder and their weights, each image judged without its label.

    Attributes:
        rows: the images.
        heads: the three.
        scatter: (d, d) covariance of the rows.
        near: (C, d) unit features of the names, or means, that say which classes are near.
        sample: (n,) rows that chose the weights.
        parts: (3, n, C) their scores by the heads.
        zero_shot: zero-shot alone.
        chosen: the mixture that was chosen.
    """

    rows: FoldedRows
    heads: Heads
    scatter: Tensor
    near: Tensor
    sample: np.ndarray
    parts: Tensor
    zero_shot: Mixture
    chosen: Mixture

    def scores(self, part: slice, weight: np.ndarray) -> Tensor:
        """(n, C) scores of some rows by the heads, added up by `weight` (3,); linear, so a fold needs one product."""
        zero_shot, centre, last = (float(w) for w in weight)
        means = self.heads.means
        fixed = zero_shot * 100 * self.heads.text.T + last * self.heads.base + centre * means.weight.T
        x, labels = self.rows[part], self.rows.labels[part]
        scores = heads.by_fold(x, self.rows.fold[part], last * self.heads.steps, fixed) + centre * means.bias
        in_mean = (x * means.weight[labels]).sum(1) + means.bias[labels]
        own = torch.arange(len(labels)), labels
        scores[own] += centre * (means.left_out(x, labels, means.trust[part]) - in_mean)
        return scores

    def as_one(self, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The sum of the heads as one head (C, d) and (C,), for unit features as they are, not centred."""
        zero_shot, centre, last = (float(w) for w in weight)
        head = zero_shot * 100 * self.heads.text + centre * self.heads.means.weight
        head = head + last * (self.heads.base + self.heads.steps.mean(1)).T
        return head.numpy(), (centre * self.heads.means.bias - head @ self.rows.mean).numpy()


@torch.no_grad()
def align(data: Features, seed: int = 0) -> Alignment:
    """Judge every label by what the other labels and the class prompts say.

    Linear in N: a few products of (N, d) with (d, C) and with (d, d), a block at a time.

    Args:
        data: image (N, d) and perhaps text (C, d) features with labels.
        seed: draws the folds; the order of the rows has no influence.
    """
    found, named = fitted(data, seed), data.text is not None
    log_odds, predicted, certainty = judge(
        found.rows, lambda part: found.scores(part, found.chosen.weight), found.chosen.noise
    )
    say = 0.0
    if named and len(data.classes) > 1:
        zero_shot, say = second_opinion(found, predicted)
        log_odds = heard(log_odds, zero_shot, say)
    distance = heads.distance(found.rows, found.scatter)
    damaged = unlike_the_trusted(distance, log_odds)
    weight, bias = found.as_one(found.chosen.weight)
    back = np.argsort(found.rows.order)
    choice = describe(found.chosen, found.zero_shot, found.parts)
    if not named:  # a head of zeros has no temperature
        del choice["temperature"], choice["share"]["zero_shot"]
    elsewhere = {
        **found.chosen.noise.stated(),
        "zero_shot": (float(found.zero_shot.weight[0]) * 100 * found.heads.text).numpy()
        if named
        else np.empty((0, 0), np.float32),
        "say": np.array([say]),
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
    means = heads.discriminant(rows, scatter, _on(rows, SEARCHED))
    text = torch.from_numpy(features.unit(data.text)) if data.text is not None else torch.zeros_like(means.mean)
    near = text if named else F.normalize(means.mean)
    taught, chosen, zero_shot = search(rows, scatter, text, near, named)
    sample = _sample(rows, len(text))
    return Fitted(rows, taught, scatter, near, sample, taught.parts(rows, sample), zero_shot, chosen)


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


def second_opinion(found: Fitted, predicted: np.ndarray) -> tuple[np.ndarray, float]:
    """Zero-shot's log odds (N,) at its own temperature, and its say: much only where it puts images as all heads do."""
    rows, head = found.rows, float(found.zero_shot.weight[0]) * 100 * found.heads.text.T
    log_odds, agrees = np.empty(len(rows), np.float32), np.empty(len(rows), bool)
    for part in rows.blocks():
        scores = (rows[part] + rows.mean) @ head
        log_odds[part] = logit(scores, rows.labels[part]).numpy()
        agrees[part] = scores.argmax(1).numpy() == predicted[part]
    return log_odds, float(agrees.mean()) ** SURE


def search(
    rows: FoldedRows, scatter: Tensor, text: Tensor, near: Tensor, named: bool
) -> tuple[Heads, Mixture, Mixture]:
    """Fit heads, weights and noise from each start; the likeliest, and zero-shot alone.

    Args:
        rows: features and labels.
        scatter: (d, d) covariance of the rows.
        text: (C, d) unit features of the names, or zeros where there are none.
        near: (C, d) unit features that say which classes are near.
        named: whether there are text features.
    """
    sample, everyone = _sample(rows, len(text)), _on(rows, SEARCHED)
    labels = rows.labels[sample]
    first = heads.discriminant(rows, scatter, everyone)
    parts = torch.stack([100 * rows[sample] @ text.T, first.scores(rows[sample], labels, sample)])
    guess = choose_noise(parts, labels, near)
    starts = [guess.weight[:1], np.array([START]), np.array([LITTLE])]
    plain = zero_shot = fit_best(parts[:1], labels, guess.noise, starts)
    weight = np.append(guess.weight, START)
    found = [climb(rows, scatter, text, zero_shot, Mixture(weight, guess.noise, np.inf), everyone)]
    if named:
        zero_shot = fit(parts[:1], labels, guess.noise, zero_shot.weight, strict=False)
        trust = everyone * trusted_by(rows, 100 * text, zero_shot)
        found.append(climb(rows, scatter, text, zero_shot, Mixture(weight, zero_shot.noise, np.inf), trust))
    best, mixture = min(found, key=_cost)
    if len(rows) > SEARCHED:  # more labels teach
        trust = _on(rows, heads.TRAINED_ON)
        best = teach(rows, scatter, text, best.base, _trust(rows, best, mixture, trust))
        mixture = fit(best.parts(rows, sample), labels, mixture.noise, mixture.weight, strict=True)
    if not earns(mixture, plain, len(mixture.weight) - 1 + mixture.noise.confusions, len(labels)):
        mixture = padded(plain, len(mixture.weight))
    return best, mixture, plain


def climb(
    rows: FoldedRows, scatter: Tensor, text: Tensor, zero_shot: Mixture, start: Mixture, trust: Tensor
) -> tuple[Heads, Mixture]:
    """Expectation-maximisation from `trust` (N,) in each label: teach the heads, fit weights and noise, judge again."""
    sample, base = _sample(rows, len(text)), float(zero_shot.weight[0]) * 100 * text.T
    mixture, members, found = start, trust, []
    for turn in range(ROUNDS):
        taught = teach(rows, scatter, text, base, trust)
        weight = np.maximum(mixture.weight, 2 * LITTLE)
        strict = turn >= ROUNDS - STRICT
        mixture = fit(taught.parts(rows, sample), rows.labels[sample], mixture.noise, weight, strict=strict)
        found.append((taught, mixture))
        if turn < ROUNDS - 1:
            trust = _trust(rows, taught, mixture, members)
    return min(found, key=_cost)  # heads that stop early need not become likelier with each turn


def _cost(found: tuple[Heads, Mixture]) -> float:
    """Loss in nats and a nat for each confusion (Akaike's information criterion)."""
    return found[1].loss + found[1].noise.confusions


def teach(rows: FoldedRows, scatter: Tensor, text: Tensor, base: Tensor, trust: Tensor) -> Heads:
    """Fit the heads that labels teach, each as much as it is trusted (N,)."""
    means = heads.discriminant(rows, scatter, trust)
    return Heads(text, base, means, heads.logistic(rows, base, scatter, trust))


def _trust(rows: FoldedRows, taught: Heads, mixture: Mixture, members: Tensor) -> Tensor:
    """(N,) probability that each label is right, for rows that are members; 0 for the others."""
    trust = torch.zeros(len(rows))
    for part in torch.nonzero(members)[:, 0].split(heads.BLOCK):
        chosen = part.numpy()
        scores = mixture.scores(taught.parts(rows, chosen))
        trust[part] = torch.sigmoid(noise.log_odds(scores, rows.labels[chosen], mixture.noise))
    return trust


def trusted_by(rows: FoldedRows, head: Tensor, mixture: Mixture) -> Tensor:
    """(N,) probability that each label is right by one head (C, d) alone, for the rows of the search."""
    trust = torch.zeros(len(rows))
    for part in torch.nonzero(_on(rows, SEARCHED))[:, 0].split(heads.BLOCK):
        chosen = part.numpy()
        scores = float(mixture.weight[0]) * rows[chosen] @ head.T
        trust[part] = torch.sigmoid(noise.log_odds(scores, rows.labels[chosen], mixture.noise))
    return trust


def _on(rows: FoldedRows, n: int) -> Tensor:
    """(N,) 1 for about `n` rows, as many of every class as there are, and 0 for the others."""
    on = torch.zeros(len(rows))
    on[rows.at_most(n)] = 1
    return on


def _sample(rows: FoldedRows, classes: int) -> np.ndarray:
    """The rows that choose weights and noise."""
    return rows.at_most(min(FIT_ROWS, max(FIT_SCORES // classes, classes)))


def logit(scores: Tensor, labels: Tensor) -> Tensor:
    """(n,) log odds of a label by class scores (n, C), where no noise is thought of."""
    log_p, own = torch.log_softmax(scores, 1), (torch.arange(len(labels)), labels)
    right = log_p[own]
    log_p[own] = -torch.inf
    return right - torch.logsumexp(log_p, 1)


def heard(log_odds: np.ndarray, zero_shot: np.ndarray, say: float) -> np.ndarray:
    """Log odds (n,) with zero-shot's own (n,) added, as calibrated as before.

    Labels teach every head but zero-shot, so what is wrong with them in a systematic way is hidden from all others. The
    sum is fitted to the probabilities of before by logistic regression: zero-shot has a say in the order, none in how
    many labels are wrong.
    """
    total = log_odds + say * zero_shot.astype(np.float64)
    target = expit(log_odds.astype(np.float64))

    def loss(line: np.ndarray) -> tuple[float, np.ndarray]:
        at = line[0] * total + line[1]
        gap = expit(at) - target
        return float((np.logaddexp(0, at) - target * at).mean()), np.array([(gap * total).mean(), gap.mean()])

    slope, offset = minimize(loss, np.array([1.0, 0.0]), jac=True, bounds=[(1e-3, None), (None, None)]).x
    return (slope * total + offset).astype(np.float32)


def fit(parts: Tensor, labels: Tensor, start: NoiseModel, weight: np.ndarray, *, strict: bool | None = None) -> Mixture:
    """The weights and noise rates of the greatest likelihood.

    Args:
        parts: (m, n, C) scores of the heads.
        labels: (n,) labels, none of which the heads saw for its own row.
        start: noise to start from.
        weight: (m,) weights to start from.
        strict: whether confusions have to earn their rates strictly; None: there are none of their own.
    """
    fitted = [start]

    def loss(log_weight: np.ndarray) -> tuple[float, np.ndarray]:
        weight = np.exp(log_weight)
        p = probabilities(weight, parts)
        fitted[0] = _refit(fitted[0], p, labels, 2, strict)
        given = fitted[0].given[labels]
        likelihood = (p * given).sum(1).clamp_min(noise.TINY)
        gain = p * (given / likelihood[:, None] - 1)
        slope = (parts.flatten(1) @ gain.flatten()).double().numpy()
        total = float(likelihood.log().sum(dtype=torch.float64)) + fitted[0].log_prior
        return -total / len(labels), -slope * weight / len(labels)

    bounds = [(-7, 4)] * len(parts)  # which make SciPy search by L-BFGS-B
    found = minimize(loss, np.log(weight), jac=True, bounds=bounds, options={"maxiter": 25, "ftol": 3e-5})
    return at(np.exp(found.x), parts, labels, fitted[0], strict=strict)


def _refit(start: NoiseModel, p: Tensor, labels: Tensor, rounds: int, strict: bool | None) -> NoiseModel:
    """Rounds of expectation-maximisation of the noise, with confusions unless `strict` is None."""
    if strict is not None:
        return noise.with_confusions(start, p, labels, rounds=rounds, strict=strict)
    return noise.refit(start, noise.mass(p, start.cell[labels], len(start.size)).numpy(), rounds)


def fit_best(parts: Tensor, labels: Tensor, start: NoiseModel, weights: list[np.ndarray]) -> Mixture:
    """`fit` from the best of some weights (m,).

    The likelihood has poor maxima, such as zero-shot taken for certain and nearly all labels for wrong.
    """
    best = min((at(weight, parts, labels, start) for weight in weights), key=lambda mixture: mixture.loss)
    return fit(parts, labels, best.noise, best.weight)


def at(weight: np.ndarray, parts: Tensor, labels: Tensor, start: NoiseModel, *, strict: bool | None = None) -> Mixture:
    """The mixture of given weights (m,), its noise rates fitted to the end."""
    p = probabilities(weight, parts)
    fitted = _refit(start, p, labels, 50 if strict is None else 20, strict)
    likelihood = (p * fitted.given[labels]).sum(1).clamp_min(noise.TINY).log().sum(dtype=torch.float64)
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
        "confusions": chosen.noise.confusions,
    }
