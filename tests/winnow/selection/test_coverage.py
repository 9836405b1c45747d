"""The greedy subset covers nearly as well as any, and covers only what is trusted."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from winnow import budget, features
from winnow.selection import coverage

SEEDS = st.integers(0, 2**32)


def unit(n: int, dim: int, seed: int) -> Tensor:
    """Random unit features."""
    return torch.from_numpy(features.unit(np.random.default_rng(seed).normal(0.3, 1, (n, dim))))


def covered(x: Tensor, trust: np.ndarray, kept: Sequence[int] | np.ndarray) -> float:
    """The objective f(S), in double precision."""
    cosine = x.double().numpy() @ x[list(kept)].double().numpy().T
    return float(trust @ cosine.max(1, initial=0))


@st.composite
def classes(draw: st.DrawFn, most: int) -> tuple[Tensor, np.ndarray, int]:
    """Images of a class, how far each is trusted, and a budget."""
    n, seed = draw(st.integers(1, most)), draw(SEEDS)
    return unit(n, draw(st.integers(2, 6)), seed), np.random.default_rng(seed).random(n), draw(st.integers(1, n))


@examples(max_examples=60)
@given(classes(9))
def test_greedy_is_within_its_guarantee_of_the_optimum(case: tuple[Tensor, np.ndarray, int]) -> None:
    x, trust, k = case
    best = max(covered(x, trust, subset) for subset in combinations(range(len(x)), k))
    assert covered(x, trust, coverage.facility_location(x, trust, k)) >= (1 - 1 / np.e) * best - 1e-5


@given(classes(40), st.sampled_from([1, 3, 32]))
def test_lazy_greedy_is_greedy_at_every_step(case: tuple[Tensor, np.ndarray, int], batch: int) -> None:
    x, trust, k = case
    naive: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coverage, "BATCH", batch)
        picked = coverage.facility_location(x, trust, k)
    assert len(picked) == k
    for step in range(1, k + 1):
        naive.append(max(range(len(x)), key=lambda j: covered(x, trust, [*naive, j])))
        assert covered(x, trust, picked[:step]) == pytest.approx(covered(x, trust, naive), abs=1e-4)


@examples(max_examples=60)
@given(classes(12), st.integers(2, 6))
def test_a_pool_in_parts_is_within_the_guarantee_of_the_optima_of_its_parts(
    case: tuple[Tensor, np.ndarray, int], part: int
) -> None:
    x, trust, k = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coverage, "PART", part)
        picked = coverage.choose(x, trust, k)
    assert len(picked) == len(set(picked)) == k
    apart = -(-len(x) // part)
    optima = 0.0
    for start in range(apart):
        rows = np.arange(start, len(x), apart)
        assert len(rows) <= part
        share = int(np.isin(picked, rows).sum())
        assert abs(share - k * len(rows) / len(x)) <= 1
        best = [covered(x[rows], trust[rows], subset) for subset in combinations(range(len(rows)), share)]
        optima += max(best)
    assert covered(x, trust, picked) >= (1 - 1 / np.e) * optima - 1e-5


@pytest.mark.parametrize("seed", range(3))
def test_a_pool_in_parts_covers_nearly_as_well_as_a_whole_one(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x, trust = unit(600, 12, seed), np.random.default_rng(seed).random(600)
    whole = covered(x, trust, coverage.choose(x, trust, 60))
    random = covered(x, trust, np.random.default_rng(seed).choice(600, 60, replace=False))
    monkeypatch.setattr(coverage, "PART", 200)
    parts = covered(x, trust, coverage.choose(x, trust, 60))
    assert 0.95 * whole <= parts <= whole
    assert whole - parts < (whole - random) / 2


@given(classes(40), st.integers(0, 40), st.sampled_from([4, 9, 40]))
def test_the_first_rows_are_chosen_where_they_are_given_and_the_rest_covers_what_they_leave(
    case: tuple[Tensor, np.ndarray, int], given_rows: int, part: int
) -> None:
    x, trust, k = case
    few = min(given_rows, k)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coverage, "PART", part)
        picked = coverage.choose(x, trust, k, few)
    assert len(picked) == len(set(picked)) == k
    assert set(range(few)) <= set(picked)
    whole = coverage.facility_location(x, trust, k, few)
    assert whole[:few].tolist() == list(range(few))
    for step in range(few + 1, k + 1):
        before = list(whole[: step - 1])
        best = max(covered(x, trust, [*before, j]) for j in range(len(x)))
        assert covered(x, trust, whole[:step]) == pytest.approx(best, abs=1e-4)


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 60), st.integers(0, 60))
def test_every_part_has_its_exact_share_whatever_is_given(n: int, part: int, k: int, given_rows: int) -> None:
    k, apart = min(k, n), -(-n // part)
    few = min(given_rows, k)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coverage, "PART", part)
        picked = coverage.choose(torch.eye(n), np.linspace(0.5, 1, n), k, few)
    sizes = np.bincount(np.arange(n) % apart)
    assert np.bincount(picked % apart, minlength=apart).tolist() == budget.shares(sizes, k, "proportional").tolist()
    assert set(range(few)) <= set(picked)


@given(st.integers(1, 80), st.integers(1, 80), st.integers(1, 12), SEEDS)
def test_exactly_the_budget_is_chosen_even_where_nothing_is_left_to_cover(
    n: int, k: int, distinct: int, seed: int
) -> None:
    x, k = unit(distinct, 4, seed)[torch.arange(n) % distinct], min(k, n)
    trust = np.random.default_rng(seed).choice([0, 0.5, 1], n)
    rows = coverage.facility_location(x, trust, k)
    assert len(rows) == len(set(rows)) == k
    assert set(rows) <= set(range(n))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.integers(0, 60))
def test_a_pool_holds_the_budget_and_grows_with_it(trust: list[float], k: int) -> None:
    t, k = np.array(trust, np.float32), min(k, len(trust))
    sizes = [coverage.pool_size(t, budget) for budget in range(len(t) + 1)]
    assert k <= sizes[k] <= len(t)
    assert sizes == sorted(sizes)
    assert sizes[0] == 0
    assert sizes[-1] == len(t)


@given(st.integers(1, 60), st.integers(0, 60))
def test_what_is_doubted_is_in_no_pool_beyond_the_budget(n: int, k: int) -> None:
    assert coverage.pool_size(np.zeros(n), min(k, n)) == min(k, n)


@pytest.mark.parametrize(
    ("trusted", "doubted", "k", "size"),
    [(256, 0, 16, 32), (256, 99, 16, 32), (16, 0, 1, 2), (9, 0, 5, 6), (10, 90, 20, 20)],
)
def test_the_pool_is_a_geometric_mean_of_budget_and_trust(trusted: int, doubted: int, k: int, size: int) -> None:
    assert coverage.pool_size(np.repeat([1.0, 0.0], [trusted, doubted]), k) == size


@pytest.mark.parametrize("seed", range(5))
def test_every_cluster_is_covered_before_one_is_kept_twice(seed: int) -> None:
    centre = F.normalize(unit(6, 12, seed) - 0.1)
    cluster = np.random.default_rng(seed).permutation(np.repeat(np.arange(6), [20, 20, 20, 5, 5, 5]))
    x = F.normalize(centre[cluster] + 0.02 * unit(75, 12, seed + 100))
    assert set(cluster[coverage.facility_location(x, np.ones(75), 6)]) == set(range(6))


@pytest.mark.parametrize("k", [1, 5, 20, 40])
def test_outliers_that_are_not_trusted_are_not_kept(k: int) -> None:
    good = F.normalize(unit(1, 16, 0) + 0.3 * unit(40, 16, 1))
    x, trust = torch.cat([good, unit(12, 16, 2)]), np.repeat([0.95, 0.0], [40, 12])
    assert (coverage.facility_location(x, trust, k) < 40).all()
    assert (coverage.facility_location(x, np.ones(52), 10) >= 40).any()  # diverse, if they were trusted


def test_what_is_trusted_more_is_covered_first() -> None:
    x = torch.eye(4)
    assert coverage.facility_location(x, np.array([0.2, 0.9, 0.1, 0.5]), 3).tolist() == [1, 3, 0]


def test_what_points_away_covers_nothing_rather_than_less() -> None:
    x = torch.tensor([[1.0, 0], [0, 1], [-1, 0]])
    assert coverage.facility_location(x, np.array([0.6, 0.5, 1]), 2).tolist() == [2, 0]


@pytest.mark.parametrize("block", [2**24, 100, 1])
def test_the_nearest_kept_row_is_the_most_similar(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage, "BLOCK", block)
    x, kept = unit(60, 8, 0), np.array([3, 50, 7, 21])
    row, cosine = coverage.nearest(x, kept)
    similar = (x @ x[kept].T).numpy()
    assert (row == kept[similar.argmax(1)]).all()
    assert cosine == pytest.approx(similar.max(1), abs=1e-6)
    assert row[kept].tolist() == kept.tolist()
