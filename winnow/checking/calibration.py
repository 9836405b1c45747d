"""Recalibrate alignment by answers: log odds that labels are right, and below which of them a label is doubted.

The log odds x become slope * x + offset (Platt 1999), fitted to the answers with a prior around what they were, slope 1
and offset 0, so that few answers change little. Which images were asked about depends on x alone, so that the answers
need no weights here.

A label is doubted below the log odds at which the F1 that is expected of all verdicts is the largest. That is not 0:
where half of the verdicts are expected to be right at best, it pays to doubt labels that are a little more likely
right than wrong (Lipton, Elkan and Naryanaswamy 2014).
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

SLOPE, OFFSET = 0.5, 3.0  # standard deviations of the prior


@dataclass(frozen=True)
class Calibration:
    """What log odds become, and below which of those a label is doubted.

    Attributes:
        slope: of the old log odds, above 0, so that their order stays.
        offset: added to them.
        doubted_below: of the new log odds.
    """

    slope: float
    offset: float
    doubted_below: float

    def of(self, alignment: np.ndarray) -> np.ndarray:
        """(N,) new log odds of old ones."""
        return self.slope * alignment.astype(np.float64) + self.offset


def fit(alignment: np.ndarray, asked: np.ndarray, right: np.ndarray) -> Calibration:
    """Fit to answers.

    Args:
        alignment: (N,) log odds of all images.
        asked: (n,) rows that a person said right or wrong of.
        right: (n,) bool, which.
    """
    x, sign = alignment[asked].astype(np.float64), np.where(right, 1.0, -1.0)

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        log_slope, offset = parameters
        slope = np.exp(log_slope)
        margin = sign * (slope * x + offset)
        pull = -sign * expit(-margin)
        prior = (log_slope / SLOPE) ** 2 / 2 + (offset / OFFSET) ** 2 / 2
        slopes = np.array([slope * (pull @ x) + log_slope / SLOPE**2, pull.sum() + offset / OFFSET**2])
        return float(np.logaddexp(0, -margin).sum() + prior), slopes

    log_slope, offset = minimize(loss, np.zeros(2), jac=True, method="L-BFGS-B", options={"ftol": 1e-12}).x
    slope = float(np.exp(log_slope))
    return Calibration(slope, float(offset), threshold(slope * alignment.astype(np.float64) + offset))


def threshold(log_odds: np.ndarray) -> float:
    """The log odds below which labels (N,) are to be doubted for the largest expected F1."""
    ordered = np.sort(log_odds)
    wrong = np.cumsum(expit(-ordered))
    expected = 2 * wrong / (np.arange(1, len(ordered) + 1) + wrong[-1])
    best = int(np.argmax(expected))
    above = ordered[best + 1] if best + 1 < len(ordered) else ordered[best] + 1
    return float((ordered[best] + above) / 2)
