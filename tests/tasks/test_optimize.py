"""The exact solver is the optimum of the published objective, and the published loop finds the same samples."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from tasks import budget, optimize
from tasks.budget import Balance
from tasks.errors import InputError
from tasks.files import read_json
from tasks.optimize import Solver

BALANCES = st.sampled_from(["none", "proportional", "uniform"])


def table(n: int, classes: int, seed: int) -> pd.DataFrame:
    """Random scores: SAS about normal, SDS skewed, as they come; ids in no order."""
    rng = np.random.default_rng(seed)
    sas = rng.normal(0.2, 0.05, n)
    return pd.DataFrame(
        {
            "id": [f"{i:04d}" for i in rng.permutation(n)],
            "label": rng.permutation(np.arange(n) % classes),
            "alignment": sas,
            "sas": sas,
            "sds": rng.gamma(2, 1, n),
        }
    )


def chosen(scores: pd.DataFrame, keep: float, balance: Balance, solver: Solver = "exact") -> pd.DataFrame:
    return optimize.select(scores, keep=keep, method="paper", solver=solver, balance=balance, device="cpu")


@examples(max_examples=40)
@given(st.integers(30, 400), st.integers(1, 6), st.integers(0, 2**32), st.floats(0.05, 0.95), BALANCES)
def test_the_published_loop_and_the_sort_choose_the_same(
    n: int, classes: int, seed: int, keep: float, how: Balance
) -> None:
    scores = table(n, classes, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(optimize, "MAX_STEPS", 1500)  # a tail that does not settle within the tolerance is cut short
        loop = chosen(scores, keep, how, "gradient")
    pd.testing.assert_frame_equal(loop, chosen(scores, keep, how))


def test_the_published_loop_alone_meets_the_ratio_within_its_tolerance() -> None:
    worth = optimize.combine(*np.random.default_rng(0).random((2, 200)))
    moved = optimize.gradient(worth, np.zeros(200, np.int64), np.array([60]))
    assert abs((moved > 0).mean() - 0.3) * optimize.BETA < optimize.TOLERANCE
    assert set(np.flatnonzero(moved > 0)) == set(np.argsort(-worth)[:60])


@examples(max_examples=60)
@given(st.integers(2, 9), st.integers(1, 3), st.integers(0, 2**32), st.floats(0.3, 1), BALANCES)
def test_no_subset_of_the_same_budget_is_worth_more(n: int, classes: int, seed: int, keep: float, how: Balance) -> None:
    scores = table(n, min(classes, n), seed)
    label, best = scores["label"].to_numpy(), chosen(scores, keep, how)
    worth, kept = best["combined"].to_numpy(), best["selected"].to_numpy()
    split = None if how == "none" else budget.shares(np.bincount(label), round(keep * n), how).tolist()
    allowed = [
        list(rows)
        for rows in combinations(range(n), round(keep * n))
        if split is None or np.bincount(label[list(rows)], minlength=len(split)).tolist() == split
    ]
    assert np.flatnonzero(kept).tolist() in allowed
    assert worth[kept].sum() == pytest.approx(max(worth[rows].sum() for rows in allowed))


@given(st.integers(1, 300), st.integers(1, 8), st.integers(0, 2**32), st.floats(0, 1), BALANCES)
def test_the_budget_is_exact_in_total_and_by_class(n: int, classes: int, seed: int, keep: float, how: Balance) -> None:
    scores = table(n, min(classes, n), seed)
    if round(keep * n) == 0:
        with pytest.raises(InputError, match=r"optimize\.keep"):
            chosen(scores, keep, how)
        return
    kept = chosen(scores, keep, how).query("selected")
    assert len(kept) == round(keep * n)
    if how != "none":
        pool = np.bincount(scores["label"])
        assert (np.bincount(kept["label"], minlength=len(pool)) == budget.shares(pool, len(kept), how)).all()


@pytest.mark.parametrize("solver", ["exact", "gradient"])
@pytest.mark.parametrize("how", ["none", "proportional", "uniform"])
def test_the_order_of_rows_does_not_matter_even_with_ties(how: Balance, solver: Solver) -> None:
    scores = table(60, 3, 1)
    scores[["alignment", "sas", "sds"]] = scores[["alignment", "sas", "sds"]].round(1)  # many are equal
    assert scores[["sas", "sds"]].duplicated().any()
    other = scores.sample(frac=1, random_state=5)
    first, second = (set(chosen(rows, 0.4, how, solver).query("selected")["id"]) for rows in (scores, other))
    assert first == second


def test_ties_go_to_the_lower_id() -> None:
    scores = table(6, 1, 0).assign(id=list("fedcba"), sas=0.5, sds=1.0)
    assert set(chosen(scores, 0.5, "none").query("selected")["id"]) == {"a", "b", "c"}


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=50), st.lists(st.floats(0, 100), min_size=50, max_size=50))
def test_scores_are_scaled_to_start_at_zero_with_a_mean_of_one(sas: list[float], sds: list[float]) -> None:
    a, b = np.array(sas), np.array(sds[: len(sas)])
    scaled = [optimize._scale(score) for score in (a, b)]
    for part, raw in zip(scaled, (a, b), strict=True):
        assert part.mean() == pytest.approx(1)
        assert raw.min() == raw.max() or part.min() == 0
    assert optimize.combine(a, b) == pytest.approx(scaled[0] + 0.1 * scaled[1])


def test_scaling_is_min_max_divided_by_the_mean() -> None:
    assert optimize._scale(np.array([2.0, 3.0, 6.0])) == pytest.approx([0, 0.25 * 2.4, 2.4])


@pytest.mark.usefixtures("workdir")
def test_the_stage_writes_the_same_bytes_again_and_counts_what_it_kept(tmp_path: Path) -> None:
    table(50, 4, 2).to_parquet(tmp_path / "scores.parquet", index=False)
    for out in ("one", "two"):
        optimize.run(tmp_path / "scores.parquet", tmp_path / out, keep=0.3, method="paper", solver="exact",
                     balance="proportional", device="cpu")  # fmt: skip
    assert (tmp_path / "one/subset.parquet").read_bytes() == (tmp_path / "two/subset.parquet").read_bytes()
    metrics = read_json(tmp_path / "one/metrics.json")
    expected = {"pool": 50, "kept": 15, "smallest_class_kept": 3, "largest_class_kept": 4}
    assert metrics | expected == metrics
    assert metrics["mean_alignment_kept"] > metrics["mean_alignment_pool"]
