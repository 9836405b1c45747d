"""The bound holds at its confidence whatever the population, and with one large stratum it is the exact one."""

import functools
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from winnow.checking import bounds
from winnow.checking.bounds import Stratum

SAMPLES = 4000
LEAST = 0.95 - 3 * np.sqrt(0.95 * 0.05 / SAMPLES)  # three standard errors below
SIZES, DRAWN = (700, 300), (42, 60)
EVERY = np.arange(1000)
POPULATIONS = {  # wrong labels of both strata
    "few among the sure": (EVERY[:700] % 35 == 0, EVERY[:300] < 0),
    "all among the rest": (EVERY[:700] < 0, EVERY[:300] % 12 == 0),
    "hidden where few are drawn": (EVERY[:700] < 70, EVERY[:300] < 0),
    "both": (EVERY[:700] < 14, EVERY[:300] < 45),
    "a cliff": (EVERY[:700] < 0, EVERY[:300] < 60),
    "much is wrong": (EVERY[:700] < 70, EVERY[:300] < 90),
    "as few as can be missed": (EVERY[:700] < 30, EVERY[:300] < 0),
}


@pytest.mark.parametrize(("n", "x"), [(60, 0), (200, 3), (300, 40)])
def test_one_large_stratum_is_the_bound_of_clopper_and_pearson(n: int, x: int) -> None:
    size = 10**7
    share = bounds.upper([Stratum(size, n, x)], 0.95) / size
    assert share == pytest.approx(stats.beta.ppf(0.95, x + 1, n - x), rel=4e-3)  # CELLS


def test_two_large_strata_drawn_alike_are_about_one() -> None:
    for a, b in ((0, 0), (2, 1), (9, 3)):
        both = bounds.upper([Stratum(10**6, 100, a), Stratum(10**6, 100, b)], 0.95) / (2 * 10**6)
        one = stats.beta.ppf(0.95, a + b + 1, 200 - a - b)
        assert one * 0.999 <= both <= one * 1.03


def test_what_was_drawn_in_full_is_known() -> None:
    assert bounds.upper([Stratum(20, 20, 5), Stratum(7, 7, 0)], 0.95) == 5
    alone = bounds.upper([Stratum(700, 100, 1)], 0.95)
    assert bounds.upper([Stratum(20, 20, 5), Stratum(700, 100, 1)], 0.95) == 5 + alone
    assert bounds.upper([Stratum(700, 699, 1)], 0.95) == 1, "that the last is wrong too is refuted"


def test_more_that_is_marked_never_lowers_it_and_all_marked_is_all() -> None:
    found = [bounds.upper([Stratum(700, 72, 0), Stratum(300, 48, x)], 0.95) for x in range(0, 49, 4)]
    assert all(a <= b for a, b in pairwise(found))
    assert bounds.upper([Stratum(700, 72, 72), Stratum(300, 48, 48)], 0.95) == 1000


def test_three_strata_in_part_are_refused() -> None:
    with pytest.raises(ValueError, match="at most 2"):
        bounds.upper([Stratum(10, 2, 0)] * 3, 0.95)


def test_of_every_population_at_most_the_rest_of_the_confidence_is_missed() -> None:
    """By enumeration of all populations and all samples of two small strata."""
    sizes, ns = (40, 15), (8, 6)
    found = np.array([[_upper(sizes, ns, (a, b)) for b in range(ns[1] + 1)] for a in range(ns[0] + 1)])
    worst = 0.0
    for marked in np.ndindex(sizes[0] + 1, sizes[1] + 1):
        seen = [stats.hypergeom.pmf(np.arange(n + 1), N, m, n) for N, n, m in zip(sizes, ns, marked, strict=True)]
        worst = max(worst, float(np.outer(*seen)[found < sum(marked)].sum()))
    assert 0.03 < worst <= 0.05, "it is used up nearly, too"


@functools.cache
def _upper(sizes: tuple[int, int], ns: tuple[int, int], xs: tuple[int, int]) -> int:
    return bounds.upper([Stratum(*each) for each in zip(sizes, ns, xs, strict=True)], 0.95)


@functools.cache
def _unweighed(n: int, size: int, x: int) -> int:
    return bounds.upper([Stratum(size, n, x)], 0.95)


def _seen(name: str) -> list[tuple[int, int]]:
    """How many are marked in thousands of samples of both strata."""
    rng = np.random.default_rng(1)
    return [
        (int(rng.permutation(a)[: DRAWN[0]].sum()), int(rng.permutation(b)[: DRAWN[1]].sum()))
        for a, b in [POPULATIONS[name]] * SAMPLES
    ]


@pytest.mark.parametrize("name", POPULATIONS)
def test_of_thousands_of_samples_the_bound_holds_in_at_least_its_share(name: str) -> None:
    true, seen = int(sum(wrong.sum() for wrong in POPULATIONS[name])), _seen(name)
    held = np.mean([_upper(SIZES, DRAWN, xs) >= true for xs in seen])
    estimates = [bounds.estimate([Stratum(*each) for each in zip(SIZES, DRAWN, xs, strict=True)]) for xs in seen]
    assert held >= LEAST
    assert np.mean(estimates) == pytest.approx(true, abs=4 * np.std(estimates) / np.sqrt(SAMPLES)), "without bias"


def test_without_weights_it_would_not_hold() -> None:
    """A bound that takes all answers alike misses what hides where few are drawn."""
    name = "hidden where few are drawn"
    true = int(sum(wrong.sum() for wrong in POPULATIONS[name]))
    held = np.mean([_unweighed(sum(DRAWN), sum(SIZES), sum(xs)) >= true for xs in _seen(name)])
    assert held < 0.9
