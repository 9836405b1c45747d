"""Alignment by several encoders: the heads of each are fitted alone, and all of them are added up.

The weights of all heads maximise the same likelihood of labels as those of one encoder do, and have to earn their
parameters against the best encoder alone; then only that one counts.
"""

import numpy as np
import torch

from winnow.features import Features
from winnow.selection import alignment, heads
from winnow.selection.alignment import Alignment, Fitted, Mixture

A_LITTLE = 0.2  # of the weights of the other encoders, where the best one is nearly alone at the start
LEAST = 1e-3  # weight at the start, since the search is over logarithms


@torch.no_grad()
def align(data: Features, seed: int = 0) -> Alignment:
    """Judge every label by what several encoders say (`Features.views`); damage is what the first finds unlike all."""
    first = alignment.fitted(data.view(0), seed)
    found = [first, *(alignment.fitted(data.view(v), seed, first.rows.order) for v in range(1, data.encoders))]
    best = min(found, key=lambda one: one.chosen.loss)
    chosen = mix(found, best)
    weights = np.split(chosen.weight, len(found))

    def scores(part: slice) -> torch.Tensor:
        every = (one.scores(part, weight) for one, weight in zip(found, weights, strict=True))
        return torch.stack(list(every)).sum(0)

    log_odds, predicted, certainty = alignment.judge(first.rows, scores, chosen.noise)
    speaker = next((v for v in _by_worth(found) if found[v].heads.text.any()), None)
    say = 0.0
    if speaker is not None:
        zero_shot, say = alignment.second_opinion(found[speaker], predicted)
        log_odds = alignment.heard(log_odds, zero_shot, say)
    distance = heads.distance(first.rows, first.scatter)
    damaged = alignment.unlike_the_trusted(distance, log_odds)
    back = np.argsort(first.rows.order)
    alone = np.stack([_alone(one)[back] for one in found])
    weight, bias = _as_one(found, weights)
    choice = _describe(found, chosen, best)
    elsewhere = {
        **chosen.noise.stated(),
        "zero_shot": _spoken(found, speaker),
        "say": np.array([say]),
        "near": best.near.numpy(),
        "centre": _padded(first.rows.mean.numpy() / np.sqrt(len(found)), weight.shape[1:]),
        "metric": _padded(len(found) * heads.metric(first.scatter, heads.FAR_RIDGE).numpy(), 2 * weight.shape[1:]),
        "far": np.array([alignment.reach(distance, log_odds)]),
        "certainty": certainty[back],
    }
    return Alignment(
        log_odds[back], predicted[back], damaged[back], weight, bias, choice, **elsewhere, by_encoder=alone
    )


def mix(found: list[Fitted], best: Fitted) -> Mixture:
    """Weights of all heads of all encoders, one after the other; of the best alone where more do not earn it."""
    labels, parts = found[0].rows.labels[found[0].sample], torch.cat([one.parts for one in found])
    alone = [one.chosen.weight * (one is best) for one in found]
    mostly = [one.chosen.weight * (1 if one is best else A_LITTLE) for one in found]
    shared = [one.chosen.weight / len(found) for one in found]
    starts = [np.concatenate(start).clip(LEAST) for start in (mostly, shared)]
    joint = min(
        (alignment.fit(parts, labels, best.chosen.noise, s, strict=True) for s in starts), key=lambda mixed: mixed.loss
    )
    if alignment.earns(joint, best.chosen, len(parts) - len(best.parts), len(labels)):
        return joint
    return Mixture(np.concatenate(alone), best.chosen.noise, best.chosen.loss)


def _by_worth(found: list[Fitted]) -> list[int]:
    """The encoders, the one that explains the labels best first."""
    return sorted(range(len(found)), key=lambda v: found[v].chosen.loss)


def _spoken(found: list[Fitted], speaker: int | None) -> np.ndarray:
    """The zero-shot head (C, d) of one encoder, for unit features of all encoders side by side, made unit again."""
    texts = [float(one.zero_shot.weight[0]) * 100 * one.heads.text * (v == speaker) for v, one in enumerate(found)]
    return np.float32(np.sqrt(len(found))) * torch.cat(texts, 1).numpy()


def _alone(one: Fitted) -> np.ndarray:
    """(N,) the class that an encoder alone takes each image for."""
    return alignment.judge(one.rows, lambda part: one.scores(part, one.chosen.weight), one.chosen.noise)[1]


def _as_one(found: list[Fitted], weights: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The sum of all heads as one, for unit features of all encoders side by side, made unit again."""
    one = [fitted.as_one(weight) for fitted, weight in zip(found, weights, strict=True)]
    scale = np.float32(np.sqrt(len(found)))
    return scale * np.concatenate([weight for weight, _ in one], 1), np.sum([bias for _, bias in one], axis=0)


def _padded(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """What is known of the first encoder's features, as of all side by side: the others count for nothing."""
    wide = np.zeros(shape, np.float32)
    wide[tuple(map(slice, array.shape))] = array
    return wide


def _describe(found: list[Fitted], chosen: Mixture, best: Fitted) -> dict[str, object]:
    """What was chosen, in numbers: the share of each encoder, and what all are worth against the best of them."""
    parts = torch.cat([one.parts for one in found])
    spread = chosen.weight * np.array([float(part.std(1, correction=0).mean()) for part in parts])
    share = np.array([each.sum() for each in np.split(spread, len(found))]) / max(spread.sum(), 1e-30)
    return {
        "gain_nats": round(best.chosen.loss - chosen.loss, 3),
        "share": {f"encoder_{v}": round(float(part), 4) for v, part in enumerate(share, start=1)},
        "noise_rate": round(1 - float(chosen.noise.rate[0]), 5),
    }
