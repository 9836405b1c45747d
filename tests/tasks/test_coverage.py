"""The greedy subset covers nearly as well as any, and covers only what is trusted."""

from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from tasks import coverage, features

Graph = tuple[np.ndarray, np.ndarray]
SEEDS = st.integers(0, 2**32)


def unit(n: int, dim: int, seed: int) -> torch.Tensor:
    """Random unit features."""
    return torch.from_numpy(features.unit(np.random.default_rng(seed).normal(0.5, 1, (n, dim))))


def graph(n: int, width: int, seed: int) -> Graph:
    """Rows that each see `width` of `n` facilities, at random values, some of them nothing."""
    rng = np.random.default_rng(seed)
    columns = np.array([rng.permutation(n)[:width] for _ in range(n)])
    return columns, (rng.random((n, width)) * (rng.random((n, width)) < 0.8)).astype(np.float32)


def dense(columns: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(n, n) what each facility is worth to each row."""
    n = len(columns)
    worth = np.zeros((n, n))
    worth[np.arange(n)[:, None], columns] = values
    return worth


def covered(worth: np.ndarray, kept: list[int] | np.ndarray) -> float:
    """The objective f(S)."""
    return float(worth[:, list(kept)].max(1, initial=0).sum())


@st.composite
def graphs(draw: st.DrawFn, most: int) -> tuple[Graph, int]:
    n = draw(st.integers(1, most))
    return graph(n, draw(st.integers(1, n)), draw(SEEDS)), draw(st.integers(1, n))


@examples(max_examples=60)
@given(graphs(9))
def test_greedy_is_within_its_guarantee_of_the_optimum(case: tuple[Graph, int]) -> None:
    (columns, values), k = case
    worth = dense(columns, values)
    best = max(covered(worth, subset) for subset in combinations(range(len(worth)), k))
    assert covered(worth, coverage.facility_location(columns, values, k)) >= (1 - 1 / np.e) * best - 1e-6


@given(graphs(40))
def test_lazy_greedy_is_greedy_at_every_step(case: tuple[Graph, int]) -> None:
    (columns, values), k = case
    worth, naive = dense(columns, values), []
    picked = coverage.facility_location(columns, values, k)
    assert len(set(picked)) == len(picked) <= k
    for step in range(1, k + 1):
        naive.append(max(range(len(worth)), key=lambda j: covered(worth, [*naive, j])))
        assert covered(worth, picked[:step]) == pytest.approx(covered(worth, naive), abs=1e-5)


@given(graphs(40))
def test_greedy_stops_where_nothing_is_left_to_cover(case: tuple[Graph, int]) -> None:
    (columns, values), _ = case
    values = (8 * values).round() / 8  # sums without rounding error
    worth, n = dense(columns, values), len(columns)
    picked = coverage.facility_location(columns, values, n)
    assert covered(worth, picked) == pytest.approx(covered(worth, np.arange(n)), abs=1e-5)
    for step in range(len(picked)):
        assert covered(worth, picked[: step + 1]) > covered(worth, picked[:step])


@examples(max_examples=40)
@given(st.integers(2, 9), st.integers(1, 4), SEEDS)
def test_a_cover_of_images_is_within_the_guarantee_too(n: int, k: int, seed: int) -> None:
    x, k = unit(n, 3, seed), min(k, n)
    trust = np.random.default_rng(seed).random(n)
    columns, cosine = coverage.neighbours(x, coverage.count_neighbours(n, k))
    worth = dense(columns, coverage.values(cosine, trust))
    best = max(covered(worth, subset) for subset in combinations(range(n), k))
    assert covered(worth, coverage.cover(x, trust, k)) >= (1 - 1 / np.e) * best - 1e-5


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.integers(0, 60))
def test_a_pool_holds_the_budget_and_grows_with_it(trust: list[float], k: int) -> None:
    t, k = np.array(trust, np.float32), min(k, len(trust))
    sizes = [coverage.pool_size(t, budget) for budget in range(len(t) + 1)]
    assert k <= sizes[k] <= len(t)
    assert sizes == sorted(sizes)
    exact = np.sqrt(k * t.astype(np.float64).sum())
    assert sizes[k] == k or exact <= sizes[k] < exact + 1


@given(st.integers(1, 60), st.integers(0, 60))
def test_what_is_doubted_is_in_no_pool_beyond_the_budget(n: int, k: int) -> None:
    assert coverage.pool_size(np.zeros(n), min(k, n)) == min(k, n)
    assert coverage.pool_size(np.ones(n), n) == n


def test_the_pool_is_the_geometric_mean_of_budget_and_trust() -> None:
    assert coverage.pool_size(np.ones(100), 25) == 50
    assert coverage.pool_size(np.repeat([1.0, 0.0], 50), 2) == 10
    assert coverage.pool_size(np.full(100, 0.5), 49) == 50


@pytest.mark.parametrize(
    ("n", "k", "count"), [(5, 2, 5), (100, 90, 8), (100, 20, 15), (5000, 50, 256), (100, 7, 43), (1, 1, 1)]
)
def test_a_row_looks_as_far_as_a_kept_one_reaches(n: int, k: int, count: int) -> None:
    assert coverage.count_neighbours(n, k) == count


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 12), SEEDS)
def test_a_cover_has_exactly_its_budget_of_distinct_rows(n: int, k: int, distinct: int, seed: int) -> None:
    x, k = unit(distinct, 4, seed)[torch.arange(n) % distinct], min(k, n)
    trust = np.random.default_rng(seed).choice([0, 0.5, 1], n)
    rows = coverage.cover(x, trust, k)
    assert len(rows) == len(set(rows)) == k
    assert set(rows) <= set(range(n))


def test_where_all_is_covered_the_best_aligned_are_kept() -> None:
    x = unit(1, 4, 0).repeat(10, 1)
    assert sorted(coverage.cover(x, np.linspace(1, 0.9, 10), 4)) == [0, 1, 2, 3]


@pytest.mark.parametrize("seed", range(5))
def test_every_cluster_is_covered_before_one_is_kept_twice(seed: int) -> None:
    centre = unit(6, 12, seed)
    cluster = np.random.default_rng(seed).permutation(np.repeat(np.arange(6), [20, 20, 20, 5, 5, 5]))
    x = torch.nn.functional.normalize(centre[cluster] + 0.02 * unit(75, 12, seed + 100))
    assert set(cluster[coverage.cover(x, np.ones(75), 6)]) == set(range(6))


@pytest.mark.parametrize("k", [1, 5, 20, 40])
def test_outliers_that_are_not_trusted_are_not_kept(k: int) -> None:
    good = torch.nn.functional.normalize(unit(1, 16, 0) + 0.3 * unit(40, 16, 1))
    outliers = unit(12, 16, 2) * torch.tensor([-1.0] + [1.0] * 15)
    x, trust = torch.cat([good, outliers]), np.repeat([0.95, 0.0], [40, 12])
    kept = coverage.cover(x, trust, k)
    assert (kept < 40).all()
    assert (coverage.cover(x, np.ones(52), 20) >= 40).any()  # diverse, if they were trusted


@pytest.mark.parametrize("block", [2**24, 100, 1])
def test_neighbours_are_the_most_similar_rows(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage, "BLOCK", block)
    x = unit(50, 8, 0)
    columns, cosine = coverage.neighbours(x, 7)
    distance, rows = NearestNeighbors(n_neighbors=7, metric="cosine").fit(x.numpy()).kneighbors(x.numpy())
    assert (columns == rows).all()
    assert cosine == pytest.approx(1 - distance, abs=1e-5)
    assert (columns[:, 0] == np.arange(50)).all()


def test_values_fall_from_trust_at_the_row_itself_to_nothing_at_its_farthest_neighbour() -> None:
    cosine = np.array([[1, 0.8, 0.6], [1, 0.1, -0.5], [1, 1, 1]], np.float32)
    values = coverage.values(cosine, np.array([1, 0.5, 1]))
    assert values == pytest.approx(np.array([[1, 0.5, 0], [0.5, 0.2, 0], [0, 0, 0]]), abs=1e-6)


@pytest.mark.parametrize("block", [2**24, 100, 1])
def test_the_nearest_kept_row_is_the_most_similar(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage, "BLOCK", block)
    x, kept = unit(60, 8, 0), np.array([3, 50, 7, 21])
    row, cosine = coverage.nearest(x, kept)
    similar = (x @ x[kept].T).numpy()
    assert (row == kept[similar.argmax(1)]).all()
    assert cosine == pytest.approx(similar.max(1), abs=1e-6)
    assert row[kept].tolist() == kept.tolist()


@given(st.integers(0, 50), st.integers(0, 50), st.integers(1, 200))
def test_blocks_are_all_rows_once_and_fit(n: int, width: int, block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coverage, "BLOCK", block)
        parts = [np.arange(n)[part] for part in coverage.blocks(n, width)]
    assert np.concatenate([*parts, np.array([], int)]).tolist() == list(range(n))
    assert all(len(part) * width <= block or len(part) == 1 for part in parts)
