"""The judge of subsets learns, repeats itself, and takes images of any size it says it takes."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from winnow.training import classifier
from winnow.training.classifier import Training
from winnow.training.networks import SmallResNet

QUICK = Training(width=4, steps=30, batch_size=16, lr=0.02, flip=False)


def digits(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(n, 16, 16, 3) uint8 noise with a bright bar, upright or level, and which of the two it is."""
    rng = np.random.default_rng(seed)
    labels, images = rng.integers(0, 2, n), rng.integers(0, 80, (n, 16, 16, 3)).astype(np.uint8)
    for image, label, place in zip(images, labels, rng.integers(5, 10, n), strict=True):
        (image.transpose(1, 0, 2) if label else image)[place : place + 2] += 150
    return images, labels


def measured(seed: int = 0, training: Training = QUICK) -> float:
    model = classifier.fit(*digits(120, 0), training, classes=2, seed=seed, device="cpu")
    return model.accuracy(*digits(600, 1))


def test_it_learns_what_can_be_learnt() -> None:
    assert measured() > 0.9


def test_the_same_seed_gives_the_same_accuracy_whatever_was_drawn_before() -> None:
    few = Training(width=4, steps=10, batch_size=8, lr=0.01, flip=True)
    first = measured(3, few)
    torch.rand(5)
    assert measured(3, few) == first


def test_a_network_of_torchvision_learns_and_repeats_itself_beside_another() -> None:
    images, labels = digits(120, 0)
    training = Training(width=4, steps=25, batch_size=16, lr=0.02, flip=False, model="resnet18")

    def fit(seed: int) -> torch.Tensor:
        model = classifier.fit(images, labels, training, classes=2, seed=seed, device="cpu")
        return model.logits(images)

    with ThreadPoolExecutor(2) as pool:
        first, other = pool.map(fit, (3, 4))
    assert (first.argmax(1).numpy() == labels).mean() > 0.9
    assert torch.equal(fit(3), first)
    assert not torch.equal(first, other)


def test_what_is_measured_holds_the_accuracy() -> None:
    model = classifier.fit(*digits(120, 0), QUICK, classes=2, seed=0, device="cpu")
    found = model.measure(*digits(600, 1))
    assert found.accuracy == model.accuracy(*digits(600, 1))
    assert found.worst_class == min(found.by_class) <= found.accuracy  # type: ignore[type-var]
    assert 0 <= found.calibration_error < 0.5


def test_a_run_that_diverges_is_no_result() -> None:
    wild = Training(width=4, steps=12, batch_size=16, lr=1e30, flip=False, model="resnet18")
    with pytest.raises(classifier.DivergenceError, match=r"the loss is nan after 12 steps; lower lr, which is 1e\+30"):
        classifier.fit(*digits(32, 0), wild, classes=2, seed=0, device="cpu")
    model = classifier.fit(*digits(32, 0), QUICK, classes=2, seed=0, device="cpu")
    torch.nn.init.constant_(model.model.body[-1].weight, torch.inf)
    with pytest.raises(classifier.DivergenceError, match="scores"):
        model.measure(*digits(8, 1))


@given(st.integers(1, 30), st.integers(1, 500), st.integers(1, 64))
def test_epochs_are_passes_over_the_images(epochs: int, n: int, size: int) -> None:
    training = classifier.for_epochs(Training(4, 1000, size, 0.01, False), epochs, n)
    assert training.steps == max(10, epochs * int(np.ceil(n / size)))


def test_wrong_labels_make_it_worse() -> None:
    images, labels = digits(120, 0)
    shuffled = np.random.default_rng(0).permutation(labels)
    worse = classifier.fit(images, shuffled, QUICK, classes=2, seed=0, device="cpu")
    assert worse.accuracy(*digits(600, 1)) < measured() - 0.2


@examples(max_examples=25)
@given(st.integers(8, 160), st.integers(1, 5), st.integers(1, 4))
def test_images_of_every_size_from_8_pixels_give_a_score_a_class(side: int, classes: int, width: int) -> None:
    assert SmallResNet(side, classes, width)(torch.zeros(2, 3, side, side)).shape == (2, classes)


@given(st.integers(1, 50), st.integers(1, 40), st.integers(1, 12), st.integers(0, 2**32))
def test_every_row_is_seen_equally_often_for_the_same_number_of_steps(n: int, size: int, steps: int, seed: int) -> None:
    rows = classifier._batches(n, size, steps, torch.Generator().manual_seed(seed))
    assert rows.shape == (steps, size)
    seen = torch.bincount(rows.flatten(), minlength=n)
    assert seen.max() - seen.min() <= 1
    assert seen.sum() == steps * size


@pytest.mark.parametrize("flip", [False, True])
def test_a_shift_moves_an_image_by_an_eighth_at_most_and_flips_only_if_told(flip: bool) -> None:
    image = torch.zeros(1, 16, 16, 3, dtype=torch.uint8)
    image[0, 7, 4] = 1
    shifted = classifier._shift(image.expand(300, -1, -1, -1), flip, torch.Generator().manual_seed(0))
    _, rows, columns = (shifted[..., 0] == 1).nonzero().T
    assert shifted.shape == (300, 16, 16, 3)
    assert set(rows.tolist()) == set(range(5, 10))
    assert set(columns.tolist()) == set(range(2, 7)) | (set(range(9, 14)) if flip else set())
