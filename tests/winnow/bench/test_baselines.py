"""Every method keeps to its budget; what is found out once is found out once."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from winnow import budget
from winnow.bench import baselines
from winnow.bench.baselines import Pool
from winnow.features import Features
from winnow.training.classifier import Training


@pytest.fixture
def pool(planted: Features, tmp_path: Path) -> Pool:
    images = np.random.default_rng(0).integers(0, 255, (len(planted.labels), 16, 16, 3)).astype(np.uint8)
    return Pool(planted, images, Training(4, 10, 16, 0.01, False), 0, tmp_path)


def test_every_method_meets_every_budget(pool: Pool) -> None:
    n = len(pool.data.labels)
    for keep in (0.05, 0.4, 1.0):
        split = budget.shares(pool.data.counts, budget.total(keep, n), "proportional")
        for name in baselines.METHODS:
            start = time.perf_counter()
            chosen, seconds = baselines.choose(pool, name, keep)
            assert 0 < seconds - sum(pool.earlier) <= time.perf_counter() - start, name
            kept = np.bincount(pool.data.labels[chosen], minlength=len(split))
            assert kept.sum() == round(keep * n), name
            assert name == "paper_unbalanced" or (kept == split).all(), name


def test_everything_is_the_whole_pool(pool: Pool) -> None:
    chosen, _ = baselines.choose(pool, "all", 1.0)
    assert chosen.all()


def test_what_several_cells_need_is_found_by_one_of_them_and_its_time_counts_for_all(pool: Pool) -> None:
    calls = []

    def find() -> pd.DataFrame:
        calls.append(1)
        return pd.DataFrame({"a": [1.5]})

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: baselines.once(pool, "thing", find)["a"].tolist(), range(8)))
    assert found == [[1.5]] * 8
    assert len(calls) == 1
    assert len(pool.earlier) == 7


def test_what_was_found_and_lost_is_found_again(pool: Pool) -> None:
    """As when power was lost before it was on the disk."""
    calls: list[int] = []

    def find() -> pd.DataFrame:
        calls.append(1)
        return pd.DataFrame({"a": [1.5]})

    for lost in ("thing.parquet", "thing.parquet.mark"):
        baselines.once(pool, "thing", find)
        (pool.memory / lost).write_bytes(b"")
        assert baselines.once(pool, "thing", find)["a"].tolist() == [1.5]
    assert len(calls) == 3


def test_herding_and_k_center_choose_by_hand_what_their_papers_say() -> None:
    line = np.array([[1, 0], [0.96, 0.28], [0.6, 0.8], [0, 1]])
    data = Features(line, line[:1], np.zeros(4, np.int64), ["c"], np.array(list("abcd")))
    pool = Pool(data, np.zeros(0), Training(1, 10, 1, 0.1, False), 0, Path())
    # The third is nearest to the mean, and the first is furthest from it.
    assert baselines.k_center(pool, np.array([2])).tolist() == [True, False, True, False]
    assert baselines.herding(pool, np.array([1])).tolist() == [False, False, True, False]
    assert baselines.herding(pool, np.array([4])).all()
