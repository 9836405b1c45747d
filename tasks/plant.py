"""Faults planted on purpose, so that finding them can be measured: wrong labels and damaged images."""

import numpy as np
from PIL import Image

DAMAGES = ("noise", "occlusion", "low_resolution")


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


def choose_damage(n: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """For each of `n` samples the kind of damage it gets, "" for none; round(share * n) get one."""
    damage = np.full(n, "", dtype=object)
    rows = rng.choice(n, size=round(share * n), replace=False)
    damage[rows] = rng.choice(DAMAGES, size=len(rows))
    return damage


def damage_image(image: Image.Image, kind: str, rng: np.random.Generator) -> Image.Image:
    """A copy of an RGB image, damaged.

    `noise` adds Gaussian noise of standard deviation 0.5, `occlusion` blacks out a square of 60% of the shorter side,
    `low_resolution` scales the image down by eight and up again.
    """
    pixels = np.array(image, dtype=np.float32)
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
    else:
        raise ValueError(f"unknown damage {kind!r}")
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
