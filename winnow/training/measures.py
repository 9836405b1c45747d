"""Measure a trained network: accuracy, worst-class accuracy and calibration error."""

from dataclasses import dataclass

import numpy as np

BINS = 15  # of confidence, of equal width


@dataclass(frozen=True)
class Measures:
    """Of a network on held-out images.

    Attributes:
        accuracy: share of the images whose class is found.
        by_class: the same for each class; None for one that has no images.
        worst_class: the least of those.
        calibration_error: expected difference between confidence and accuracy.
        right: (n,) bool, the images whose class is found.
    """

    accuracy: float
    by_class: list[float | None]
    worst_class: float
    calibration_error: float
    right: np.ndarray


def measure(probabilities: np.ndarray, labels: np.ndarray) -> Measures:
    """Compare (n, C) class probabilities with the (n,) true classes."""
    right = probabilities.argmax(1) == labels
    counts = np.bincount(labels, minlength=probabilities.shape[1])
    found = np.bincount(labels[right], minlength=len(counts))
    by_class = [float(hits / n) if n else None for hits, n in zip(found, counts, strict=True)]
    worst = min(share for share in by_class if share is not None)
    return Measures(float(right.mean()), by_class, worst, calibration_error(probabilities.max(1), right), right)


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Expected calibration error of (n,) confidences: mean over images of |accuracy - confidence| of their bin."""
    bins = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    gaps = np.bincount(bins, weights=right.astype(np.float64) - confidence, minlength=BINS)
    return float(np.abs(gaps).sum() / len(confidence))
