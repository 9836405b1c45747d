"""Budgets are exact; the exact solver is the optimum of the published objective, and its loop finds the same."""

import functools
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from winnow import budget, features
from winnow.errors import InputError
from winnow.features import Features
from winnow.files.json_files import read_json
from winnow.selection import optimize, published
from winnow.selection.methods import Balance, Method, Solver

BALANCES = st.sampled_from(["none", "proportional", "uniform"])
METHODS = st.sampled_from(["winnow", "paper"])


def table(n: int, classes: int, seed: int) -> pd.DataFrame:
    """Random scores: SAS about normal, SDS skewed, as they come; most labels likely right; ids in no order."""
    rng = np.random.default_rng(seed)
    scores = pd.DataFrame(
        {
            "sas": rng.normal(0.2, 0.05, n),
            "id": [f"{i:04d}" for i in rng.permutation(n)],
            "label": rng.permutation(np.arange(n) % classes),
            "sds": rng.gamma(2, 1, n),
            "alignment": rng.normal(2, 3, n).astype(np.float32),
            "damaged": rng.random(n) < 0.2,
        }
    )
    doubted = scores["alignment"] < 0
    other = (scores["label"] + rng.integers(0, classes, n)) % classes
    return scores.assign(predicted=scores["label"].mask(doubted, other), damaged=scores["damaged"] & doubted)


def images(scores: pd.DataFrame) -> Features:
    """Random images for the rows of a table, the same for an id in whatever row it stands."""
    ids, classes = scores["id"].to_numpy(dtype=str), int(scores["label"].max()) + 1
    image = np.random.default_rng(0).normal(0.5, 1, (len(ids), 6)).astype(np.float32)[ids.argsort().argsort()]
    names = [f"class {c}" for c in range(classes)]
    return Features(image, np.ones((classes, 6), np.float32), scores["label"].to_numpy(), names, ids)


def chosen(
    scores: pd.DataFrame, keep: float, balance: Balance, solver: Solver = "exact", method: Method = "paper"
) -> pd.DataFrame:
    return optimize.select(
        scores, images(scores), keep=keep, method=method, solver=solver, balance=balance, device="cpu"
    )


