"""SAS is the cosine with the prompt of the label, SDS the mean distance to the nearest of the class."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.neighbors import NearestNeighbors

from winnow import features
from winnow.features import Features
from winnow.selection import adapters, score
from winnow.selection.adapters import Adapted, Adapters
from winnow.selection.alignment import Alignment
from winnow.selection.methods import Method


@pytest.fixture(scope="module")
def fitted() -> Adapters:
    """Adapters as they are drawn."""
    return Adapters(16, torch.Generator().manual_seed(0)).requires_grad_(False)


@pytest.fixture(scope="module")
def judged(planted: Features) -> Alignment:
    """Any judgement of the planted samples."""
    rng, n = np.random.default_rng(0), len(planted.ids)
    odds = rng.normal(2, 3, n).astype(np.float32)
    weight, bias = rng.normal(size=(5, 16)).astype(np.float32), np.zeros(5, np.float32)
    damaged, certainty = (odds < 0) & (rng.random(n) < 0.3), rng.random((n, 2)).astype(np.float32)
    return Alignment(odds, rng.integers(0, 5, n), damaged, weight, bias, certainty=certainty)


@examples(max_examples=50)
@given(st.integers(2, 60), st.integers(1, 6), st.integers(1, 60), st.integers(1, 400), st.integers(0, 2**32))
def test_sds_is_the_mean_distance_to_the_nearest_others(n: int, dim: int, k: int, block: int, seed: int) -> None:
    k = min(k, n - 1)
    z = (3 + np.random.default_rng(seed).normal(size=(n, dim))).astype(np.float32)
    distances, _ = NearestNeighbors(n_neighbors=k).fit(z).kneighbors()  # the sample itself does not count
    with pytest.MonkeyPatch.context() as patch:
        whole = score.diversity(torch.from_numpy(z), k)
        patch.setattr(score, "BLOCK", block)
        in_blocks = score.diversity(torch.from_numpy(z), k)
    assert whole == pytest.approx(distances.mean(1), abs=2e-3)
    assert in_blocks == pytest.approx(whole, abs=2e-3)


@pytest.mark.parametrize("adapted", [False, True])
@pytest.mark.parametrize("block", [2**24, 7])
def test_without_text_sas_is_the_cosine_with_the_mean_of_the_others(
    planted: Features, fitted: Adapters, judged: Alignment, adapted: bool, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score, "BLOCK", block)
    data = replace(planted, text=None)
    table = score.score(data, fitted if adapted else judged, neighbours=5, device="cpu")
    rows, member = features.unit(data.image), 17
    others = (data.labels == data.labels[member]) & (np.arange(len(rows)) != member)
    image, mean = torch.from_numpy(rows[member]), torch.from_numpy(features.unit(rows[others].mean(0)[None])[0])
    if adapted:
        image, mean = fitted.image(image), fitted.text(mean)
    assert table["sas"][member] == pytest.approx(torch.cosine_similarity(image, mean, dim=0).item(), abs=1e-5)


def test_an_image_alone_in_its_class_agrees_with_nothing(planted: Features, judged: Alignment) -> None:
    labels = np.where(planted.labels == 4, 3, planted.labels)
    labels[17] = 4
    table = score.score(replace(planted, text=None, labels=labels), judged, neighbours=5, device="cpu")
    assert table["sas"][17] == 0


def test_a_double_is_a_neighbour_at_distance_zero() -> None:
    z = torch.tensor([[0.0, 0], [0, 0], [3, 4]])
    assert score.diversity(z, 1) == pytest.approx([0, 0, 5], abs=1e-3)
    assert score.diversity(z, 2) == pytest.approx([2.5, 2.5, 5], abs=1e-3)


@pytest.mark.parametrize("block", [2**24, 7])
def test_sas_is_the_cosine_with_the_prompt_of_the_label(
    planted: Features, fitted: Adapters, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score, "BLOCK", block)
    table = score.score(planted, fitted, neighbours=3, device="cpu")
    image = fitted.image(torch.from_numpy(features.unit(planted.image))).numpy()
    text = fitted.text(torch.from_numpy(features.unit(planted.text))).numpy()
    cosine = cosine_similarity(image, text)
    assert table["sas"].to_numpy() == pytest.approx(cosine[np.arange(len(cosine)), planted.labels], abs=1e-5)
    assert (table["predicted"] == cosine.argmax(1)).all()
    assert (table["alignment"] == table["sas"]).all()


def test_sds_counts_neighbours_of_the_same_class_only(planted: Features, fitted: Adapters) -> None:
    table = score.score(planted, fitted, neighbours=0.2, device="cpu")
    image = fitted.image(torch.from_numpy(features.unit(planted.image))).numpy()
    for c in range(len(planted.classes)):
        members = np.flatnonzero(planted.labels == c)
        nearest = NearestNeighbors(n_neighbors=round(0.2 * len(members))).fit(image[members])
        assert table["sds"].to_numpy()[members] == pytest.approx(nearest.kneighbors()[0].mean(1), abs=1e-3)


def test_a_row_a_sample_in_input_order(planted: Features, fitted: Adapters) -> None:
    table = score.score(planted, fitted, neighbours=0.1, device="cpu")
    assert list(table.columns) == ["id", "label", "class_name", "alignment", "sas", "sds", "predicted", "damaged"]
    assert table["id"].tolist() == planted.ids.tolist()
    assert (table["label"] == planted.labels).all()
    assert table["class_name"].tolist() == [planted.classes[c] for c in planted.labels]
    assert not table["damaged"].any()  # which the published method does not know


def test_what_heads_judge_is_passed_on_and_the_scores_are_of_the_features_as_they_came(
    planted: Features, judged: Alignment, fitted: Adapters
) -> None:
    table = score.score(planted, judged, neighbours=0.1, device="cpu")
    assert list(table.columns) == list(score.score(planted, fitted, neighbours=0.1, device="cpu").columns)
    assert (table["alignment"] == judged.log_odds).all()
    assert (table["predicted"] == judged.predicted).all()
    assert (table["damaged"] == judged.damaged).all()
    assert table["damaged"].any()
    image, text = features.unit(planted.image), features.unit(planted.text)
    assert table["sas"].to_numpy() == pytest.approx((image * text[planted.labels]).sum(1), abs=1e-5)
    for c in range(5):
        members = np.flatnonzero(planted.labels == c)
        nearest = NearestNeighbors(n_neighbors=round(0.1 * len(members))).fit(image[members])
        assert table["sds"].to_numpy()[members] == pytest.approx(nearest.kneighbors()[0].mean(1), abs=1e-3)


def test_the_order_of_rows_does_not_change_a_score(planted: Features, fitted: Adapters) -> None:
    order = np.random.default_rng(1).permutation(len(planted.ids))
    other = Features(planted.image[order], planted.text, planted.labels[order], planted.classes, planted.ids[order])
    one, two = (score.score(data, fitted, neighbours=0.1, device="cpu").set_index("id") for data in (planted, other))
    pd.testing.assert_frame_equal(one, two.loc[one.index], rtol=1e-4, atol=1e-5)


def test_a_class_of_one_has_no_neighbour_and_scores_zero(planted: Features, fitted: Adapters) -> None:
    rows = np.concatenate([np.flatnonzero(planted.labels == 0)[:5], np.flatnonzero(planted.labels == 1)[:1]])
    few = Features(planted.image[rows], planted.text[:2], planted.labels[rows], planted.classes[:2], planted.ids[rows])
    sds = score.score(few, fitted, neighbours=0.1, device="cpu")["sds"]
    assert (sds[:5] > 0).all()
    assert sds[5] == 0


@pytest.mark.parametrize(
    ("neighbours", "n", "k"), [(0.1, 500, 50), (0.1, 3, 1), (50, 500, 50), (50, 20, 19), (1.0, 20, 1), (0.9, 1, 0)]
)
def test_neighbours_are_a_share_of_the_class_or_a_number(neighbours: float, n: int, k: int) -> None:
    assert score.count_neighbours(neighbours, n) == k


@pytest.mark.parametrize("method", ["winnow", "paper"])
def test_the_stage_writes_the_same_bytes_again(
    workdir: Path,
    planted: Features,
    fitted: Adapters,
    judged: Alignment,
    method: Method,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left: Adapted = fitted if method == "paper" else judged
    (workdir / "embed").mkdir()
    features.save(workdir / "embed", planted)
    adapters.save(workdir / "adapters.safetensors", left)
    for out, span in (("one", 2**16), ("two", 100)):
        monkeypatch.setattr(score, "SPAN", span)  # one task for all classes, or several
        (workdir / f"{out}-parts").mkdir()
        spans = score.spans(workdir / "embed")
        assert [c for span in spans for c in range(*span)] == list(range(5))
        assert (len(spans) > 1) == (span == 100)
        for part in [*spans, spans[0]]:
            score.classes(workdir / "embed", workdir, part, workdir / f"{out}-parts", neighbours=0.1, device="cpu")
        score.gather(workdir / "embed", workdir, workdir / f"{out}-parts", workdir / out)
    for lost in sorted((workdir / "two-parts").iterdir())[:-1]:  # parts and marks, as when power was lost
        lost.write_bytes(b"")
    for part in spans:
        score.classes(workdir / "embed", workdir, part, workdir / "two-parts", neighbours=0.1, device="cpu")
    score.gather(workdir / "embed", workdir, workdir / "two-parts", workdir / "two")
    assert (workdir / "one/scores.parquet").read_bytes() == (workdir / "two/scores.parquet").read_bytes()
    expected = score.score(features.load(workdir / "embed"), left, neighbours=0.1, device="cpu")
    pd.testing.assert_frame_equal(pd.read_parquet(workdir / "one/scores.parquet"), expected, check_dtype=False)
