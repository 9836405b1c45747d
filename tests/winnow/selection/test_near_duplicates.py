"""Near duplicates are exactly those that a comparison of all pairs finds."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import assume, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from winnow import features
from winnow.features import Features
from winnow.selection import near_duplicates


def data(n: int, d: int, seed: int, *, spread: float = 0.2) -> Features:
    """Samples around n // 3 points, so that many are close."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(max(1, n // 3), d))
    image = points[rng.integers(0, len(points), n)] + spread * rng.normal(size=(n, d))
    labels = rng.integers(0, 3, n)
    return Features(
        image.astype(np.float32), points[:3], labels, ["a", "b", "c"], np.array([f"i{k}" for k in range(n)])
    )


def brute(data: Features, alignment: np.ndarray, cosine: float) -> pd.DataFrame:
    """The same by all pairs at once."""
    unit = features.unit(data.image).astype(np.float64)
    product, rows = unit @ unit.T, []
    for later in range(len(unit)):
        for same in (False, True):
            before = [
                i for i in range(len(unit)) if (-alignment[i], data.ids[i]) < (-alignment[later], data.ids[later])
            ]
            of = [i for i in before if (data.labels[i] == data.labels[later]) == same]
            if of and (value := product[later, of].max()) >= cosine:
                rows.append((f"i{later}", f"i{of[int(product[later, of].argmax())]}", value, same))
    return pd.DataFrame(rows, columns=["id", "of", "cosine", "same_class"]).astype(
        {"cosine": float, "same_class": bool}
    )


@examples(max_examples=40)
@given(n=st.integers(2, 70), d=st.sampled_from([4, 200]), seed=st.integers(0, 50), cosine=st.floats(0.5, 0.99))
def test_all_pairs_are_compared(n: int, d: int, seed: int, cosine: float) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near_duplicates, "BLOCK", 16)
        check(data(n, d, seed), seed, cosine)


@examples(max_examples=40)
@given(n=st.integers(1, 60), m=st.integers(0, 40), d=st.sampled_from([4, 200]), seed=st.integers(0, 50))
def test_the_nearest_elsewhere_is_that_of_all_pairs(n: int, m: int, d: int, seed: int) -> None:
    every = data(n + m, d, seed)
    ours, theirs = (
        replace(every, image=every.image[part], labels=every.labels[part], ids=every.ids[part])
        for part in (slice(n), slice(n, n + m))
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near_duplicates, "BLOCK", 16)
        row, cosine = near_duplicates.nearest(ours, theirs, 0.9, "cpu")
    product = features.unit(theirs.image).astype(np.float64) @ features.unit(ours.image).astype(np.float64).T
    assume(not (np.abs(product - 0.9) < 1e-5).any())
    best = product.max(1) if m else np.empty(0)
    found = row >= 0
    assert found.tolist() == (best >= 0.9).tolist()
    assert product[np.flatnonzero(found), row[found]] == pytest.approx(best[found], abs=1e-5)
    assert cosine[found] == pytest.approx(best[found], abs=1e-5)
    assert np.isnan(cosine[~found]).all()


def test_among_equals_the_nearest_elsewhere_is_the_lower_id() -> None:
    ours = data(6, 4, 0)
    ours = replace(ours, image=ours.image[[0] * 6], ids=np.array(list("fbdcea")))
    theirs = replace(ours, image=ours.image[:2], labels=ours.labels[:2])
    row, cosine = near_duplicates.nearest(ours, theirs, 0.9, "cpu")
    assert row.tolist() == [5, 5]
    assert cosine == pytest.approx([1, 1])