@examples(max_examples=40)
@given(st.integers(30, 400), st.integers(1, 6), st.integers(0, 2**32), st.floats(0.05, 0.95), BALANCES)
def test_the_published_loop_and_the_sort_choose_the_same(
    n: int, classes: int, seed: int, keep: float, how: Balance
) -> None:
    scores = table(n, classes, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(published, "MAX_STEPS", 1500)  # a tail that does not settle within the tolerance is cut short
        loop = chosen(scores, keep, how, "gradient")
    pd.testing.assert_frame_equal(loop, chosen(scores, keep, how))


def test_the_published_loop_alone_meets_the_ratio_within_its_tolerance() -> None:
    worth = published.combine(*np.random.default_rng(0).random((2, 200)))
    moved = published.gradient(worth, np.zeros(200, np.int64), np.array([60]))
    assert abs((moved > 0).mean() - 0.3) * published.BETA < published.TOLERANCE
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


@given(st.integers(1, 300), st.integers(1, 8), st.integers(0, 2**32), st.floats(0, 1), BALANCES, METHODS)
def test_the_budget_is_exact_in_total_and_by_class(
    n: int, classes: int, seed: int, keep: float, how: Balance, method: Method
) -> None:
    scores = table(n, min(classes, n), seed)
    if round(keep * n) == 0:
        with pytest.raises(InputError, match=r"^keep is"):
            chosen(scores, keep, how, method=method)
        return
    kept = chosen(scores, keep, how, method=method).query("selected")
    assert len(kept) == round(keep * n)
    if how != "none":
        pool = np.bincount(scores["label"])
        assert (np.bincount(kept["label"], minlength=len(pool)) == budget.shares(pool, len(kept), how)).all()


@given(st.integers(1, 100), st.integers(1, 6), st.integers(0, 2**32), BALANCES, METHODS)
def test_keeping_everything_keeps_all(n: int, classes: int, seed: int, how: Balance, method: Method) -> None:
    best = chosen(table(n, min(classes, n), seed), 1, how, method=method)
    assert best["selected"].all()
    assert (best["reason"] == "").all()


@examples(max_examples=30)
@given(st.integers(2, 150), st.integers(1, 6), st.integers(0, 2**32), st.floats(0.1, 0.9), BALANCES, METHODS)
def test_the_order_of_rows_does_not_matter(
    n: int, classes: int, seed: int, keep: float, how: Balance, method: Method
) -> None:
    scores = table(n, min(classes, n), seed).round({"alignment": 0})  # many are equal
    other = scores.sample(frac=1, random_state=seed)
    keep = max(keep, 1 / n)
    first, second = (chosen(rows, keep, how, method=method).set_index("id") for rows in (scores, other))
    second = second.loc[first.index]
    pd.testing.assert_frame_equal(first.drop(columns="similarity"), second.drop(columns="similarity"))
    assert first["similarity"].to_numpy() == pytest.approx(second["similarity"].to_numpy(), abs=1e-6, nan_ok=True)


@pytest.mark.parametrize("how", ["proportional", "uniform"])
def test_what_is_trusted_is_covered_and_what_is_doubted_is_dropped(how: Balance) -> None:
    scores = table(400, 4, 3)
    wide, narrow = chosen(scores, 0.3, how, method="winnow"), chosen(scores, 0.3, how)
    assert (wide.loc[wide["selected"], "alignment"] > 0).all()
    like = wide["alignment"] > 0
    assert wide.loc[like, "similarity"].mean() > narrow.loc[like, "similarity"].mean() + 0.02
    assert "combined" in narrow
    assert "combined" not in wide


@pytest.mark.parametrize("how", ["none", "proportional", "uniform"])
def test_a_sample_outside_its_pool_is_never_kept(how: Balance) -> None:
    best = chosen(table(300, 3, 4), 0.4, how, method="winnow")
    odds = best["alignment"].to_numpy()
    for c in range(3):
        mine = best["label"] == c
        kept = int((best["selected"] & mine).sum())
        trusted = (1 / (1 + np.exp(-odds[mine].astype(float)))).sum()
        size = max(kept, int(np.ceil(kept**0.75 * trusted**0.25)))
        least = odds[best["selected"] & mine].min()
        assert np.sort(odds[mine])[::-1][kept - 1] > least >= np.sort(odds[mine])[::-1][size - 1]


@examples(max_examples=40)
@given(st.integers(4, 120), st.integers(1, 4), st.integers(1, 6), st.integers(0, 2**32), st.floats(0.3, 1), BALANCES)
def test_the_budget_is_exact_where_images_are_doubles(
    n: int, classes: int, distinct: int, seed: int, keep: float, how: Balance
) -> None:
    scores = table(n, classes, seed)
    data = images(scores)
    data = replace(data, image=data.image[np.arange(n) % distinct])
    best = optimize.select(scores, data, keep=keep, method="winnow", solver="exact", balance=how, device="cpu")
    assert best["selected"].sum() == round(keep * n)
    if how != "none":
        pool, kept = np.bincount(scores["label"]), np.bincount(best.query("selected")["label"], minlength=classes)
        assert (kept == budget.shares(pool, round(keep * n), how)).all()


def test_without_balance_the_best_aligned_make_the_budgets() -> None:
    scores = table(200, 4, 5)
    best = scores.nlargest(60, "alignment")
    kept = chosen(scores, 0.3, "none", method="winnow").query("selected")
    assert np.bincount(kept["label"]).tolist() == np.bincount(best["label"]).tolist()
    assert set(kept["id"]) != set(best["id"])


@pytest.mark.parametrize(("method", "doubted"), [("paper", [0, 1, 1, 0, 1, 1, 1]), ("winnow", [0, 1, 0, 0, 0, 0, 1])])
def test_a_label_is_doubted_where_another_class_is_likelier(method: Method, doubted: list[int]) -> None:
    alignment = [1.0, -1, 1, -1, 0.01, 0, -0.01]
    scores = pd.DataFrame({"label": 0, "predicted": [0, 1, 1, 0, 1, 1, 1], "alignment": alignment})
    assert optimize.doubted(scores, method).tolist() == doubted


@pytest.mark.parametrize("solver", ["exact", "gradient"])
@pytest.mark.parametrize("how", ["none", "proportional", "uniform"])
def test_the_order_of_rows_does_not_matter_even_with_ties(how: Balance, solver: Solver) -> None:
    scores = table(60, 3, 1)
    scores[["alignment", "sas", "sds"]] = scores[["alignment", "sas", "sds"]].round(1)  # many are equal
    assert scores[["sas", "sds"]].duplicated().any()
    other = scores.sample(frac=1, random_state=5)
    first, second = (set(chosen(rows, 0.4, how, solver).query("selected")["id"]) for rows in (scores, other))
    assert first == second


@examples(max_examples=40)
@given(st.integers(30, 200), st.integers(1, 5), st.integers(0, 2**32), st.floats(0.1, 0.9), BALANCES, METHODS)
def test_what_a_person_said_to_keep_is_kept_within_the_exact_budget(
    n: int, classes: int, seed: int, keep: float, balance: Balance, method: Method
) -> None:
    scores, k = table(n, classes, seed), budget.total(keep, n)
    rng = np.random.default_rng(seed)
    confirmed = np.zeros(n, dtype=bool)
    confirmed[rng.choice(scores["alignment"].argsort()[: max(k, n // 2)], rng.integers(0, k + 1), replace=False)] = True
    best = optimize.select(
        scores,
        images(scores),
        keep=keep,
        method=method,
        solver="exact",
        balance=balance,
        device="cpu",
        confirmed=confirmed,
    )
    assert best["selected"].sum() == k
    assert best.loc[confirmed, "selected"].all()
    assert (best.loc[confirmed, "reason"] == "").all(), "not called a suspect"
    if balance != "none":
        counts, least = np.bincount(scores["label"]), np.bincount(scores.loc[confirmed, "label"], minlength=classes)
        split = budget.shares_of_at_least(counts, k, balance, least)
        assert np.bincount(best.loc[best["selected"], "label"], minlength=classes).tolist() == split.tolist()


def test_more_to_keep_than_the_budget_is_refused_with_the_way_out() -> None:
    scores = table(20, 2, 0)
    with pytest.raises(InputError, match=r"^keep is 0.3, which keeps 6 samples.*to keep 7; raise it"):
        optimize.select(
            scores,
            images(scores),
            keep=0.3,
            method="winnow",
            solver="exact",
            balance="none",
            device="cpu",
            confirmed=np.arange(20) < 7,
        )


def test_ties_go_to_the_lower_id() -> None:
    scores = table(6, 1, 0).assign(id=list("fedcba"), sas=0.5, sds=1.0)
    assert set(chosen(scores, 0.5, "none").query("selected")["id"]) == {"a", "b", "c"}


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=50), st.lists(st.floats(0, 100), min_size=50, max_size=50))
def test_scores_are_scaled_to_start_at_zero_with_a_mean_of_one(sas: list[float], sds: list[float]) -> None:
    a, b = np.array(sas), np.array(sds[: len(sas)])
    scaled = [published._scale(score) for score in (a, b)]
    for part, raw in zip(scaled, (a, b), strict=True):
        assert part.mean() == pytest.approx(1)
        assert raw.min() == raw.max() or part.min() == 0
    assert published.combine(a, b) == pytest.approx(scaled[0] + 0.1 * scaled[1])


def test_scaling_is_min_max_divided_by_the_mean() -> None:
    assert published._scale(np.array([2.0, 3.0, 6.0])) == pytest.approx([0, 0.25 * 2.4, 2.4])


@pytest.mark.usefixtures("workdir")
@pytest.mark.parametrize("method", ["winnow", "paper"])
def test_the_stage_writes_the_same_bytes_again_and_counts_what_it_kept(tmp_path: Path, method: Method) -> None:
    scores = table(50, 4, 2)
    (tmp_path / "embed").mkdir()
    features.save(tmp_path / "embed", images(scores))
    scores.to_parquet(tmp_path / "scores.parquet", index=False)
    worst = scores.loc[scores["alignment"].idxmin(), "id"]
    decided = pd.DataFrame({"id": [worst, "gone"], "decision": "keep"})
    decided.to_parquet(tmp_path / "corrections.parquet")
    run = functools.partial(
        optimize.run,
        tmp_path,
        tmp_path / "embed",
        tmp_path / "corrections.parquet",
        method=method,
        solver="exact",
        balance="proportional",
        drop_near_duplicates=False,
        device="cpu",
    )
    for out in ("one", "two"):
        run(tmp_path / out, keep=0.3)
    with pytest.raises(InputError, match=r"^optimize\.keep is 0\.001: of 50 samples that keeps none"):
        run(tmp_path / "none", keep=0.001)
    for name in ("subset.parquet", "metrics.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    metrics, best = read_json(tmp_path / "one/metrics.json"), pd.read_parquet(tmp_path / "one/subset.parquet")
    expected = {"pool": 50, "kept": 15, "smallest_class_kept": 3, "largest_class_kept": 4}
    assert metrics | expected == metrics
    assert best.loc[best["id"] == worst, ["selected", "reason"]].to_numpy().tolist() == [[True, ""]]
    assert sum(metrics[reason] for reason in ("suspected_label", "damaged", "redundant", "over_budget")) == 35
    assert set(best.columns) - set(scores.columns) == {"selected", "similarity", "reason", "evidence"} | (
        {"combined"} if method == "paper" else set()
    )
    assert (best[scores.columns] == scores).all(axis=None)
    assert metrics["alignment"] > metrics["alignment_pool"] or method == "paper"


@examples(max_examples=40)
@given(st.integers(10, 80), st.integers(1, 4), st.integers(0, 2**32), st.floats(0.1, 1), METHODS, BALANCES)
def test_near_duplicates_are_kept_only_where_a_budget_leaves_no_choice(
    n: int, classes: int, seed: int, keep: float, method: Method, how: Balance
) -> None:
    scores, rng = table(n, classes, seed), np.random.default_rng(seed)
    ids = scores["id"].to_numpy()
    spare = rng.choice(ids, n // 3, replace=False)
    pairs = pd.DataFrame(
        {"id": spare, "of": rng.choice(ids, n // 3), "cosine": 0.99, "same_class": rng.random(n // 3) < 0.5}
    )
    found = optimize.select(
        scores, images(scores), keep=keep, method=method, solver="exact", balance=how, twins=pairs, device="cpu"
    )
    assert found["selected"].sum() == budget.total(keep, n)
    for _, part in found.groupby("label") if how != "none" else [(0, found)]:
        last = part["id"].isin(spare)
        assert not part["selected"][last].any() or part["selected"][~last].all()
    said = found[found["reason"] == "near duplicate"]
    assert (said["evidence"] == pairs.set_index("id")["of"][said["id"]].to_numpy()).all()
    known = ["", "damaged", "suspected label", "near duplicate"]
    assert found.loc[found["id"].isin(spare), "reason"].isin(known).all()
