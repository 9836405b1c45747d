"""Samples are drawn with the chances that they state, the same for the same seed, denser where labels are in doubt."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.checking import sampling
from winnow.checking.sampling import DROPPED, REST, STRATA, SURE


def table(n: int = 2000, classes: int = 5, keep: float = 0.5, seed: int = 0) -> pd.DataFrame:
    """Scores of which the better half was kept, about."""
    rng = np.random.default_rng(seed)
    alignment = rng.normal(3, 3, n)
    return pd.DataFrame(
        {
            "id": [f"{i:05d}" for i in rng.permutation(n)],
            "label": rng.integers(0, classes, n),
            "alignment": alignment.astype(np.float32),
            "selected": alignment + rng.normal(0, 1, n) > np.quantile(alignment, 1 - keep),
        }
    )


def test_the_same_seed_draws_the_same_images_in_whatever_order_the_rows_are() -> None:
    scores = table()
    other = scores.sample(frac=1, random_state=3).reset_index(drop=True)
    first, again = (part["id"].to_numpy()[sampling.draw(part, 200, 7).rows] for part in (scores, other))
    assert first.tolist() == again.tolist()
    assert set(first) != set(scores["id"].to_numpy()[sampling.draw(scores, 200, 8).rows])


def test_every_image_has_the_chance_that_is_stated() -> None:
    scores = table(150, 3)
    hits, draws = np.zeros(150), 2000
    for seed in range(draws):
        sample = sampling.draw(scores, 40, seed)
        hits[sample.rows] += 1
    chance = (sample.drawn / np.maximum(sample.size, 1))[sample.stratum]
    sigma = np.sqrt(chance * (1 - chance) / draws)
    assert (np.abs(hits / draws - chance) <= 4.5 * sigma + 1e-12).all()
    assert sample.stands_for.sum() == pytest.approx(sample.size[sample.drawn > 0].sum())


def test_what_images_stand_for_estimates_without_bias_whatever_the_population() -> None:
    scores = table(300, 3)
    wrong = ((scores["alignment"] < 0) | (scores["label"] == 1)).to_numpy()
    found = []
    for seed in range(1000):
        sample = sampling.draw(scores, 60, seed)
        found.append((sample.stands_for * wrong[sample.rows]).sum())
    assert np.mean(found) == pytest.approx(wrong.sum(), abs=4 * np.std(found) / np.sqrt(1000))


def test_strata_are_of_what_was_kept_and_of_alignment() -> None:
    scores = table().assign(alignment=lambda known: known["alignment"] - 10 * (known["label"] == 1))
    stratum = sampling.strata(scores)
    assert ((stratum < DROPPED) == scores["selected"]).all()
    for _, part in scores.assign(stratum=stratum).groupby("label"):
        sure, rest = (part.loc[part["stratum"] == h, "alignment"] for h in (SURE, REST))
        assert sure.min() >= rest.max()
        assert len(sure) == np.ceil(0.7 * (len(sure) + len(rest)) - 1e-9)
    dropped = scores.assign(stratum=stratum)[~scores["selected"]].groupby("stratum")["alignment"]
    assert dropped.max().to_numpy()[:-1] == pytest.approx(dropped.max().to_numpy()[:-1])
    assert (dropped.max().to_numpy()[:-1] <= dropped.min().to_numpy()[1:]).all()


def test_the_rest_of_what_was_kept_and_the_doubted_are_shown_more_often_than_their_share() -> None:
    sample = sampling.draw(table(20_000), 200, 0)
    chance = sample.drawn / np.maximum(sample.size, 1)
    assert chance[REST] > 1.5 * chance[SURE]
    assert chance[DROPPED] > 5 * chance[STRATA - 1]
    assert np.abs(sample.drawn[[SURE, REST]] - [72, 48]).max() <= 1


def test_classes_have_their_share_of_the_dropped() -> None:
    scores = table(20_000, 4)
    sample = sampling.draw(scores, 600, 0)
    for h in range(DROPPED, STRATA):
        drawn = sample.rows[sample.stratum[sample.rows] == h]
        pool = np.bincount(scores["label"][sample.stratum == h], minlength=4)
        shares = len(drawn) * pool / pool.sum()
        assert (np.abs(np.bincount(scores["label"].to_numpy()[drawn], minlength=4) - shares) < 2).all()


@given(st.integers(0, 400), st.integers(1, 500), st.integers(0, 2**31 - 1))
def test_as_many_are_drawn_as_are_asked_for_and_each_once(n: int, size: int, seed: int) -> None:
    scores = table(n) if n else table(5)[:0]
    sample = sampling.draw(scores, size, seed)
    assert len(set(sample.rows.tolist())) == len(sample.rows) == min(n, size)
    assert (np.bincount(sample.stratum[sample.rows], minlength=STRATA) == sample.drawn).all()


@given(st.integers(1, 200), st.data())
def test_pivotal_sampling_draws_exactly_so_many(size: int, data: st.DataObject) -> None:
    drawn = data.draw(st.integers(0, size))
    rows = sampling.pivotal(size, drawn, np.random.default_rng(data.draw(st.integers(0, 2**32))))
    assert len(set(rows.tolist())) == drawn
    cells = np.sort(rows) * drawn // size  # about one from each part of the order
    assert (np.abs(cells - np.arange(drawn)) <= 1).all()
