"""Budgets are exact, fair and never leave a class out that they could hold."""

import math
import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from winnow import budget
from winnow.errors import InputError
from winnow.selection.methods import Balance

Case = tuple[np.ndarray, int]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Class sizes, some empty, some large, and a budget that fits them."""
    counts = draw(st.lists(st.integers(0, 12) | st.integers(0, 100_000), min_size=1, max_size=30).filter(any))
    return np.array(counts), draw(st.integers(0, sum(counts)) | st.integers(0, min(sum(counts), 40)))


@given(cases(), st.sampled_from(["proportional", "uniform"]))
def test_shares_add_up_to_the_budget_and_fit_every_class(case: Case, balance: Balance) -> None:
    counts, k = case
    split = budget.shares(counts, k, balance)
    assert split.sum() == k
    assert (split >= 0).all()
    assert (split <= counts).all()


@given(cases(), st.sampled_from(["proportional", "uniform"]), st.integers(0, 2**32))
def test_shares_of_at_least_are_exact_and_shares_where_nothing_must_be(case: Case, balance: Balance, seed: int) -> None:
    counts, k = case
    most = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), np.minimum(counts, 50)))
    least = np.bincount(most[: min(k, seed % 60)], minlength=len(counts))
    split = budget.shares_of_at_least(counts, k, balance, least)
    assert split.sum() == k
    assert ((least <= split) & (split <= counts)).all()
    usual = budget.shares(counts, k, balance)
    assert (least <= usual).all() <= (split == usual).all()


@given(cases(), st.sampled_from(["proportional", "uniform"]))
def test_every_class_keeps_one_where_the_budget_allows(case: Case, balance: Balance) -> None:
    counts, k = case
    split = budget.shares(counts, k, balance)
    present = counts > 0
    assert (split[present] >= 1).all() or k < present.sum()


@given(cases(), st.sampled_from(["proportional", "uniform"]))
def test_a_larger_class_never_keeps_less(case: Case, balance: Balance) -> None:
    counts, k = case
    split = budget.shares(counts, k, balance)
    for n in np.unique(counts):
        assert split[counts < n].max(initial=0) <= split[counts == n].min()


@given(cases())
def test_proportional_shares_are_the_exact_shares_rounded(case: Case) -> None:
    counts, k = case
    split = budget.shares(counts, k, "proportional")
    exact = [Fraction(k * int(n), int(counts.sum())) for n in counts]
    unserved = k >= np.count_nonzero(counts) and any(0 < share < 1 for share in exact)
    for kept, share in zip(split, exact, strict=True):
        # Only the floor of one moves a class: a small one up to one, a large one down to pay for it.
        assert kept <= math.ceil(share) or kept == 1
        assert kept >= math.floor(share) or unserved


def test_proportional_shares_go_to_the_largest_remainders() -> None:
    assert budget.shares(np.array([53, 24, 23]), 10, "proportional").tolist() == [5, 3, 2]
    assert budget.shares(np.array([5, 5, 5]), 4, "proportional").tolist() == [2, 1, 1]


def test_the_floor_of_one_is_paid_by_the_class_furthest_above_its_share() -> None:
    assert budget.shares(np.array([960, 25, 15]), 10, "proportional").tolist() == [8, 1, 1]
    assert budget.shares(np.array([960, 25, 15]), 2, "proportional").tolist() == [2, 0, 0]
    # 2.10, 0.20, 2.38 and 0.32 are [2, 0, 3, 0]; the third pays first, and is then below its share.
    assert budget.shares(np.array([52, 5, 59, 8]), 5, "proportional").tolist() == [1, 1, 2, 1]


@given(
    st.lists(st.integers(0, 9) | st.integers(1, 1000), min_size=1, max_size=30).filter(any),
    st.sampled_from(["proportional", "uniform"]),
)
@example([45, 30, 54, 11], "proportional")
def test_a_budget_of_as_many_as_there_are_classes_keeps_one_of_each(sizes: list[int], balance: Balance) -> None:
    counts = np.array(sizes)
    assert (budget.shares(counts, np.count_nonzero(counts), balance) == (counts > 0)).all()


@given(st.lists(st.integers(0, 60), min_size=2, max_size=8).filter(any), st.floats(0, 1))
def test_proportional_shares_are_those_of_the_rule_written_out(sizes: list[int], keep: float) -> None:
    k, n, classes = round(keep * sum(sizes)), sum(sizes), range(len(sizes))
    exact = [Fraction(k * size, n) for size in sizes]
    split = [math.floor(share) for share in exact]
    for c in sorted(classes, key=lambda c: (split[c] - exact[c], -sizes[c], c))[: k - sum(split)]:
        split[c] += 1
    for c in classes:
        if sizes[c] and not split[c] and k >= sum(size > 0 for size in sizes):
            giver = max((c for c in classes if split[c] > 1), key=lambda c: (split[c] - exact[c], -c))
            split[giver], split[c] = split[giver] - 1, 1
    assert budget.shares(np.array(sizes), k, "proportional").tolist() == split


@given(cases())
def test_uniform_shares_are_equal_but_for_classes_that_run_out(case: Case) -> None:
    counts, k = case
    split = budget.shares(counts, k, "uniform")
    unfilled = split[split < counts]
    if len(unfilled):
        assert unfilled.max() - unfilled.min() <= 1
        assert split.max() <= unfilled.min() + 1


@given(st.integers(1, 10**7), st.floats(0, 1, exclude_min=True))
def test_a_ratio_means_that_share_of_the_pool(n: int, keep: float) -> None:
    if round(keep * n):
        assert budget.total(keep, n) == round(keep * n)
    else:
        with pytest.raises(InputError) as refusal:
            budget.total(keep, n)
        words = f"keep is {keep}: of {n} samples that keeps none; raise it to {1 / n:.2g} or more"
        assert str(refusal.value) == words


@pytest.mark.parametrize("n", [2, 10, 16, 60, 1000])
def test_the_ratio_that_a_refusal_advises_is_accepted(n: int) -> None:
    with pytest.raises(InputError) as refusal:
        budget.total(0.1 / n, n)
    assert budget.total(float(re.findall(r"raise it to (\S+) or more", str(refusal.value))[0]), n) == 1


@pytest.mark.parametrize("keep", [0.0, -0.1, 1.0001, math.nan, math.inf])
def test_a_ratio_outside_zero_to_one_is_refused(keep: float) -> None:
    with pytest.raises(InputError) as refusal:
        budget.total(keep, 100)
    words = f"keep is {keep}: it is the share of the pool to keep, above 0 and at most 1"
    assert str(refusal.value) == words


@pytest.mark.parametrize(
    ("k", "balance", "words"),
    [
        (-1, "uniform", "^a budget of -1 does not fit a pool of 10$"),
        (11, "proportional", "^a budget of 11 does not fit a pool of 10$"),
        (3, "none", "^balance 'none' has no shares by class$"),
    ],
)
def test_a_split_that_cannot_be_is_a_mistake_of_the_program(k: int, balance: Balance, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        budget.shares(np.array([4, 6]), k, balance)


@pytest.mark.parametrize("balance", ["proportional", "uniform"])
@pytest.mark.parametrize("classes", [0, 2])
def test_classes_without_samples_share_nothing(balance: Balance, classes: int) -> None:
    split = budget.shares(np.zeros(classes, np.int64), 0, balance)
    assert (split.tolist(), split.dtype) == ([0] * classes, np.int64)


def test_what_a_full_class_cannot_take_goes_to_the_others_by_weight() -> None:
    assert budget._largest_remainder([4, 1, 3], 8, [1, 9, 9]).tolist() == [1, 2, 5]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60), st.integers(0, 2**32), st.floats(0, 1))
def test_a_stratified_draw_takes_exactly_its_split(labels: list[int], seed: int, keep: float) -> None:
    pool = np.array(labels)
    split = budget.shares(np.bincount(pool), round(keep * len(pool)), "proportional")
    chosen = budget.draw(pool, split, np.random.default_rng(seed))
    assert np.bincount(pool[chosen], minlength=len(split)).tolist() == split.tolist()
    assert (chosen == budget.draw(pool, split, np.random.default_rng(seed))).all()
