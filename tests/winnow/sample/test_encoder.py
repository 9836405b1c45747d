"""The sample's encoder is open_clip's, is the same bytes again, and its loss counts every caption of the class."""

import os
from pathlib import Path

import open_clip
import pytest
import torch
from torch.nn import functional as F

from winnow.sample import encoder as pretrain


def test_the_folder_is_one_that_open_clip_loads(encoder: Path) -> None:
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{encoder}")
    assert sorted(os.listdir(encoder)) == ["open_clip_config.json", "open_clip_model.safetensors"]
    assert preprocess.transforms[0].size == 32
    assert model.encode_text(open_clip.get_tokenizer(f"local-dir:{encoder}")(["six"])).shape == (1, 64)


def test_the_same_seed_gives_the_same_bytes(encoder: Path, workdir: Path) -> None:
    torch.rand(3)  # the global state of before does not matter
    for name, seed in (("again", 0), ("other", 1)):
        pretrain.run(workdir / name, steps=10, batch_size=4, lr=1e-3, seed=seed, device="cpu")
    weights = [
        (folder / "open_clip_model.safetensors").read_bytes()
        for folder in (encoder, workdir / "again", workdir / "other")
    ]
    assert weights[0] == weights[1]
    assert weights[0] != weights[2]


def test_with_one_image_a_class_the_loss_is_clips() -> None:
    logits = torch.randn(4, 4, dtype=torch.float64)
    expected = (F.cross_entropy(logits, torch.arange(4)) + F.cross_entropy(logits.T, torch.arange(4))) / 2
    assert pretrain.contrastive(logits, torch.arange(4)).item() == pytest.approx(expected.item())


def test_captions_of_the_same_class_are_alike_right() -> None:
    labels, logits = torch.tensor([0, 0, 1]), torch.tensor([[9.0, 9, 0], [9, 9, 0], [0, 0, 9]])
    assert pretrain.contrastive(logits, labels).item() < pretrain.contrastive(9 * torch.eye(3), labels).item()


def test_digits_fill_the_encoders_image_and_distortion_keeps_the_shape() -> None:
    images, labels = pretrain.digits()
    assert (images.shape, labels.shape, labels.unique().tolist()) == ((1797, 3, 32, 32), (1797,), list(range(10)))
    distorted = pretrain.distort(images[:8])
    assert distorted.shape == (8, 3, 32, 32)
    assert distorted.min() >= -1
    assert distorted.max() <= 1
    assert not torch.allclose(distorted, images[:8] * 2 - 1, atol=0.1)
