"""Heads score a row by other rows' labels alone, and rows come in an order of their own."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from torch import Tensor

from winnow import features
from winnow.features import Features
from winnow.selection import heads
from winnow.selection.heads import FoldedRows


def drawn(n: int, classes: int, dim: int, seed: int) -> Features:
    """Random images and labels, every class with an image."""
    rng = np.random.default_rng(seed)
    image, text = rng.normal(0.3, 1, (n, dim)), rng.normal(size=(classes, dim))
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, n - classes)])
    ids = np.array([f"{i:04d}" for i in rng.permutation(n)])
    return Features(image.astype(np.float32), text.astype(np.float32), labels, [str(c) for c in range(classes)], ids)


def shuffled(data: Features, seed: int) -> Features:
    order = np.random.default_rng(seed).permutation(len(data.ids))
    return replace(data, image=data.image[order], labels=data.labels[order], ids=data.ids[order])


def positive(dim: int, seed: int) -> Tensor:
    """A random covariance."""
    x = torch.from_numpy(np.random.default_rng(seed).normal(size=(dim + 3, dim)))
    return (x.T @ x / len(x)).float()


@pytest.fixture(scope="module")
def data() -> Features:
    return drawn(90, 4, 7, 0)


@pytest.fixture
def rows(data: Features) -> FoldedRows:
    return FoldedRows(data, 0)


def test_rows_are_centred_unit_features_by_class(data: Features, rows: FoldedRows) -> None:
    unit = features.unit(data.image)
    assert rows[slice(None)].numpy() == pytest.approx((unit - unit.mean(0))[rows.order], abs=1e-6)
    assert rows.labels.tolist() == sorted(data.labels)
    assert (data.labels[rows.order] == rows.labels.numpy()).all()
    assert rows.counts.tolist() == data.counts.tolist()


@pytest.mark.parametrize("shuffle", range(3))
def test_the_order_of_rows_does_not_depend_on_the_order_of_input(
    data: Features, rows: FoldedRows, shuffle: int
) -> None:
    other = shuffled(data, shuffle)
    again = FoldedRows(other, 0)
    assert other.ids.tolist() != data.ids.tolist()
    assert other.ids[again.order].tolist() == data.ids[rows.order].tolist()
    assert torch.equal(again[slice(None)], rows[slice(None)])


def test_the_order_of_rows_is_by_content_not_by_name(data: Features, rows: FoldedRows) -> None:
    renamed = FoldedRows(replace(data, ids=data.ids[::-1]), 0)
    assert renamed.order.tolist() == rows.order.tolist()
    assert FoldedRows(data, 1).order.tolist() != rows.order.tolist()


def test_rows_of_the_same_content_come_in_the_order_of_their_ids() -> None:
    data = drawn(30, 1, 4, 0)
    same = replace(data, image=np.repeat(data.image[:1], 30, 0))
    assert same.ids[FoldedRows(same, 0).order].tolist() == sorted(same.ids)


def test_every_class_is_spread_evenly_over_the_folds(rows: FoldedRows) -> None:
    for c in range(4):
        in_fold = torch.bincount(rows.fold[rows.labels == c], minlength=heads.FOLDS)
        assert in_fold.max() - in_fold.min() <= 1


@pytest.mark.parametrize("part", [slice(10, 40), slice(80, 200), np.array([5, 2, 88])])
def test_rows_made_on_demand_are_those_held(
    data: Features, rows: FoldedRows, part: slice | np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heads, "TRAINED_ON", 10)
    monkeypatch.setattr(heads, "BLOCK", 32)
    on_demand = FoldedRows(data, 0)
    assert on_demand._kept is None
    assert on_demand[part].numpy() == pytest.approx(rows[part].numpy(), abs=1e-6)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.integers(1, 300))
def test_at_most_takes_as_many_of_every_class(sizes: list[int], n: int) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    image = np.random.default_rng(0).normal(size=(len(labels), 2))
    rows = FoldedRows(Features(image, image[: len(sizes)], labels, [str(c) for c in sizes], np.arange(len(labels))), 0)
    members = rows.at_most(n)
    taken = np.bincount(rows.labels[members], minlength=len(sizes))
    cap = taken.max()
    assert len(set(members)) == len(members)
    assert (taken == np.minimum(sizes, cap)).all()
    assert taken.sum() <= n or cap == 1
    assert np.minimum(sizes, cap + 1).sum() > n or taken.sum() == sum(sizes)


@given(st.integers(1, 8), st.floats(0.01, 20), st.integers(0, 2**32))
def test_the_metric_is_the_inverse_of_the_ridged_covariance(dim: int, ridge: float, seed: int) -> None:
    scatter = positive(dim, seed)
    ridged = scatter.double() + ridge * scatter.double().trace() / dim * torch.eye(dim)
    assert (heads.metric(scatter, ridge).double() @ ridged).numpy() == pytest.approx(np.eye(dim), abs=2e-3)


@pytest.mark.parametrize("block", [8, 10_000])
def test_covariance_and_distance_are_those_of_all_rows(
    data: Features, rows: FoldedRows, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heads, "BLOCK", block)
    unit = features.unit(data.image)[rows.order]
    scatter = heads.covariance(rows)
    assert scatter.numpy() == pytest.approx(np.cov(unit.T, bias=True), abs=1e-6)
    a, x = heads.metric(scatter, heads.FAR_RIDGE).numpy(), unit - unit.mean(0)
    assert heads.distance(rows, scatter) == pytest.approx(np.array([row @ a @ row for row in x]), rel=1e-3)


@pytest.mark.parametrize("block", [8, 10_000])
def test_the_discriminant_scores_a_row_by_class_means_without_it(
    rows: FoldedRows, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heads, "BLOCK", block)
    scatter = heads.covariance(rows)
    part = np.array([0, 7, 31, 60, 89])
    trust = torch.from_numpy(np.random.default_rng(1).choice([0, 0.3, 1], 90)).float()
    scores = heads.discriminant(rows, scatter, trust).scores(rows[part], rows.labels[part], part)
    a, x, labels = heads.metric(scatter, heads.RIDGE).numpy(), rows[slice(None)].numpy(), rows.labels.numpy()
    for found, i in zip(scores, part, strict=True):
        for c in range(4):
            weight = trust.numpy() * ((labels == c) & (np.arange(90) != i))
            mean = weight @ x / (weight.sum() + heads.SHRINK)
            assert found[c].item() == pytest.approx(x[i] @ a @ mean - mean @ a @ mean / 2, abs=2e-4)


def test_the_only_image_of_a_class_is_scored_by_the_mean_of_all() -> None:
    data = drawn(20, 5, 3, 1)
    rows = FoldedRows(replace(data, labels=np.where(np.arange(20) == 4, 4, data.labels % 4)), 0)
    alone = np.flatnonzero(rows.labels == 4)
    scores = heads.discriminant(rows, heads.covariance(rows), torch.ones(20)).scores(
        rows[alone], rows.labels[alone], alone
    )
    assert scores[0, 4].item() == pytest.approx(0, abs=1e-5)
    assert scores[0, :4].abs().min() > 1e-3


def start(data: Features, scale: float = 5) -> Tensor:
    return scale * torch.from_numpy(features.unit(data.text)).T


@examples(max_examples=20)
@given(st.integers(1, 4), st.integers(2, 6), st.integers(0, 2**32))
def test_the_slope_is_the_gradient_of_the_likelihood_outside_the_fold(classes: int, dim: int, seed: int) -> None:
    data = drawn(20, classes, dim, seed)
    rows = FoldedRows(data, 0)
    x, trust = rows[slice(None)], torch.from_numpy(np.random.default_rng(seed).random(20)).float()
    weight = torch.from_numpy(np.random.default_rng(seed).normal(size=(dim, heads.FOLDS, classes))).float()
    weight.requires_grad_(True)
    p = torch.log_softmax(torch.einsum("nd,dkc->nkc", x, weight), 2)
    likelihood = trust[:, None] * p[torch.arange(20), :, rows.labels]
    outside = rows.fold[:, None] != torch.arange(heads.FOLDS)
    (expected,) = torch.autograd.grad((likelihood * outside).sum(), weight)
    found = heads._slope(x, rows.labels, rows.fold, weight.detach(), trust)
    assert found.numpy() == pytest.approx(expected.numpy(), abs=1e-4)


def test_the_logistic_head_takes_four_steps_of_nesterovs_gradient(data: Features, rows: FoldedRows) -> None:
    scatter, trust = heads.covariance(rows), torch.linspace(0.01, 1, 90)
    base, a = start(data)[:, None], heads.metric(scatter, 10.0)
    outside = [[float(trust[(rows.fold != k) & (rows.labels == c)].sum()) for c in range(4)] for k in range(3)]
    rate = 1 / (torch.tensor(outside) + 16)
    at, before = torch.zeros(7, 3, 4), torch.zeros(7, 3, 4)
    for momentum in (0, 0.281754, 0.434043, 0.531064):  # (t - 1) / t' with t' = (1 + sqrt(1 + 4 t t)) / 2, from t = 1
        ahead = at + momentum * (at - before)
        slope = heads._slope(rows[slice(None)], rows.labels, rows.fold, base + ahead, trust)
        before, at = at, ahead + torch.einsum("de,ekc->dkc", a, slope) * rate
    found = heads.logistic(rows, start(data), scatter, trust)
    assert found.numpy() == pytest.approx(at.numpy(), rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("k", range(heads.FOLDS))
def test_the_labels_of_a_fold_teach_nothing_about_that_fold(data: Features, rows: FoldedRows, k: int) -> None:
    scatter, trust = heads.covariance(rows), torch.ones(len(rows))
    before = heads.logistic(rows, start(data), scatter, trust)
    rows.labels = torch.where(rows.fold == k, (rows.labels + 1) % 4, rows.labels)
    after = heads.logistic(rows, start(data), scatter, trust)
    assert torch.equal(before[:, k], after[:, k])
    assert all((before[:, other] - after[:, other]).abs().max() > 1e-3 for other in set(range(heads.FOLDS)) - {k})


def test_a_few_steps_raise_the_likelihood_of_labels_they_have_not_seen(planted: Features) -> None:
    data = replace(planted, text=np.random.default_rng(5).normal(size=planted.text.shape))  # prompts that say nothing
    rows = FoldedRows(data, 0)
    x, steps = rows[slice(None)], heads.logistic(rows, start(data), heads.covariance(rows), torch.ones(len(rows)))
    taught = heads.by_fold(x, rows.fold, steps, start(data))
    plain, after = (
        torch.log_softmax(scores, 1)[torch.arange(len(rows)), rows.labels].mean().item()
        for scores in (x @ start(data), taught)
    )
    assert after > plain + 0.1


@pytest.mark.parametrize("fold", [[0, 1, 2, 0], [1, 1, 1, 1]])
def test_a_row_is_scored_by_the_head_of_its_fold(fold: list[int]) -> None:
    rng = np.random.default_rng(0)
    x, steps, base = (torch.from_numpy(rng.normal(size=shape)) for shape in ((4, 2), (2, heads.FOLDS, 3), (2, 3)))
    scores = heads.by_fold(x, torch.tensor(fold), steps, base)
    for i, k in enumerate(fold):
        assert scores[i].numpy() == pytest.approx((x[i] @ (base + steps[:, k])).numpy())
