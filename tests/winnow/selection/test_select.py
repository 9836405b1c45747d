"""The chain in memory gives what the stages give, and refuses a bad budget before it works."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from winnow import corrections, features
from winnow.errors import InputError
from winnow.features import Features
from winnow.selection import adapt, near_duplicates, optimize, score
from winnow.selection import select as chain
from winnow.selection.methods import Method, Recipe

FAST = Recipe(epochs=2)
SCORES = ["id", "label", "class_name", "alignment", "sas", "sds", "predicted", "damaged"]
METHODS = pytest.mark.parametrize("method", ["winnow", "paper"])


def select(data: Features, method: Method, keep: float = 0.3, *, drop: bool = False) -> pd.DataFrame:
    return chain.select(
        data,
        FAST,
        keep=keep,
        method=method,
        solver="exact",
        balance="proportional",
        neighbours=0.1,
        near_duplicates=0.9,
        drop_near_duplicates=drop,
        seed=0,
        device="cpu",
    )


@METHODS
@pytest.mark.parametrize("drop", [False, True])
def test_the_chain_chooses_what_the_stages_choose(workdir: Path, planted: Features, method: Method, drop: bool) -> None:
    (workdir / "embed").mkdir()
    features.save(workdir / "embed", planted)
    adapt.run(workdir / "embed", workdir / "adapt", FAST, method=method, seed=0, device="cpu")
    score.run(workdir / "embed", workdir / "adapt", workdir / "score", neighbours=0.1, device="cpu")
    near_duplicates.run(
        workdir / "embed",
        workdir / "score/scores.parquet",
        workdir / "score/near_duplicates.parquet",
        cosine=0.9,
        device="cpu",
    )
    pd.DataFrame(columns=corrections.COLUMNS, dtype=str).to_parquet(workdir / "corrections.parquet")
    optimize.run(
        workdir / "score",
        workdir / "embed",
        workdir / "corrections.parquet",
        workdir / "optimize",
        keep=0.3,
        method=method,
        solver="exact",
        balance="proportional",
        drop_near_duplicates=drop,
        device="cpu",
    )
    staged = pd.read_parquet(workdir / "optimize/subset.parquet")
    assert (staged["reason"] == "near duplicate").any() == drop
    in_memory = select(features.load(workdir / "embed"), method, drop=drop)
    pd.testing.assert_frame_equal(staged, in_memory, check_dtype=False)


@METHODS
def test_scoring_is_selecting_without_the_choice(planted: Features, method: Method) -> None:
    scores = chain.score(planted, FAST, method=method, neighbours=0.1, seed=0, device="cpu")
    chosen = select(planted, method)
    assert list(scores.columns) == SCORES
    pd.testing.assert_frame_equal(chosen[SCORES], scores)
    assert chosen["selected"].sum() == 90
    assert set(chosen.columns) >= {*chain.COLUMNS, *chain.CHOSEN}


def test_the_method_decides_what_is_kept(planted: Features, wrong: np.ndarray) -> None:
    own, published = select(planted, "winnow", 0.8), select(planted, "paper", 0.8)
    assert wrong[own["selected"]].sum() < wrong[published["selected"]].sum()
    suspected = own["reason"].isin(["suspected label", "damaged"]).to_numpy()
    assert wrong[suspected].mean() > 0.95
    assert suspected[wrong & ~own["selected"]].all()


@METHODS
def test_a_bad_budget_is_refused_before_the_work(
    planted: Features, monkeypatch: pytest.MonkeyPatch, method: Method
) -> None:
    monkeypatch.setattr(adapt, "adapt", lambda *_, **__: pytest.fail("worked first"))
    with pytest.raises(InputError, match=r"keep is 1\.5"):
        select(planted, method, keep=1.5)
