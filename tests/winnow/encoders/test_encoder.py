"""Encoders of every kind open, say who they are and how their cosines become probabilities, or are refused at once."""

import json
import pickle
import time
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import save_file
from support import TINY, clip_folder

from winnow.encoders import encoder as encoders
from winnow.encoders.encoder import Checkpoint, Encoder
from winnow.errors import InputError
from winnow.files.hashes import file_sha256

SIGLIP = TINY | {"custom_text": True, "init_logit_bias": -10, "init_logit_scale": 2.302585}


@pytest.fixture
def architecture(tmp_path: Path) -> str:
    """A small architecture that open_clip knows by name."""
    (tmp_path / "winnow-tiny.json").write_text(json.dumps(TINY))
    open_clip.add_model_config(tmp_path / "winnow-tiny.json")
    return "winnow-tiny"


def load(model: str, path: Path, pretrained: str | None = None) -> Encoder:
    return encoders.load(Checkpoint(model, path, pretrained), "cpu")


def test_a_folder_is_named_by_its_weights(tmp_path: Path) -> None:
    about = load("local-dir", clip_folder(tmp_path / "clip", TINY)).about
    assert about["encoder"] == "clip"
    assert about["weights_sha256"] == file_sha256(tmp_path / "clip/open_clip_model.safetensors")
    assert (about["logit_scale"], about["logit_bias"], about["probabilities"]) == (14.285714, None, "softmax")


def test_siglip_has_a_bias_of_its_own_and_a_sigmoid(tmp_path: Path) -> None:
    about = load("local-dir", clip_folder(tmp_path / "siglip", SIGLIP)).about
    assert about["logit_scale"] == pytest.approx(10, abs=1e-4)
    assert (about["logit_bias"], about["probabilities"]) == (-10, "sigmoid")


def test_a_tokenizer_of_its_own_is_read_from_the_clip_folder(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    text = {**TINY["text_cfg"], "hf_tokenizer_name": "someone/siglip"}  # type: ignore[dict-item]
    path = clip_folder(tmp_path / "siglip", SIGLIP | {"text_cfg": text})
    words = Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1, "cat": 2, "dog": 3}, unk_token="[UNK]"))  # noqa: S106
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(path)  # noqa: S106
    opened = load("local-dir", path)
    assert opened.tokenizer(["dog cat"])[0, :2].tolist() == [3, 2]
    cat, dog = opened.texts(["cat", "dog"])
    assert not torch.equal(cat, dog)


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_an_architecture_takes_a_checkpoint(tmp_path: Path, architecture: str, suffix: str) -> None:
    model, path = open_clip.create_model(architecture), tmp_path / f"weights.{suffix}"
    if suffix == "pt":
        torch.save({"state_dict": {f"module.{k}": v for k, v in model.state_dict().items()}}, path)
    else:
        save_file({k: v.contiguous() for k, v in model.state_dict().items()}, path)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype(np.uint8)
    opened = load(architecture, path)
    assert (opened.name, opened.fingerprint) == (architecture, file_sha256(path))
    with torch.no_grad():
        scaled = opened.normalise(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255)
        expected = model.eval().encode_image(scaled, normalize=True)
    cosines = (opened.images(pixels).astype(np.float32) * expected.numpy()).sum(axis=1)
    assert cosines == pytest.approx(1, abs=1e-3)  # the device may run in bfloat16


class Harmful:
    """A pickle that writes a file where it is loaded."""

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, ("harm", "w")


def test_code_in_a_checkpoint_does_not_run(workdir: Path, architecture: str) -> None:
    (workdir / "bad.pt").write_bytes(pickle.dumps(Harmful()))
    torch.save({"state_dict": Harmful()}, workdir / "worse.pt")
    for name in ("bad.pt", "worse.pt"):
        with pytest.raises(InputError, match=rf"embed\.path: .*{name} holds code or is damaged.*safetensors"):
            load(architecture, workdir / name)
    assert not (workdir / "harm").exists()


@pytest.mark.parametrize("damage", [b"", b"nothing", b"\xff" * 64])
def test_damaged_weights_are_named(tmp_path: Path, architecture: str, damage: bytes) -> None:
    for name in ("weights.safetensors", "weights.pt"):
        (tmp_path / name).write_bytes(damage)
        with pytest.raises(InputError, match=name):
            load(architecture, tmp_path / name)


def test_weights_of_another_architecture_are_refused_in_few_words(tmp_path: Path, architecture: str) -> None:
    path = clip_folder(tmp_path / "siglip", SIGLIP) / "open_clip_model.safetensors"
    with pytest.raises(InputError, match="cannot load the encoder 'winnow-tiny'") as error:
        load(architecture, path)
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize(
    ("model", "pretrained", "words"),
    [
        ("ViT-B32", None, r"embed\.model: .*no architecture 'ViT-B32'; the nearest are .*ViT-B-32"),
        ("ViT-B-32", "laion", r"embed\.pretrained: ViT-B-32 has no tag 'laion'; it has .*laion2b_s34b_b79k"),
        ("ViT-B-32", "openai", r"another activation; use 'ViT-B-32-quickgelu'"),
        ("RN50", None, r"embed\.path: .*not a checkpoint file"),
        ("local-dir", None, r"embed\.path: .*open_clip_config\.json is missing"),
    ],
)
def test_what_is_not_there_is_told_at_once(tmp_path: Path, model: str, pretrained: str | None, words: str) -> None:
    start = time.perf_counter()
    with pytest.raises(InputError, match=words):
        load(model, tmp_path / "nothing", pretrained)
    assert time.perf_counter() - start < 5


def test_a_folder_without_weights_is_named(tmp_path: Path) -> None:
    path = clip_folder(tmp_path / "clip", TINY)
    (path / "open_clip_model.safetensors").unlink()
    with pytest.raises(InputError, match=r"holds no weights, such as open_clip_model\.safetensors"):
        load("local-dir", path)


def test_the_key_names_what_makes_image_features(tmp_path: Path) -> None:
    one, two = (
        load("local-dir", clip_folder(tmp_path / "a", TINY)),
        load("local-dir", clip_folder(tmp_path / "b", SIGLIP)),
    )
    assert one.key == load("local-dir", tmp_path / "a").key
    assert one.key != two.key
