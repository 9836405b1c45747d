"""Alignment that is off is put right by two hundred answers, alignment that is right stays, and few change little."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from winnow.checking import calibration, sampling


def labels(slope: float, offset: float, seed: int = 0, n: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Alignment, and whether labels are wrong, of log odds slope * alignment + offset."""
    rng = np.random.default_rng(seed)
    alignment = rng.normal(7, 3, n)
    return alignment, rng.random(n) > expit(slope * alignment + offset)


def answered(alignment: np.ndarray, wrong: np.ndarray, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    n = len(alignment)
    keys = {"id": [f"{i:06d}" for i in range(n)], "label": np.arange(n) % 10}
    table = pd.DataFrame(keys | {"alignment": alignment, "selected": alignment > np.quantile(alignment, 0.3)})
    rows = sampling.draw(table, size, seed).rows
    return rows, ~wrong[rows]


def f1(doubted: np.ndarray, wrong: np.ndarray) -> float:
    return float(2 * (doubted & wrong).sum() / (doubted.sum() + wrong.sum()))


def best_f1(alignment: np.ndarray, wrong: np.ndarray) -> float:
    order = np.argsort(alignment)
    return float((2 * np.cumsum(wrong[order]) / (np.arange(1, len(order) + 1) + wrong.sum())).max())


@pytest.mark.parametrize(("slope", "offset"), [(1, -2.7), (1.2, -3.4), (0.7, -1)])
def test_with_two_hundred_answers_verdicts_are_near_the_best_there_are(slope: float, offset: float) -> None:
    alignment, wrong = labels(slope, offset)
    gaps = []
    for seed in range(8):
        found = calibration.fit(alignment, *answered(alignment, wrong, 200, seed))
        gaps.append(best_f1(alignment, wrong) - f1(found.of(alignment) < found.doubted_below, wrong))
    assert np.mean(gaps) < 0.015


def test_calibrated_log_odds_are_as_often_right_as_they_say() -> None:
    alignment, wrong = labels(1.1, -3)
    found = calibration.fit(alignment, *answered(alignment, wrong, 300, 0))
    p = expit(-found.of(alignment))
    for low, high in ((0, 0.02), (0.02, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 1)):
        part = (p >= low) & (p < high)
        assert wrong[part].mean() == pytest.approx(p[part].mean(), abs=0.12)
    assert abs(p.mean() - wrong.mean()) < 0.02 < abs(expit(-alignment).mean() - wrong.mean())


def test_few_answers_change_little_and_the_order_never_changes() -> None:
    alignment, _ = labels(1, 0)
    two = calibration.fit(alignment, np.array([3, 5]), np.array([True, True]))
    assert abs(two.offset) < 1
    assert two.slope == pytest.approx(1, abs=0.1)
    odd = calibration.fit(alignment, np.arange(200), alignment[:200] < np.median(alignment))  # as wrong as can be
    assert odd.slope > 0


def test_the_threshold_has_the_largest_expected_f1() -> None:
    odds = np.random.default_rng(0).normal(3, 3, 500)
    p, cut = expit(-odds), calibration.threshold(odds)

    def expected(at: float) -> float:
        return float(2 * p[odds < at].sum() / ((odds < at).sum() + p.sum()))

    assert expected(cut) == pytest.approx(max(map(expected, np.linspace(-9, 9, 2000))), abs=1e-3)
    assert cut > 0


def test_a_single_image_has_a_threshold() -> None:
    assert calibration.threshold(np.array([1.0])) > 1
