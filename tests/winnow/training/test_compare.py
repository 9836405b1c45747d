"""Two arms are compared seed by seed."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from winnow.errors import InputError
from winnow.reach import within
from winnow.training import compare


def results(
    gap: float, seeds: int, noise: float, arm: str = "method", keeps: tuple[float, ...] = (0.1,)
) -> pd.DataFrame:
    """Cells of two methods whose seeds differ far more than the methods do."""
    rng = np.random.default_rng(0)
    rows = []
    for keep in keeps:
        for seed in range(seeds):
            luck = rng.normal(0.7, 0.05)
            for name, better in (("ours", gap), ("theirs", 0.0)):
                rows.append(
                    {"keep": keep, arm: name, "seed": seed, "accuracy": luck + better + noise * rng.normal(), "kept": 5}
                )
    return pd.DataFrame(rows)


def test_what_two_arms_of_a_seed_share_cancels() -> None:
    (found,) = compare.compare(results(0.01, 8, 0.003), "ours", "theirs")
    assert found.setting == {"keep": 0.1}
    assert found.seeds == 8
    assert found.mean == pytest.approx(found.a - found.b) == pytest.approx(0.01, abs=0.003)
    assert 0 < found.low < found.mean < found.high  # though the seeds of either arm differ by 0.05
    assert found.needed in range(2, 9)


def test_a_difference_that_chance_makes_is_not_told_apart() -> None:
    (found,) = compare.compare(results(0.0, 6, 0.01), "ours", "theirs")
    assert found.low < 0 < found.high
    assert found.needed is None  # more than anybody would train


def test_every_setting_has_its_row_in_the_order_of_the_table() -> None:
    found = compare.compare(results(0.01, 3, 0.001, "arm", (0.5, 0.1, 0.3)), "ours", "theirs")
    assert [row.setting["keep"] for row in found] == [0.5, 0.1, 0.3]


def test_seeds_that_only_one_arm_has_are_left_out() -> None:
    table = results(0.01, 5, 0.001)
    (found,) = compare.compare(table.drop(index=table.index[:3]), "ours", "theirs")
    assert found.seeds == 3


def test_a_table_without_settings_is_one_setting() -> None:
    (found,) = compare.compare(results(0.01, 3, 0.001).drop(columns="keep"), "ours", "theirs")
    assert found.setting == {}


def test_one_seed_tells_nothing() -> None:
    (found,) = compare.compare(results(0.01, 1, 0.001), "ours", "theirs")
    assert np.isnan([found.low, found.high]).all()
    assert found.needed is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.rename(columns={"method": "kind"}), "arm or method"),
        (lambda t: t.drop(columns="seed"), "accuracy, seed"),
        (lambda t: t[t["method"] == "ours"], "no method is called 'theirs'; there are ours"),
        (lambda t: pd.concat([t, t.iloc[:1]]), "occurs twice"),
        (lambda t: t.assign(seed=t["seed"] + 10 * (t["method"] == "ours")), "in common"),
    ],
)
def test_a_table_that_cannot_be_compared_is_refused(change, message: str) -> None:
    with pytest.raises(InputError, match=message):
        compare.compare(change(results(0.01, 3, 0.001)), "ours", "theirs")


@given(st.lists(st.floats(-0.2, 0.2), min_size=2, max_size=12))
def test_the_interval_holds_the_mean_and_is_the_same_every_time(gap: list[float]) -> None:
    low, high = compare.interval(np.array(gap))
    assert low - 1e-12 <= np.mean(gap) <= high + 1e-12
    assert (low, high) == compare.interval(np.array(gap))


@pytest.mark.parametrize("effect", [0.5, 1.0, 3.0])
def test_the_seeds_needed_give_the_power_that_is_said(effect: float) -> None:
    gap = np.array([-1.0, 1.0]) / np.sqrt(2) + effect  # mean `effect`, deviation 1
    n = compare.seeds_needed(gap)
    assert n is not None
    tries = np.random.default_rng(0).normal(effect, 1, (20_000, n))
    enough, fewer = ((stats.ttest_1samp(tries[:, :m], 0, axis=1).pvalue < 0.05).mean() for m in (n, n - 1))
    assert fewer < 0.8 < enough + 0.01  # of 20,000 tries, 0.3% is chance


def table(tmp_path: Path, rows: str) -> Path:
    path = tmp_path / "table.csv"
    path.write_text(f"arm,seed,accuracy,worst_class\n{rows}")
    return path


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a,0,high,1\nb,0,low,1\n", "accuracy should hold numbers"),
        ("a,0,True,1\nb,0,False,1\n", "accuracy should hold numbers"),
        ("a,0,inf,1\nb,0,0.5,1\n", "one is infinite"),
        ("a,0,0.5,1\n,0,0.5,1\nb,0,0.5,1\n", "line 3 has no arm"),
        ("a,0,,1\nb,0,0.5,1\n", "no setting and seed in common"),
        ('a,0,0.5,1\n"c\nwinnow: b is better",0,0.5,1\n', r"there are a, c\\nwinnow: b is better$"),
    ],
)
def test_a_file_that_cannot_be_compared_is_refused(tmp_path: Path, rows: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        compare.compare(compare.read(table(tmp_path, rows)), "a", "b")


def test_arms_may_be_called_by_numbers(tmp_path: Path) -> None:
    (found,) = compare.compare(compare.read(table(tmp_path, "1,0,0.75,1\n02,0,0.5,1\n")), "1", "02")
    assert found.mean == 0.25


def test_a_seed_without_the_measure_is_left_out(tmp_path: Path) -> None:
    rows = "a,0,0.75,1\nb,0,0.5,1\na,1,,1\nb,1,0.5,1\n"
    (found,) = compare.compare(compare.read(table(tmp_path, rows)), "a", "b")
    assert (found.seeds, found.mean) == (1, 0.25)


def test_a_pipe_is_no_table(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "table.csv")
    with pytest.raises(InputError, match=r"table\.csv is not a table in CSV: it is a pipe"):
        within(20, lambda: compare.read(tmp_path / "table.csv"))
