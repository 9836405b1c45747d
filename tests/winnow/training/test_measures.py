"""Measures of a network agree with their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.training.measures import BINS, calibration_error, measure


def test_accuracy_is_counted_by_class_and_the_worst_is_named() -> None:
    p = np.array([[0.9, 0.1, 0], [0.8, 0.2, 0], [0.3, 0.7, 0], [0.6, 0.4, 0]])
    found = measure(p, np.array([0, 0, 1, 1]))
    assert (found.accuracy, found.by_class, found.worst_class) == (0.75, [1.0, 0.5, None], 0.5)


def test_a_network_that_is_as_sure_as_it_is_right_is_calibrated() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, 200_000)
    assert calibration_error(confidence, rng.random(len(confidence)) < confidence) < 0.005
    assert calibration_error(np.full(100, 0.9), np.arange(100) < 60) == pytest.approx(0.3)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
def test_the_calibration_error_is_that_of_its_definition(drawn: list[tuple[float, bool]]) -> None:
    confidence, right = np.array([c for c, _ in drawn]), np.array([r for _, r in drawn])
    expected = 0.0
    for b in range(BINS):
        member = (confidence * BINS >= b) & ((confidence * BINS < b + 1) | (b == BINS - 1))
        if member.any():
            expected += member.mean() * abs(right[member].mean() - confidence[member].mean())
    assert calibration_error(confidence, right) == pytest.approx(expected)
