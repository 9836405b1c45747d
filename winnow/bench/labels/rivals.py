"""Other ways to judge labels, to compare with: zero-shot scores, cleanlab, and votes of the nearest neighbours."""

import numpy as np

from winnow import extras
from winnow.bench.labels import held_out
from winnow.bench.labels.judgement import Judgement, Judgements
from winnow.features import Features, unit

TEMPERATURE = 100.0  # CLIP's own
ROUNDS, VOTERS, LOOKED_AT = 21, 10, 60  # of SimiFeat's votes: how many, by how many of how many neighbours


def zero_shot(data: Features, _: int) -> Judgements:
    """Log-probability and margin of the label, by names alone; the verdict: another class is likelier."""
    log_p = _by_names(data)
    own, margin = _own(log_p, data.labels), _margin(log_p, data.labels)
    return {
        "zero_shot": Judgement(own, margin < 0, np.exp(own)),
        "zero_shot margin": Judgement(margin, margin < 0),
    }


def zero_shot_confident(data: Features, _: int) -> Judgements:
    """cleanlab's confident learning on the probabilities by names."""
    p = np.exp(_by_names(data))
    own = _own(p, data.labels)
    return {"zero_shot_confident": Judgement(own, _issues(data.labels, p), own)}


def cleanlab_1(data: Features, _: int) -> Judgements:
    """cleanlab on five-fold logistic regression, C = 1."""
    return _cleanlab(data, 1.0, "cleanlab_1")


def cleanlab_10(data: Features, _: int) -> Judgements:
    """cleanlab on five-fold logistic regression, C = 10."""
    return _cleanlab(data, 10.0, "cleanlab_10")


def knn(data: Features, _: int) -> Judgements:
    """Share of the 10 and of the 20 nearest neighbours that have the label; the verdict: another has more."""
    near = _neighbours(unit(data.image), 20)
    found = {}
    for count in (10, 20):
        votes = _votes(data.labels[near[:, :count]], len(data.classes))
        share = votes / votes.sum(1, keepdims=True)
        own = _own(share, data.labels)
        found[f"knn_{count}"] = Judgement(own, _margin(share, data.labels) < 0, own)
    return found


def simifeat(data: Features, seed: int) -> Judgements:
    """Votes of ten neighbours in 21 rounds, each among a random half of the images (after Zhu, Dong, Liu 2022).

    The score is the mean cosine between the votes and the label; the verdict, that most rounds outvote the label.
    SimiFeat itself draws a part of the images for a round and augments them, which features do not allow.
    """
    rng, near = np.random.default_rng(seed), _neighbours(unit(data.image), LOOKED_AT)
    score, outvoted = np.zeros(len(near)), np.zeros(len(near))
    for _ in range(ROUNDS):
        there = rng.random(len(near)) < 0.5
        first = np.argsort(~there[near], axis=1, kind="stable")[:, :VOTERS]
        votes = _votes(data.labels[np.take_along_axis(near, first, 1)], len(data.classes))
        score += _own(votes, data.labels) / np.linalg.norm(votes, axis=1) / ROUNDS
        outvoted += _margin(votes, data.labels) < 0
    return {"simifeat": Judgement(score, outvoted > ROUNDS / 2)}


def _cleanlab(data: Features, strength: float, name: str) -> Judgements:
    """Both of cleanlab's scores, with the labels that it takes for issues."""
    p = held_out.probabilities(data, strength)
    issues, own = _issues(data.labels, p), _own(p, data.labels)
    return {
        f"{name} confidence": Judgement(own, issues, own),
        f"{name} margin": Judgement(_margin(p, data.labels), issues),
    }


def _by_names(data: Features) -> np.ndarray:
    """(N, C) zero-shot log-probabilities."""
    assert data.text is not None, "Method.names says that it needs text"
    logits = TEMPERATURE * unit(data.image) @ unit(data.text).T
    return logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)


def _issues(labels: np.ndarray, p: np.ndarray) -> np.ndarray:
    """(N,) bool: cleanlab's verdict, with its defaults."""
    found: np.ndarray = extras.load("cleanlab.filter", "bench").find_label_issues(labels, p, n_jobs=1)
    return found


def _neighbours(x: np.ndarray, count: int) -> np.ndarray:
    """(N, k) the nearest other rows of unit rows, nearest first, at most `count`; found in blocks."""
    from sklearn.neighbors import NearestNeighbors

    count = min(count, len(x) - 1)
    near: np.ndarray = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(x).kneighbors(return_distance=False)
    return near


def _votes(labels: np.ndarray, classes: int) -> np.ndarray:
    """(N, C) how often each class is among the labels (N, k)."""
    votes = np.zeros((len(labels), classes), np.float32)
    np.add.at(votes, (np.arange(len(labels))[:, None], labels), 1)
    return votes


def _own(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(N,) the value of each row's label, of (N, C)."""
    return values[np.arange(len(labels)), labels]


def _margin(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(N,) the value of each row's label less the greatest of the others, of (N, C)."""
    rest = values.copy()
    rest[np.arange(len(labels)), labels] = -np.inf
    return _own(values, labels) - rest.max(1)
