"""Adapters are the published shape, drawn from their own generator; what adaptation leaves survives the disk."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from winnow.selection import adapters
from winnow.selection.adapters import Adapted, Adapters
from winnow.selection.alignment import Alignment


def test_each_adapter_is_one_linear_layer_with_bias_that_keeps_the_dimension() -> None:
    shapes = {name: tuple(value.shape) for name, value in Adapters(6).state_dict().items()}
    assert shapes == {"image.weight": (6, 6), "image.bias": (6,), "text.weight": (6, 6), "text.bias": (6,)}


def test_images_and_texts_have_adapters_of_their_own() -> None:
    drawn = Adapters(6, torch.Generator().manual_seed(0))
    assert not torch.equal(drawn.image.weight, drawn.text.weight)


def test_initial_weights_come_from_the_generator_alone() -> None:
    torch.manual_seed(1)
    one = Adapters(6, torch.Generator().manual_seed(0)).state_dict()
    torch.manual_seed(2)
    two = Adapters(6, torch.Generator().manual_seed(0)).state_dict()
    other = Adapters(6, torch.Generator().manual_seed(3)).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not any(torch.equal(one[name], other[name]) for name in one)


def test_initial_weights_are_uniform_as_those_of_a_linear_layer() -> None:
    drawn = Adapters(64, torch.Generator().manual_seed(0))
    for name, parameter in drawn.named_parameters():
        values = np.sort(parameter.detach().numpy().ravel())
        expected = np.linspace(-1 / 8, 1 / 8, len(values))  # 64 ** -0.5
        assert np.abs(values).max() <= 1 / 8, name
        assert values == pytest.approx(expected, abs=0.25 * 1.63 / np.sqrt(len(values))), name  # Kolmogorov, at 1%


@pytest.fixture
def judged() -> Alignment:
    """What heads may judge of five samples in three classes, as the weights come: not contiguous."""
    rng = np.random.default_rng(0)
    odds, weight = rng.normal(size=5).astype(np.float32), rng.normal(size=(6, 3)).astype(np.float32).T
    damaged = np.array([False, True, False, False, True])
    bias, choice = np.array([0.5, 0, -1]), {"noise_rate": 0.1}
    near = rng.normal(size=(3, 6))
    elsewhere = np.array([0.9, 0.1]), near, rng.normal(size=6), rng.normal(size=(6, 6)), np.array([np.inf])
    return Alignment(odds, np.array([0, 2, 1, 0, 2]), damaged, weight, bias, choice, *elsewhere)


def test_adapters_that_were_saved_are_read_and_frozen(tmp_path: Path) -> None:
    saved = Adapters(6)
    adapters.save(tmp_path / "a.safetensors", saved)
    read = adapters.load(tmp_path / "a.safetensors")
    assert isinstance(read, Adapters)
    x = torch.randn(3, 6)
    assert torch.equal(read.image(x), saved.image(x))
    assert torch.equal(read.text(x), saved.text(x))
    assert not any(parameter.requires_grad for parameter in read.parameters())


def test_judgements_that_were_saved_are_read(tmp_path: Path, judged: Alignment) -> None:
    adapters.save(tmp_path / "a.safetensors", judged)
    read = adapters.load(tmp_path / "a.safetensors")
    assert isinstance(read, Alignment)
    for name in ("log_odds", "predicted", "damaged", "weight", "bias", "rate", "near", "centre", "metric", "far"):
        one, two = getattr(judged, name), getattr(read, name)
        assert (one.dtype, one.tolist()) == (two.dtype, two.tolist())
    assert read.choice == {}  # that is for metrics.json


@pytest.mark.parametrize("kind", [Adapters, Alignment])
def test_the_same_are_the_same_bytes_and_others_are_not(tmp_path: Path, judged: Alignment, kind: type) -> None:
    def drawn(seed: int) -> Adapted:
        if kind is Alignment:
            return replace(judged, predicted=judged.predicted + seed)
        return Adapters(6, torch.Generator().manual_seed(seed))

    for name, seed in (("one", 0), ("two", 0), ("three", 1)):
        adapters.save(tmp_path / name, drawn(seed))
    one, two, three = ((tmp_path / name).read_bytes() for name in ("one", "two", "three"))
    assert one == two != three
