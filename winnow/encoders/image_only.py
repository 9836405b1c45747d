"""Encoders that read no text: networks of timm or torchvision without their classifier, such as DINOv3.

`embed.model` names them as `timm:NAME` or `torchvision:NAME`. The weights are a file, or those of a tag.
"""

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from PIL import Image
from torch import Tensor, nn

from winnow.encoders import hub
from winnow.errors import InputError
from winnow.files import hashes
from winnow.training import checkpoints

if TYPE_CHECKING:
    from winnow.encoders.encoder import Checkpoint

TIMM, TORCHVISION = "timm:", "torchvision:"
AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")  # classifiers that only training uses
FILE = "model.safetensors"


class ImageTower(nn.Module):
    """A network without its classifier, called as open_clip's models are."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def encode_image(self, images: Tensor) -> Tensor:
        """(B, 3, h, w) to (B, d)."""
        return cast(Tensor, self.network(images)).flatten(1)


@dataclass(frozen=True)
class Loaded:
    """A network, how images are brought to its size, its normalisation, and the SHA-256 of its weights."""

    tower: ImageTower
    shape: list[Callable[[Image.Image], Image.Image]]
    normalise: Callable[[Tensor], Tensor]
    fingerprint: str


def reads_no_text(model: str) -> bool:
    """Whether `embed.model` names a network of timm or torchvision."""
    return model.startswith((TIMM, TORCHVISION))


def check(model: str, tag: str | None) -> None:
    """Refuse a network or tag that there is not; nothing is downloaded.

    Raises:
        InputError: with the names that are nearest.
    """
    library, _, name = model.partition(":")
    names = _names(model)
    if name not in names:
        near = ", ".join(difflib.get_close_matches(name, names, 3, 0))
        raise InputError(f"embed.model: {library} has no network {name!r}; the nearest are {near}")
    if tag and tag not in (known := tags(model)):
        raise InputError(f"embed.pretrained: {model} has no tag {tag!r}; it has {', '.join(known) or 'none'}")


def load(checkpoint: "Checkpoint", device: str) -> Loaded:
    """Build a network and read its weights, as safetensors or by torch with `weights_only`: no code in them runs.

    Raises:
        InputError: there is no such network, tag or file, a network is needed and away, or the weights do not fit.
    """
    check(checkpoint.model, checkpoint.pretrained)
    path = _download(checkpoint) if checkpoint.pretrained else checkpoint.path
    build = _timm if checkpoint.model.startswith(TIMM) else _torchvision
    network, head, shape, normalise = build(checkpoint.model.partition(":")[2], checkpoint.pretrained)
    _fill(network, head, path, checkpoint.model)
    tower = ImageTower(network).eval().requires_grad_(False).to(device)
    return Loaded(tower, shape, normalise, hashes.file_sha256(path))


Built = tuple[nn.Module, set[str], list[Callable[[Image.Image], Image.Image]], Callable[[Tensor], Tensor]]


def _timm(name: str, tag: str | None) -> Built:
    """A network without its classifier, the names of the classifier's weights, and the preprocessing."""
    import timm
    from timm.data import config, transforms_factory

    network = timm.create_model(f"{name}.{tag}" if tag else name, pretrained=False)
    every = set(network.state_dict())
    cast(Any, network).reset_classifier(0)
    how = cast(Any, config).resolve_data_config({}, model=network)
    if how["input_size"][0] != 3:
        raise InputError(f"embed.model: {TIMM}{name} takes images of {how['input_size'][0]} channels, not of 3")
    # The last two transforms make a tensor and scale it, here for a whole batch and on its device.
    *shape, _, normalise = transforms_factory.create_transform(**how).transforms
    return network, every - set(network.state_dict()), shape, normalise


def _torchvision(name: str, tag: str | None) -> Built:
    """The same of torchvision, whose last linear layer is the classifier."""
    from torchvision import models, transforms

    options: dict[str, Any] = {}
    if name in ("googlenet", "inception_v3"):
        options = {"aux_logits": False, "init_weights": False, "transform_input": tag is not None}
    network = models.get_model(name, weights=None, **options)
    every = set(network.state_dict())
    linear = [place for place, layer in network.named_modules() if isinstance(layer, nn.Linear)]
    if not linear:
        raise InputError(f"embed.model: {TORCHVISION}{name} has no linear classifier, before which features are taken")
    parent, _, last = linear[-1].rpartition(".")
    setattr(network.get_submodule(parent), last, nn.Identity())
    weights = models.get_model_weights(name)
    how = (weights[tag] if tag else weights.DEFAULT).transforms()
    shape = [transforms.Resize(how.resize_size, how.interpolation), transforms.CenterCrop(how.crop_size)]
    return network, every - set(network.state_dict()), shape, transforms.Normalize(how.mean, how.std)


def _fill(network: nn.Module, head: Iterable[str], path: Path, model: str) -> None:
    """Read weights into a network; those of a classifier, for whatever classes, are left out."""
    weights, own = checkpoints.read(path, "embed.path"), network.state_dict()
    wrong = [name for name in own if name not in weights or weights[name].shape != own[name].shape]
    unknown = [name for name in weights if name not in own and name not in head and not name.startswith(AUXILIARY)]
    if wrong or unknown:
        name = (wrong + unknown)[0]
        raise InputError(
            f"embed.path: {path} holds the weights of another network than embed.model: {model}: {name} is "
            f"{checkpoints.shape(weights.get(name))} there and {checkpoints.shape(own.get(name))} here"
        )
    network.load_state_dict({name: weights[name] for name in own})


def _names(model: str) -> list[str]:
    if model.startswith(TIMM):
        import timm

        return list(timm.list_models())
    from torchvision import models

    return list(models.list_models(module=models))


def tags(model: str) -> list[str]:
    """The tags of a network's weights."""
    name = model.partition(":")[2]
    if model.startswith(TIMM):
        import timm

        return [full.partition(".")[2] for full in timm.list_pretrained(f"{name}.*")]
    from torchvision import models

    return list(models.get_model_weights(name).__members__)


def _download(checkpoint: "Checkpoint") -> Path:
    """The file of a tag's weights, downloaded where the cache lacks it."""
    name, tag = checkpoint.model.partition(":")[2], str(checkpoint.pretrained)
    if checkpoint.model.startswith(TORCHVISION):
        from torchvision import models

        return hub.fetched(models.get_model_weights(name)[tag].url, tag)
    import timm

    about = timm.get_pretrained_cfg(f"{name}.{tag}")
    if not about or not about.hf_hub_id:
        raise InputError(f"embed.pretrained: the hub has no file of tag {tag!r}; name the weights in embed.path")
    return hub.of_repository(about.hf_hub_id, about.hf_hub_filename or FILE, tag)
