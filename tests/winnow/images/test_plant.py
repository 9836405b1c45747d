"""Faults are planted in exactly the share asked for, at random but repeatably, and are real faults."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from winnow.images import plant


@given(st.integers(2, 8), st.integers(1, 200), st.floats(0, 1), st.integers(0, 2**32))
def test_exactly_the_share_asked_for_gets_another_class(classes: int, n: int, share: float, seed: int) -> None:
    labels = np.random.default_rng(1).integers(0, classes, n)
    before = labels.copy()
    given_ = plant.wrong_labels(labels, classes, share, np.random.default_rng(seed))
    assert (given_ != labels).sum() == round(share * n)
    assert given_.min() >= 0
    assert given_.max() < classes
    assert (labels == before).all()
    assert (given_ == plant.wrong_labels(labels, classes, share, np.random.default_rng(seed))).all()


def test_each_other_class_is_alike_likely() -> None:
    given_ = plant.wrong_labels(np.zeros(30_000, np.int64), 4, 1, np.random.default_rng(0))
    assert np.abs(np.bincount(given_, minlength=4)[1:] - 10_000).max() < 400


def test_with_one_class_and_no_share_nothing_happens() -> None:
    assert (plant.wrong_labels(np.zeros(5, np.int64), 1, 0, np.random.default_rng(0)) == 0).all()


@given(st.lists(st.integers(0, 5), min_size=6, max_size=6), st.integers(1, 200), st.floats(0, 1), st.integers(0, 2**32))
def test_noise_by_class_is_the_share_of_the_classes_that_are_mistaken(
    to: list[int], n: int, share: float, seed: int
) -> None:
    labels, target = np.random.default_rng(1).integers(0, 6, n), np.array(to)
    given_ = plant.asymmetric(labels, target, share, np.random.default_rng(seed))
    wrong = given_ != labels
    assert wrong.sum() == round(share * (target[labels] != labels).sum())
    assert (given_[wrong] == target[labels[wrong]]).all()
    assert (given_ == plant.asymmetric(labels, target, share, np.random.default_rng(seed))).all()


@given(st.integers(2, 8), st.integers(1, 200), st.floats(0, 1), st.integers(0, 2**32))
def test_near_noise_takes_one_of_the_three_nearest_names(classes: int, n: int, share: float, seed: int) -> None:
    rng = np.random.default_rng(2)
    labels, text = rng.integers(0, classes, n), rng.normal(size=(classes, 5))
    given_ = plant.near(labels, text, share, np.random.default_rng(seed))
    wrong = given_ != labels
    assert wrong.sum() == round(share * n)
    cosine = (text @ text.T) / np.linalg.norm(text, axis=1) / np.linalg.norm(text, axis=1)[:, None]
    nearer = (cosine[labels] > cosine[labels, given_][:, None]).sum(1) - 1  # the class itself is nearest
    assert (nearer[wrong] < 3).all()
    assert (given_ == plant.near(labels, text, share, np.random.default_rng(seed))).all()


def test_near_noise_takes_each_of_the_three_alike() -> None:
    text = np.array([[1, 0], [0.99, 0.1], [0.98, 0.2], [0.97, 0.3], [0, 1]])
    given_ = plant.near(np.zeros(30_000, np.int64), text, 1, np.random.default_rng(0))
    counts = np.bincount(given_, minlength=5)
    assert counts[[0, 4]].tolist() == [0, 0]
    assert np.abs(counts[1:4] - 10_000).max() < 400


@given(st.integers(1, 200), st.floats(0, 1), st.integers(0, 2**32))
def test_exactly_the_share_asked_for_is_damaged(n: int, share: float, seed: int) -> None:
    damage = plant.choose_damage(n, share, np.random.default_rng(seed))
    assert (damage != "").sum() == round(share * n)
    assert set(damage) <= {"", *plant.DAMAGES}


@pytest.mark.parametrize("kind", plant.DAMAGES)
@pytest.mark.parametrize("size", [(40, 24), (3, 5), (1, 1)])
def test_damage_keeps_size_and_mode_and_leaves_the_original(kind: str, size: tuple[int, int]) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3)).astype(np.uint8))
    before = image.tobytes()
    damaged = plant.damage_image(image, kind, np.random.default_rng(0))
    assert (damaged.size, damaged.mode, image.tobytes()) == (image.size, "RGB", before)
    assert damaged.tobytes() == plant.damage_image(image, kind, np.random.default_rng(0)).tobytes()
    unchanged = size == (1, 1) and kind in {"low_resolution", "motion_blur"}  # a single pixel has nothing to lose
    assert (damaged.tobytes() == before) == unchanged


def test_occlusion_blacks_out_a_square_of_60_percent_of_the_shorter_side() -> None:
    white = Image.new("RGB", (40, 20), "white")
    black = np.asarray(plant.damage_image(white, "occlusion", np.random.default_rng(0))).sum(2) == 0
    rows, columns = np.flatnonzero(black.any(1)), np.flatnonzero(black.any(0))
    assert (black.sum(), np.ptp(rows), np.ptp(columns)) == (144, 11, 11)


def test_noise_has_the_deviation_it_is_said_to_have() -> None:
    grey = Image.new("RGB", (200, 200), (128, 128, 128))
    noisy = np.asarray(plant.damage_image(grey, "noise", np.random.default_rng(0)), np.float64)
    clipped = (128 + np.random.default_rng(1).normal(0, 127.5, 10**5)).clip(0, 255)
    assert noisy.std() == pytest.approx(clipped.std(), rel=0.02)


def test_low_resolution_loses_what_is_finer_than_eight_pixels() -> None:
    stripes = Image.fromarray(np.tile(np.array([0, 255], np.uint8), (32, 16))).convert("RGB")
    assert np.asarray(plant.damage_image(stripes, "low_resolution", np.random.default_rng(0))).std() < 2


def test_fog_hides_three_quarters_of_the_contrast_and_brightens() -> None:
    halves = Image.fromarray(np.repeat([[0, 255]], 32, 1).repeat(64, 0).astype(np.uint8)).convert("RGB")
    foggy = np.mean([np.asarray(plant.damage_image(halves, "fog", np.random.default_rng(i))) for i in range(60)], 0)
    assert foggy[:, 32:].mean() - foggy[:, :32].mean() == pytest.approx(0.25 * 255, abs=8)
    assert foggy[:, :32].min() > 90


def test_motion_blurs_along_one_direction_and_keeps_the_mean() -> None:
    dot = np.zeros((61, 61, 3), np.uint8)
    dot[28:33, 28:33] = 250
    smeared = np.asarray(plant.damage_image(Image.fromarray(dot), "motion_blur", np.random.default_rng(2)), np.float64)
    assert smeared.mean() == pytest.approx(dot.mean(), rel=0.05)
    rows, columns = np.nonzero(smeared.sum(2) > 5)
    long, short = np.linalg.svd(np.stack([rows - rows.mean(), columns - columns.mean()]))[1]
    assert long > 3 * short
    assert np.hypot(np.ptp(rows), np.ptp(columns)) == pytest.approx(0.4 * 61 + 6, abs=5)


def test_an_unknown_damage_is_a_mistake_of_the_program() -> None:
    with pytest.raises(ValueError, match="unknown damage 'rust'"):
        plant.damage_image(Image.new("RGB", (8, 8)), "rust", np.random.default_rng(0))


def test_motion_blur_is_the_mean_of_its_steps_in_the_memory_of_a_few() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (500, 400, 3)).astype(np.float32)
    tracemalloc.start()
    found = plant._smear(pixels, 160, 0.5)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 6 * pixels.nbytes
    rows, columns = np.arange(500)[:, None], np.arange(400)
    steps = np.linspace(-80, 80, 161)
    moved = [
        pixels[(rows + round(step * np.sin(0.5))).clip(0, 499), (columns + round(step * np.cos(0.5))).clip(0, 399)]
        for step in steps
    ]
    assert (found == np.stack(moved).mean(0)).all()
