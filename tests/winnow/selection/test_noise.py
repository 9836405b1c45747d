"""Noise is a distribution of labels for every class, its rates are found again, and log odds are Bayes' rule."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from winnow.selection import noise
from winnow.selection.noise import NoiseModel


def names(classes: int, seed: int) -> Tensor:
    """Unit text features of random class names."""
    return F.normalize(torch.from_numpy(np.random.default_rng(seed).normal(size=(classes, 6))).float())


def with_rates(drawn: NoiseModel, rng: np.random.Generator) -> NoiseModel:
    """The same cells, at random rates."""
    return NoiseModel(drawn.cell, drawn.size, rng.dirichlet(np.ones(len(drawn.size))))


def penalised(drawn: NoiseModel, found: np.ndarray) -> float:
    """Log-likelihood of labels whose true class lies in the cells with the chances `found`, and the prior."""
    return float(np.log(found @ (drawn.rate / drawn.size)).sum()) + drawn.log_prior


NEAREST = st.integers(0, 7)
CLASSES = st.integers(2, 9)
SEEDS = st.integers(0, 2**32)


@given(CLASSES, NEAREST, SEEDS)
def test_rates_are_a_distribution_over_cells_that_hold_every_class(classes: int, nearest: int, seed: int) -> None:
    drawn = noise.by_names(names(classes, seed), nearest)
    assert drawn.rate.sum() == pytest.approx(1)
    assert (drawn.rate > 0).all()
    assert drawn.size.sum() == classes


@given(CLASSES, NEAREST, SEEDS)
def test_every_class_gives_some_label(classes: int, nearest: int, seed: int) -> None:
    drawn = with_rates(noise.by_names(names(classes, seed), nearest), np.random.default_rng(seed))
    assert drawn.factor[drawn.cell].sum(0).numpy() == pytest.approx(np.ones(classes), abs=1e-5)


@given(CLASSES, SEEDS)
def test_symmetric_noise_has_two_cells(classes: int, seed: int) -> None:
    drawn = noise.by_names(names(classes, seed), 0)
    assert torch.equal(drawn.cell, 1 - torch.eye(classes, dtype=torch.int64))
    assert drawn.size.tolist() == [1, classes - 1]


@given(CLASSES, NEAREST, SEEDS)
def test_cells_are_the_ranks_of_names_as_the_true_class_sees_them(classes: int, nearest: int, seed: int) -> None:
    text = names(classes, seed)
    drawn = noise.by_names(text, nearest)
    for true in range(classes):
        others = sorted(set(range(classes)) - {true}, key=lambda c: -float(text[true] @ text[c]))
        ranks = [drawn.cell[label, true].item() for label in [true, *others]]
        assert ranks == [min(rank, nearest + 1) for rank in range(classes)]


def test_a_single_class_is_never_wrong() -> None:
    drawn = noise.by_names(names(1, 0), noise.NEAREST)
    assert (drawn.cell.tolist(), drawn.size.tolist()) == ([[0]], [1])
    assert noise.refit(drawn, np.ones((3, 1))).rate.tolist() == [1]
    assert (noise.log_odds(torch.zeros(2, 1), torch.tensor([0, 0]), drawn) > 50).all()


@given(CLASSES, NEAREST, st.integers(1, 20), SEEDS)
def test_the_mass_of_all_cells_is_one_and_each_holds_its_classes(classes: int, nearest: int, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    drawn, labels = noise.by_names(names(classes, seed), nearest), torch.from_numpy(rng.integers(0, classes, n))
    p = torch.from_numpy(rng.dirichlet(np.ones(classes), n))
    mass = noise.mass(p, drawn.cell[labels], len(drawn.size))
    assert mass.sum(1).numpy() == pytest.approx(np.ones(n))
    for cell in range(len(drawn.size)):
        assert mass[:, cell].numpy() == pytest.approx((p * (drawn.cell[labels] == cell)).sum(1).numpy())


@given(CLASSES, NEAREST, st.integers(1, 200), SEEDS)
def test_a_round_of_fitting_never_lowers_the_penalised_likelihood(
    classes: int, nearest: int, n: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    fitted = with_rates(noise.by_names(names(classes, seed), nearest), rng)
    found = rng.dirichlet(np.full(len(fitted.size), 0.3), n)
    start = penalised(fitted, found)
    for _ in range(5):
        before, fitted = fitted, noise.refit(fitted, found, rounds=1)
        assert fitted.rate.sum() == pytest.approx(1)
        assert penalised(fitted, found) >= penalised(before, found) - 1e-7
    assert penalised(fitted, found) > start + 1e-6


def test_planted_rates_are_found_again_through_uncertain_classes() -> None:
    rng = np.random.default_rng(0)
    n, classes = 20_000, 8
    drawn = noise.by_names(names(classes, 0), 2)
    planted = np.array([0.7, 0.15, 0.05, 0.1])
    chance = (planted / drawn.size)[drawn.cell.numpy()]  # of a label (row) given a class (column)
    p = rng.dirichlet(np.full(classes, 0.1), n)
    true = (p.cumsum(1) > rng.random((n, 1))).argmax(1)
    labels = (chance.cumsum(0)[:, true] > rng.random(n)).argmax(0)
    found = noise.mass(torch.from_numpy(p), drawn.cell[torch.from_numpy(labels)], 4).numpy()
    assert noise.refit(drawn, found, rounds=40).rate == pytest.approx(planted, abs=0.015)
    assert drawn.rate != pytest.approx(planted, abs=0.05)


def test_without_labels_the_rates_are_what_was_believed_before() -> None:
    drawn = noise.by_names(names(6, 0), 3)
    changed = with_rates(drawn, np.random.default_rng(0))
    assert noise.refit(changed, np.empty((0, 5))).rate == pytest.approx(drawn.rate)


@examples(max_examples=60)
@given(CLASSES, NEAREST, st.integers(1, 20), st.floats(0.1, 10), SEEDS)
def test_log_odds_are_bayes_rule(classes: int, nearest: int, n: int, spread: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    drawn = with_rates(noise.by_names(names(classes, seed), nearest), rng)
    scores, labels = spread * rng.normal(size=(n, classes)), rng.integers(0, classes, n)
    odds = noise.log_odds(torch.from_numpy(scores).float(), torch.from_numpy(labels), drawn)
    p = np.exp(scores - scores.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    for i, label in enumerate(labels):
        chance = [drawn.rate[cell] / drawn.size[cell] for cell in drawn.cell[label]]
        right = chance[label] * p[i, label]
        wrong = sum(chance[c] * p[i, c] for c in range(classes) if c != label)
        assert odds[i].item() == pytest.approx(np.log(right / wrong), abs=2e-3)


def test_log_odds_of_certain_images_are_finite() -> None:
    odds = noise.log_odds(torch.tensor([[1e4, 0, 0]] * 2), torch.tensor([0, 1]), noise.by_names(names(3, 0), 1))
    assert odds.isfinite().all()
    assert odds[0] > 50
    assert odds[1] < -50
