"""The chain in memory gives what the stages give, and refuses a bad budget before it works."""

from pathlib import Path

import pandas as pd
import pytest

from tasks import adapt, features, optimize, score
from tasks import select as chain
from tasks.adapt import Recipe
from tasks.errors import InputError
from tasks.features import Features

FAST = Recipe(epochs=2)


def select(data: Features, keep: float = 0.3) -> pd.DataFrame:
    return chain.select(data, FAST, keep=keep, method="paper", solver="exact", balance="proportional", neighbours=0.1,
                        seed=0, device="cpu")  # fmt: skip


def test_the_chain_chooses_what_the_stages_choose(workdir: Path, planted: Features) -> None:
    (workdir / "embed").mkdir()
    features.save(workdir / "embed", planted)
    adapt.run(workdir / "embed", workdir / "adapt", FAST, seed=0, device="cpu")
    score.run(workdir / "embed", workdir / "adapt", workdir / "score", neighbours=0.1, device="cpu")
    optimize.run(workdir / "score/scores.parquet", workdir / "optimize", keep=0.3, method="paper", solver="exact",
                 balance="proportional", device="cpu")  # fmt: skip
    staged = pd.read_parquet(workdir / "optimize/subset.parquet")
    in_memory = select(features.load(workdir / "embed"))
    pd.testing.assert_frame_equal(staged[in_memory.columns], in_memory, check_dtype=False)


def test_scoring_is_selecting_without_the_choice(planted: Features) -> None:
    scores = chain.score(planted, FAST, neighbours=0.1, seed=0, device="cpu")
    chosen = select(planted)
    assert list(scores.columns) == ["id", "label", "class_name", "alignment", "sas", "sds", "predicted"]
    pd.testing.assert_frame_equal(chosen.drop(columns="selected"), scores)
    assert chosen["selected"].sum() == 90


def test_a_bad_budget_is_refused_before_the_work(planted: Features, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapt, "fit", lambda *_, **__: pytest.fail("worked first"))
    with pytest.raises(InputError, match=r"keep is 1\.5"):
        select(planted, keep=1.5)