@pytest.mark.parametrize("block", [128, 4096])
@pytest.mark.parametrize("cosine", [0.8, 0.93])
def test_the_bound_misses_no_pair_where_the_main_directions_hold_little(
    block: int, cosine: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(near_duplicates, "BLOCK", block)
    made = data(600, 512, 0, spread=0.25)  # 64 of 512 directions: most of every image lies outside them
    assert check(made, 0, cosine) > 300


def check(made: Features, seed: int, cosine: float) -> int:
    """Compare what is found with all pairs at once; the number of pairs."""
    n = len(made.ids)
    alignment = np.random.default_rng(seed).integers(0, 9, n).astype(np.float32)
    found, expected = near_duplicates.find(made, alignment, cosine, "cpu"), brute(made, alignment, cosine)
    assume(((expected["cosine"] - cosine).abs() > 1e-5).all())  # where rounding decides
    assert found["id"].tolist() == expected["id"].tolist()
    assert found["same_class"].tolist() == expected["same_class"].tolist()
    np.testing.assert_allclose(found["cosine"], expected["cosine"].clip(upper=1), atol=1e-5)
    # Between images that are as near, rounding decides: the one named is one of them, and comes before.
    rows, unit = pd.Index(made.ids), features.unit(made.image).astype(np.float64)
    later, of = rows.get_indexer(found["id"]), rows.get_indexer(found["of"])
    np.testing.assert_allclose((unit[later] * unit[of]).sum(1), expected["cosine"], atol=1e-5)
    assert ((made.labels[later] == made.labels[of]) == found["same_class"]).all()
    place = np.argsort(np.lexsort((made.ids, -alignment)))
    assert (place[of] < place[later]).all()
    return len(found)


@pytest.mark.parametrize("d", [8, 512])
def test_copies_are_found_up_to_a_cosine_of_one(d: int) -> None:
    made = data(40, d, 0, spread=2.0)
    made.image[20:] = 3 * made.image[:20]
    found = near_duplicates.find(made, -np.arange(40.0), 0.99999, "cpu")
    assert found[["id", "of"]].to_numpy().tolist() == [[f"i{k + 20}", f"i{k}"] for k in range(20)]
    assert found["cosine"].dtype == np.float32
    assert found["cosine"].between(1 - 1e-6, 1).all(), "rounding makes no cosine greater than one"


def test_the_bound_is_no_looser_than_it_has_to_be() -> None:
    rows = torch.from_numpy(features.unit(data(50, 200, 0).image))
    basis = torch.linalg.qr(torch.randn(200, 64, generator=torch.Generator().manual_seed(0))).Q
    bounding = near_duplicates._bounding(rows, basis)
    assert bounding.shape == (50, 65)
    assert bounding.square().sum(1).numpy() == pytest.approx(np.ones(50), abs=1e-5)  # of an image with itself: one
    assert (bounding @ bounding.T >= rows @ rows.T - 1e-5).all()


def test_the_main_directions_are_those_of_a_sample_none_of_which_is_drawn_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(near_duplicates, "BLOCK", 16)
    made = data(200, 129, 0, spread=1.0)
    basis = near_duplicates._main_directions(made, np.arange(200), device="cpu")
    assert basis is not None
    assert basis.shape == (129, 64)
    unit = torch.from_numpy(features.unit(made.image))
    left = (unit - unit @ basis @ basis.T).norm(dim=1)
    drawn = np.sort(np.random.default_rng(0).choice(200, size=64, replace=False))
    assert np.flatnonzero(left < 1e-3).tolist() == drawn.tolist(), "64 images span 64 directions"
    assert near_duplicates._main_directions(data(200, 128, 0), np.arange(200), device="cpu") is None


def test_images_that_are_far_apart_are_not_compared_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[int] = []
    monkeypatch.setattr(near_duplicates, "_update", lambda *given: compared.append(len(given[7])))
    made = replace(data(40, 200, 0), image=np.eye(40, 200, dtype=np.float32))
    assert near_duplicates.find(made, np.zeros(40), 0.9, "cpu").empty
    assert compared == []


def test_candidates_are_sought_along_the_main_directions(monkeypatch: pytest.MonkeyPatch) -> None:
    widths: list[int] = []
    bound = near_duplicates._bounding

    def bounding(rows: torch.Tensor, basis: torch.Tensor | None) -> torch.Tensor:
        found = bound(rows, basis)
        widths.append(found.shape[1])
        return found

    monkeypatch.setattr(near_duplicates, "_bounding", bounding)
    near_duplicates.find(data(40, 200, 0), np.zeros(40), 0.9, "cpu")
    assert set(widths) == {near_duplicates.DIRECTIONS + 1}


def test_a_pair_at_the_very_bound_counts() -> None:
    made = data(2, 4, 0)
    made.image[:] = [[1, 0, 0, 0], [0.5, 0.5, 0.5, 0.5]]
    assert near_duplicates.find(made, np.zeros(2), 0.5, "cpu")["cosine"].tolist() == [0.5]


@pytest.mark.parametrize("block", [1, 2, 3, 4096])
def test_of_images_that_are_as_near_the_likeliest_is_named(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_duplicates, "BLOCK", block)
    same = replace(data(6, 4, 0), image=np.ones((6, 4), np.float32), labels=np.array([0, 1, 0, 1, 0, 1]))
    found = near_duplicates.find(same, np.array([0, 0, 9, 8, 0, 0]), 0.9, "cpu")
    firsts = found.groupby("same_class")["of"].agg(set).to_dict()
    assert firsts == {True: {"i2", "i3"}, False: {"i2", "i3"}}
    assert found.groupby("id").size().to_dict() == {"i0": 2, "i1": 2, "i3": 1, "i4": 2, "i5": 2}


def test_the_twin_is_the_nearest_of_either_class_and_of_its_own_among_equals() -> None:
    rows = [
        ("i0", "i3", 0.98, False),
        ("i0", "i4", 0.96, True),
        ("i1", "i3", 0.95, False),
        ("i1", "i4", 0.97, True),
        ("i2", "i4", 0.96, True),
        ("i2", "i3", 0.96, False),
    ]
    pairs = pd.DataFrame(rows, columns=["id", "of", "cosine", "same_class"])
    assert near_duplicates.twins(pairs, data(6, 4, 0)).tolist() == [3, 4, 4, -1, -1, -1]
    assert near_duplicates.twins(pairs.iloc[::-1], data(6, 4, 0)).tolist() == [3, 4, 4, -1, -1, -1]


def test_a_copy_under_another_label_contradicts(tmp_path: Path) -> None:
    made = data(60, 200, 0, spread=1.0)
    made.image[50], made.labels[50], made.labels[7] = made.image[7], 1, 0
    (tmp_path / "embed").mkdir()
    features.save(tmp_path / "embed", made)
    scores = pd.DataFrame({"alignment": np.arange(60, 0, -1, dtype=np.float32)})
    scores.to_parquet(tmp_path / "scores.parquet")
    near_duplicates.run(
        tmp_path / "embed", tmp_path / "scores.parquet", tmp_path / "twins.parquet", cosine=0.99, device="cpu"
    )
    found = pd.read_parquet(tmp_path / "twins.parquet")
    assert found[["id", "of", "same_class"]].to_numpy().tolist() == [["i50", "i7", False]]
    assert found["cosine"][0] == pytest.approx(1, abs=1e-3)
