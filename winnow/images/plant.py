"""Plant faults on purpose, wrong labels and damaged images, to measure how many of them are found."""

from collections.abc import Mapping

import numpy as np
from PIL import Image

from winnow.errors import InputError
from winnow.features import unit
from winnow.names import quoted

NEAR = 3  # a label that is wrong by a near name is one of so many
DAMAGES = ("noise", "occlusion", "low_resolution", "fog", "motion_blur")


def wrong_labels(labels: np.ndarray, classes: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """Symmetric label noise: round(share * N) samples get another class, each of the others alike likely.

    Args:
        labels: (N,) true classes.
        classes: C, the number of classes.
        share: of the samples.
        rng: source of randomness.

    Returns:
        (N,) labels as given.
    """
    given = labels.copy()
    rows = rng.choice(len(labels), size=round(share * len(labels)), replace=False)
    given[rows] = (labels[rows] + rng.integers(1, classes, size=len(rows))) % classes
    return given


def mistaken(classes: list[str], to: Mapping[str, str], key: str) -> np.ndarray:
    """(C,) the class that each is mistaken for, itself where it is not.

    Args:
        classes: C names.
        to: by name, which is mistaken for which; none at all: each for the next, the last for the first.
        key: of the parameter, for the message.

    Raises:
        InputError: `to` names a class that there is not.
    """
    if not to:
        return (np.arange(len(classes)) + 1) % len(classes)
    number = {name: c for c, name in enumerate(classes)}
    if unknown := [name for pair in to.items() for name in pair if name not in number]:
        raise InputError(f"{key}: there is no class {quoted(unknown[0])}; there are {', '.join(classes)}")
    found = np.arange(len(classes))
    for one, other in to.items():
        found[number[one]] = number[other]
    return found


def asymmetric(labels: np.ndarray, to: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Label noise by class: round(share * n) of the n samples whose class maps to another get the class it maps to.

    Args:
        labels: (N,) true classes.
        to: (C,) for each class the one that it is mistaken for; itself where it is not mistaken.
        share: of the samples of classes that are.
        rng: source of randomness.

    Returns:
        (N,) labels as given.
    """
    given = labels.copy()
    mistaken = np.flatnonzero(to[labels] != labels)
    rows = rng.choice(mistaken, size=round(share * len(mistaken)), replace=False)
    given[rows] = to[labels[rows]]
    return given


def near(labels: np.ndarray, text: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Label noise as people make it: round(share * N) samples get one of the three classes of the nearest names.

    Args:
        labels: (N,) true classes.
        text: (C, d) features of the class names, at least two.
        share: of the samples.
        rng: source of randomness.

    Returns:
        (N,) labels as given.
    """
    similarity = unit(text) @ unit(text).T
    np.fill_diagonal(similarity, -np.inf)
    nearest = np.argsort(-similarity, axis=1)[:, : min(NEAR, len(text) - 1)]
    given = labels.copy()
    rows = rng.choice(len(labels), size=round(share * len(labels)), replace=False)
    given[rows] = nearest[labels[rows], rng.integers(0, nearest.shape[1], len(rows))]
    return given


def choose_damage(n: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """For each of `n` samples the kind of damage it gets, "" for none; round(share * n) get one."""
    damage = np.full(n, "", dtype=object)
    rows = rng.choice(n, size=round(share * n), replace=False)
    damage[rows] = rng.choice(DAMAGES, size=len(rows))
    return damage


def damage_image(image: Image.Image, kind: str, rng: np.random.Generator) -> Image.Image:
    """A copy of an RGB image, damaged in one of the five ways of the paper.

    `noise` adds Gaussian noise of standard deviation 0.5, `occlusion` blacks out a square of 60% of the shorter side,
    `low_resolution` scales the image down by eight and up again, `fog` lays clouds over it that hide 75% of it,
    `motion_blur` smears it over 40% of the shorter side in some direction.
    """
    pixels: np.ndarray = np.array(image, dtype=np.float32)
    height, width = pixels.shape[:2]
    if kind == "noise":
        pixels += rng.normal(0, 0.5 * 255, size=(height, width, 1))
    elif kind == "occlusion":
        side = round(0.6 * min(height, width))
        top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
        pixels[top : top + side, left : left + side] = 0
    elif kind == "low_resolution":
        small = image.resize((max(1, width // 8), max(1, height // 8)), Image.Resampling.BOX)
        return small.resize((width, height), Image.Resampling.BILINEAR)
    elif kind == "fog":
        pixels = 0.25 * pixels + 0.75 * (128 + 127 * _clouds(height, width, rng)[..., None])
    elif kind == "motion_blur":
        pixels = _smear(pixels, 0.4 * min(height, width), rng.uniform(0, np.pi))
    else:
        raise ValueError(f"unknown damage {kind!r}")
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _clouds(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """(height, width) in [0, 1]: smooth noise, each octave twice as fine and half as strong as the one before."""
    clouds = np.zeros((height, width), np.float32)
    for octave in range(1, 5):
        grid = Image.fromarray(rng.random((2**octave, 2**octave), dtype=np.float32))
        clouds += np.asarray(grid.resize((width, height), Image.Resampling.BICUBIC)) / 2**octave
    return (clouds / (1 - 2.0**-4)).clip(0, 1)


def _smear(pixels: np.ndarray, length: float, angle: float) -> np.ndarray:
    """The mean of (h, w, 3) `pixels` moved along a line of `length` pixels; what moves in is the edge."""
    rows, columns = np.arange(pixels.shape[0])[:, None], np.arange(pixels.shape[1])
    steps = np.linspace(-length / 2, length / 2, max(3, round(length) + 1))
    total = np.zeros_like(pixels)
    for step in steps:  # one at a time: a photograph takes a thousand steps
        total += pixels[
            (rows + round(step * np.sin(angle))).clip(0, len(rows) - 1),
            (columns + round(step * np.cos(angle))).clip(0, len(columns) - 1),
        ]
    return total / np.float32(len(steps))
