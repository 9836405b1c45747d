"""Adapters are the published shape, drawn from their own generator, and survive the disk."""

from pathlib import Path

import torch

from tasks import adapters
from tasks.adapters import Adapters


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


def test_what_was_saved_is_read_and_frozen(tmp_path: Path) -> None:
    saved = Adapters(6)
    adapters.save(tmp_path / "a.safetensors", saved)
    read = adapters.load(tmp_path / "a.safetensors")
    x = torch.randn(3, 6)
    assert torch.equal(read.image(x), saved.image(x))
    assert torch.equal(read.text(x), saved.text(x))
    assert not any(parameter.requires_grad for parameter in read.parameters())


def test_the_same_adapters_are_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        adapters.save(tmp_path / name, Adapters(6, torch.Generator().manual_seed(0)))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
