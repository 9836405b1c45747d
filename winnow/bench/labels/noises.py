"""Kinds of label noise to plant: each maps features with true labels to features with labels as given.

Noise of one's own noise model flatters it. So some kinds have other forms: mistakes of a single class, mistakes that
depend on the image, images of no class at all, and labels that people gave (`from_file`).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from winnow.features import Features, unit
from winnow.images import plant

LARGE = 12  # classes of which two are drawn: the largest
LEAST = 3  # images of a class, however long the tail
COMPONENTS = 16  # of the features, where the ambiguity of an image is found
OUTSIDE = 0.2  # of the classes, which are taken from the list


@dataclass(frozen=True)
class Planted:
    """Features with the labels as given, and which of those are wrong: (N,) bool."""

    data: Features
    wrong: np.ndarray


Planter = Callable[[Features, np.random.Generator], Planted]


@dataclass(frozen=True)
class Noise:
    """A kind of noise.

    Attributes:
        plant: features with true labels, and a source of randomness, to what is planted.
        classes: how many it needs at least.
        names: whether it needs text features.
        drawn: whether another seed gives other labels.
    """

    plant: Planter
    classes: int = 2
    names: bool = False
    drawn: bool = True


def clean(data: Features, _: np.random.Generator) -> Planted:
    """Labels as they are, to count false alarms."""
    return _relabelled(data, data.labels)


def symmetric(share: float) -> Planter:
    """Wrong labels from all other classes alike."""

    def planted(data: Features, rng: np.random.Generator) -> Planted:
        return _relabelled(data, plant.wrong_labels(data.labels, len(data.classes), share, rng))

    return planted


def near(share: float) -> Planter:
    """Wrong labels from the three classes whose names are nearest, or images on average where there is no text."""

    def planted(data: Features, rng: np.random.Generator) -> Planted:
        return _relabelled(data, plant.near(data.labels, data.anchors, share, rng))

    return planted


def pair(share: float) -> Planter:
    """Wrong labels from one class for each, which has nothing to do with how alike they are."""

    def planted(data: Features, rng: np.random.Generator) -> Planted:
        order, partner = rng.permutation(len(data.classes)), np.empty(len(data.classes), np.int64)
        partner[order] = np.roll(order, 1)
        return _relabelled(data, plant.asymmetric(data.labels, partner, share, rng))

    return planted


def spoiled(share: float) -> Planter:
    """Most images of one class, of the larger half, have the label of its nearest; all other labels are right."""

    def planted(data: Features, rng: np.random.Generator) -> Planted:
        large = np.argsort(-data.counts, kind="stable")[: max(len(data.classes) // 2, 1)]
        one, to = rng.choice(large), np.arange(len(data.classes))
        to[one] = _nearest(data.anchors)[one]
        return _relabelled(data, plant.asymmetric(data.labels, to, share, rng))

    return planted


def ambiguous(share: float) -> Planter:
    """The images that look most like another class have its label, as a classifier fitted to true labels sees them."""

    def planted(data: Features, _: np.random.Generator) -> Planted:
        from sklearn.decomposition import PCA
        from sklearn.linear_model import LogisticRegression

        x = unit(data.image)
        x = PCA(min(COMPONENTS, *x.shape), random_state=0).fit_transform(x)
        p = LogisticRegression(max_iter=300).fit(x, data.labels).predict_proba(x)
        rows = np.arange(len(p))
        own = p[rows, data.labels]
        p[rows, data.labels] = -1
        most = np.argsort(own - p.max(1), kind="stable")[: round(share * len(p))]
        given = data.labels.copy()
        given[most] = p[most].argmax(1)
        return _relabelled(data, given)

    return planted


def two_classes(data: Features, rng: np.random.Generator) -> Planted:
    """Two of the largest classes alone, with 20% symmetric noise."""
    large = np.argsort(-data.counts, kind="stable")[:LARGE]
    pair = rng.choice(large, 2, replace=False)
    number = np.full(len(data.classes), -1)
    number[pair] = 0, 1
    rows = np.flatnonzero(number[data.labels] >= 0)
    return symmetric(0.2)(_among(data, rows, number[data.labels[rows]], pair), rng)


def open_random(data: Features, rng: np.random.Generator) -> Planted:
    """A fifth of the classes is not in the list: their images have labels at random."""
    inside, outside = _divided(data, rng)
    return _open(data, inside, {c: rng.integers(0, len(inside), data.counts[c]) for c in outside})


def open_near(data: Features, rng: np.random.Generator) -> Planted:
    """A fifth of the classes is not in the list: their images have the label of the nearest class that is."""
    inside, outside = _divided(data, rng)
    vectors = data.anchors
    nearest = (vectors[outside] @ vectors[inside].T).argmax(1)
    return _open(data, inside, {c: np.full(data.counts[c], to) for c, to in zip(outside, nearest, strict=True)})


def long_tail(ratio: float, noise: Planter) -> Planter:
    """Classes whose sizes fall off geometrically, the largest `ratio` times the smallest, with noise on top."""

    def planted(data: Features, rng: np.random.Generator) -> Planted:
        size = data.counts.max() * ratio ** -np.linspace(0, 1, len(data.classes))
        kept = [
            rng.permutation(members)[: max(LEAST, round(n))]
            for members, n in zip(data.by_class(), rng.permutation(size), strict=True)
        ]
        rows = np.sort(np.concatenate(kept))
        return noise(_among(data, rows, data.labels[rows], np.arange(len(data.classes))), rng)

    return planted


def shuffled_text(noise: Planter) -> Planter:
    """Text features that belong to other classes, with noise on top: the encoder does not know what the names mean."""

    def planted(data: Features, rng: np.random.Generator) -> Planted:
        assert data.text is not None, "Noise.names says that it needs text"
        made = noise(data, rng)
        return replace(made, data=replace(made.data, text=data.text[rng.permutation(len(data.text))]))

    return planted


def from_file(labels: np.ndarray) -> Noise:
    """(N,) labels as people, or whatever else, gave them."""
    return Noise(lambda data, _: _relabelled(data, labels), drawn=False)


NOISES: dict[str, Noise] = {
    "clean": Noise(clean, drawn=False),
    "symmetric 5%": Noise(symmetric(0.05)),
    "symmetric 20%": Noise(symmetric(0.2)),
    "symmetric 40%": Noise(symmetric(0.4)),
    "symmetric 60%": Noise(symmetric(0.6)),
    "near 5%": Noise(near(0.05)),
    "near 20%": Noise(near(0.2)),
    "pair 20%": Noise(pair(0.2)),
    "spoiled class": Noise(spoiled(0.6), classes=3),
    "ambiguous 20%": Noise(ambiguous(0.2), drawn=False),
    "two classes": Noise(two_classes, classes=3),
    "open random": Noise(open_random, classes=4),
    "open near": Noise(open_near, classes=4),
    "tail symmetric": Noise(long_tail(100, symmetric(0.2)), classes=3),
    "tail near": Noise(long_tail(100, near(0.2)), classes=3),
    "shuffled symmetric": Noise(shuffled_text(symmetric(0.2)), classes=3, names=True),
    "shuffled near": Noise(shuffled_text(near(0.2)), classes=3, names=True),
}


def _relabelled(data: Features, given: np.ndarray) -> Planted:
    return Planted(replace(data, labels=given), given != data.labels)


def _nearest(vectors: np.ndarray) -> np.ndarray:
    """(C,) the other class that is nearest to each, of unit rows (C, d)."""
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -np.inf)
    nearest: np.ndarray = similarity.argmax(1)
    return nearest


def _among(data: Features, rows: np.ndarray, labels: np.ndarray, classes: np.ndarray) -> Features:
    """Some rows, with labels that count some of the classes."""
    text = None if data.text is None else data.text[classes]
    return Features(data.image[rows], text, labels, [data.classes[c] for c in classes], data.ids[rows])


def _divided(data: Features, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The classes that stay in the list, and the others, at least two of each."""
    count = len(data.classes)
    outside = rng.permutation(count)[: max(2, round(OUTSIDE * count))]
    return np.setdiff1d(np.arange(count), outside), outside


def _open(data: Features, inside: np.ndarray, labels: dict[int, np.ndarray]) -> Planted:
    """All images in a list of some classes, with wrong `labels` by class for those of the others."""
    number = np.full(len(data.classes), -1)
    number[inside] = np.arange(len(inside))
    given = number[data.labels]
    wrong = given < 0
    for c, some in labels.items():
        given[data.labels == c] = some
    return Planted(_among(data, np.arange(len(given)), given, inside), wrong)
