"""Choose the images to hold out if the source does not say which."""

import hashlib
from collections.abc import Collection

import numpy as np

from winnow import budget


def choose(ids: Collection[str], labels: np.ndarray, classes: int, test_share: float, seed: int) -> np.ndarray:
    """Choose what to hold out: an exact share of each class; one image at least of each class stays in the pool.

    Those are taken whose hash of seed and id is lowest. So images that are added later change the choice only as far as
    the share of their class grows, or as they displace some themselves.

    Args:
        ids: N ids.
        labels: (N,) their classes.
        classes: C, the number of classes.
        test_share: of the images.
        seed: of the choice.

    Returns:
        (N,) bool.
    """
    counts = np.bincount(labels, minlength=classes)
    split = np.minimum(
        budget.shares(counts, round(test_share * len(labels)), "proportional"), np.maximum(counts - 1, 0)
    )
    ranks = np.array([hashlib.sha256(f"{seed}/{name}".encode()).digest()[:16] for name in ids], dtype="S16")
    order = np.lexsort((ranks, labels))  # class by class, by hash
    place = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    chosen = np.zeros(len(labels), dtype=bool)
    chosen[order] = place < np.repeat(split, counts)
    return chosen
