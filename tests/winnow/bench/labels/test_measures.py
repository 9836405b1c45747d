"""Measures by hand."""

import numpy as np
import pytest

from winnow.bench.labels import measures
from winnow.bench.labels.judgement import Judgement

WRONG = np.array([True, True, False, False, False, False, False, False, False, False])
SCORE = np.array([0.1, 0.75, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])


def test_a_judgement_is_measured_as_by_hand() -> None:
    found = measures.measure(Judgement(SCORE, SCORE < 0.25, SCORE), WRONG)
    assert found == {
        "wrong": 0.2,
        "auroc": 10 / 16,  # of 16 pairs: 8 above 0.1, and 2 above 0.75
        "precision": 0.5,
        "recall": 0.5,
        "f1": 0.5,
        "false_alarms": 1 / 8,
        "believed_wrong": pytest.approx(1 - SCORE.mean()),
        "calibration_error": found["calibration_error"],
        "left_30": pytest.approx(1 / 3, abs=1e-5),
        "left_50": 0.2,
        "left_70": pytest.approx(1 / 7, abs=1e-5),
    }


def test_calibration_is_the_gap_in_bins_weighted_by_their_size() -> None:
    assert measures.calibration_error(np.array([0.91, 0.92, 0.91, 0.92]), np.array([True, False, False, False])) == (
        pytest.approx(0.915 - 0.75)
    )
    both = measures.calibration_error(np.array([0.91, 0.91, 0.01, 0.01]), np.array([False, False, False, True]))
    assert both == pytest.approx((0.09 + 0.49) / 2)
    assert measures.calibration_error(np.array([1.0, 0.0]), np.array([False, True])) == 0


def test_on_clean_labels_what_is_suspected_is_a_false_alarm() -> None:
    found = measures.measure(Judgement(SCORE, SCORE < 0.25, SCORE), np.zeros(10, bool))
    assert found["false_alarms"] == 0.2
    assert [found[name] for name in ("auroc", "precision", "recall", "f1")] == [None] * 4
    assert found["left_30"] == 0


def test_what_does_not_apply_is_left_out() -> None:
    found = measures.measure(Judgement(SCORE), WRONG)
    without = {name for name, value in found.items() if value is None}
    assert without == {"precision", "recall", "f1", "false_alarms", "believed_wrong", "calibration_error"}
    nothing = measures.measure(Judgement(SCORE, SCORE < 0), WRONG)
    assert (nothing["precision"], nothing["recall"], nothing["f1"]) == (None, 0, 0)


def test_means_are_over_the_runs_that_have_a_measure() -> None:
    assert measures.mean([{"a": 1.0, "b": None}, {"a": 2.0, "b": None}, {"a": None, "b": None}]) == {
        "a": 1.5,
        "b": None,
    }
