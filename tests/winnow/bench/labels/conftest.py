"""Features with true labels: eight classes of unequal size, in pairs of like ones."""

import numpy as np
import pytest

from winnow.features import Features

SIZES = [80, 70, 60, 50, 40, 30, 20, 10]


@pytest.fixture(scope="session")
def true() -> Features:
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat(np.arange(8), SIZES))
    text = np.repeat(rng.normal(size=(4, 24)), 2, axis=0) + 0.8 * rng.normal(size=(8, 24))
    image = text[labels] + 0.6 * rng.normal(size=(len(labels), 24))
    ids = np.array([f"photo-{i:03d}" for i in range(len(labels))])
    return Features(image.astype(np.float32), text.astype(np.float32), labels, list("abcdefgh"), ids)
