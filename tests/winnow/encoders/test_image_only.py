"""Networks of timm and torchvision give features before their classifier, from weights in which no code runs."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torchvision import models

from winnow import features
from winnow.encoders import embed
from winnow.encoders import encoder as encoders
from winnow.encoders.embed import EmbedJob
from winnow.encoders.encoder import Checkpoint, Encoder
from winnow.errors import InputError
from winnow.files.hashes import file_sha256
from winnow.files.json_files import read_json
from winnow.images.dataset import Dataset

NAMES = ["torchvision:resnet18", "timm:resnet18"]  # weights of one fit the other


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """A small network of 7 classes, as it is drawn."""
    torch.manual_seed(0)
    return models.resnet18(num_classes=7).eval()


@pytest.fixture
def weights(network: nn.Module, tmp_path: Path) -> Path:
    """Its weights."""
    path = tmp_path / "weights.safetensors"
    save_file({name: part.contiguous() for name, part in network.state_dict().items()}, path)
    return path


def load(model: str, path: Path, pretrained: str | None = None) -> Encoder:
    return encoders.load(Checkpoint(model, path, pretrained), "cpu")


@pytest.mark.parametrize("model", NAMES)
def test_features_are_what_the_classifier_is_given(network: nn.Module, weights: Path, model: str) -> None:
    opened = load(model, weights)
    assert opened.about == {"encoder": model, "weights_sha256": file_sha256(weights), "text": False}
    assert opened.dim == 512
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8))
    pixels = np.array(opened.shape(image))[None]
    assert pixels.shape == (1, 224, 224, 3)
    given: list[torch.Tensor] = []
    with network.fc.register_forward_pre_hook(lambda _, x: given.append(x[0])), torch.no_grad():  # type: ignore[operator]
        network(opened.normalise(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255))
    assert (opened.images(pixels)[0] * nn.functional.normalize(given[0])[0].numpy()).sum() == pytest.approx(1, abs=2e-3)


def test_a_backbone_without_its_classifier_will_do(network: nn.Module, tmp_path: Path) -> None:
    parts = {name: part for name, part in network.state_dict().items() if not name.startswith("fc.")}
    torch.save({"model": parts}, tmp_path / "backbone.pt")
    assert load("timm:resnet18", tmp_path / "backbone.pt").dim == 512


@pytest.mark.parametrize("name", ["alexnet", "convnext_tiny", "efficientnet_b0", "googlenet", "mobilenet_v3_small"])
def test_the_classifier_of_every_family_of_torchvision_is_found(name: str, tmp_path: Path) -> None:
    options = {"init_weights": False} if name == "googlenet" else {}
    torch.save(models.get_model(name, weights=None, **options).state_dict(), tmp_path / "weights.pt")
    assert load(f"torchvision:{name}", tmp_path / "weights.pt").dim != 1000


@pytest.mark.parametrize(
    ("model", "pretrained", "words"),
    [
        ("timm:resnet81", None, r"embed\.model: timm has no network 'resnet81'; the nearest are .*resnet18"),
        ("timm:hf-hub:someone/model", None, "timm has no network 'hf-hub:someone/model'"),
        ("torchvision:resnet81", None, r"torchvision has no network 'resnet81'; the nearest are .*resnet18"),
        ("timm:resnet18", "laion", r"embed\.pretrained: timm:resnet18 has no tag 'laion'; it has .*a1_in1k"),
        ("torchvision:resnet18", "laion", "has no tag 'laion'; it has IMAGENET1K_V1"),
        ("timm:resnet18", None, r"embed\.path: .*nothing does not exist"),
        ("torchvision:squeezenet1_0", None, "has no linear classifier"),
    ],
)
def test_what_is_not_there_is_told(tmp_path: Path, model: str, pretrained: str | None, words: str) -> None:
    with pytest.raises(InputError, match=words):
        load(model, tmp_path / "nothing", pretrained)


@pytest.mark.parametrize(("model", "tag"), [("timm:resnet18", "a1_in1k"), ("torchvision:resnet18", "IMAGENET1K_V1")])
def test_a_tag_that_cannot_be_had_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, tag: str
) -> None:
    monkeypatch.setattr("winnow.encoders.hub.answers", lambda *_: False)
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    with pytest.raises(InputError, match=rf"embed\.pretrained: the weights .* of tag '{tag}' are not in the cache"):
        load(model, tmp_path, tag)


@pytest.mark.parametrize("model", NAMES)
def test_weights_of_another_network_are_refused(weights: Path, model: str) -> None:
    with pytest.raises(InputError, match=r"holds the weights of another network than embed\.model: .*34: layer1\.2"):
        load(model.replace("18", "34"), weights)


class Harmful:
    """A pickle that writes a file where it is loaded."""

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, ("harm", "w")


@pytest.mark.parametrize("model", NAMES)
def test_code_in_a_checkpoint_does_not_run(workdir: Path, model: str) -> None:
    torch.save({"state_dict": Harmful()}, workdir / "bad.pt")
    with pytest.raises(InputError, match=r"embed\.path: .*bad\.pt holds no weights that can be read"):
        load(model, workdir / "bad.pt")
    assert not (workdir / "harm").exists()


@pytest.mark.parametrize("model", NAMES)
def test_images_are_embedded_without_prompts_or_names(
    images: Dataset, weights: Path, workdir: Path, model: str
) -> None:
    work = EmbedJob(images.folder, Checkpoint(model, weights), 8)
    for out in ("one", "two"):
        embed.run_encoder(work, workdir / out, ["a {}"], workdir / "no-such-names.json", device="cpu")
    data = features.load(workdir / "one")
    assert (data.image.shape, data.text) == ((24, 512), None)
    assert np.load(workdir / "one/test.npy").shape == (6, 512)
    assert read_json(workdir / "one/encoder.json")["prompts"] is None
    for path in (workdir / "one").iterdir():
        assert path.read_bytes() == (workdir / "two" / path.name).read_bytes()
