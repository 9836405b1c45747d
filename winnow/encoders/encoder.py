"""Find and check an encoder before long work starts; it is identified by the hash of its weights.

It is one of open_clip, or reads no text (`encoders.image_only`).
"""

import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from winnow.compute import precision
from winnow.compute.gpu import Parts
from winnow.errors import InputError
from winnow.files import hashes

LOCAL = "local-dir"
PREPROCESSING = ("mean", "std", "interpolation", "resize_mode", "size", "mode", "fill_color")


@dataclass(frozen=True)
class Checkpoint:
    """Which encoder.

    Attributes:
        model: "local-dir", the name of an open_clip architecture, or `timm:NAME` or `torchvision:NAME`.
        path: an open_clip model folder for "local-dir", else a checkpoint, unless `pretrained` names a tag.
        pretrained: a tag of the library, or None.
    """

    model: str
    path: Path
    pretrained: str | None = None

    @property
    def name(self) -> str:
        """What people call it."""
        model = self.path.name if self.model == LOCAL else self.model
        return f"{model} {self.pretrained or ''}".strip()


@dataclass(frozen=True)
class Encoder:
    """A model in evaluation mode on its device, with its preprocessing and tokenizer.

    Attributes:
        tokenizer: None for a model that reads no text.
        shape: an RGB image of any size to one of the model's.
        normalise: a batch (B, 3, h, w) in [0, 1] to what the model was trained on.
        recipe: the preprocessing, as text for people.
        fingerprint: SHA-256 of the weights.
    """

    model: nn.Module
    shape: Callable[[Image.Image], Image.Image]
    normalise: Callable[[Tensor], Tensor]
    tokenizer: Callable[[list[str]], Tensor] | None
    recipe: str
    name: str
    fingerprint: str
    device: str
    parts: Parts = field(default_factory=Parts)

    @torch.no_grad()
    def images(self, pixels: np.ndarray) -> np.ndarray:
        """(B, d) float16 unit features of (B, h, w, 3) uint8 images, in parts where memory lacks for all at once."""
        return self.parts(self._images, torch.from_numpy(pixels)).numpy()

    def _images(self, pixels: Tensor) -> Tensor:
        batch = pixels.to(self.device, non_blocking=True).permute(0, 3, 1, 2)
        with precision.autocast(self.device):
            rows = self.model.encode_image(self.normalise(batch.float().div_(255)))  # type: ignore[operator]
        return F.normalize(rows.float()).half().cpu()

    @torch.no_grad()
    def texts(self, texts: list[str]) -> Tensor:
        """(n, d) float32 unit features."""
        assert self.tokenizer is not None
        with precision.autocast(self.device):
            rows = self.model.encode_text(self.tokenizer(texts).to(self.device))  # type: ignore[operator]
        return F.normalize(rows.float()).cpu()

    @property
    def dim(self) -> int:
        """Features a row, as a blank image has."""
        return self.images(np.array(self.shape(Image.new("RGB", (64, 64))))[None]).shape[1]

    @property
    def about(self) -> dict[str, Any]:
        """Name, weights, and how its cosines become probabilities: softmax of CLIP's, sigmoid of SigLIP's logits."""
        if self.tokenizer is None:
            return {"encoder": self.name, "weights_sha256": self.fingerprint, "text": False}
        scale, bias = (getattr(self.model, name, None) for name in ("logit_scale", "logit_bias"))
        return {
            "encoder": self.name,
            "weights_sha256": self.fingerprint,
            "logit_scale": None if scale is None else round(float(scale.exp()), 6),
            "logit_bias": None if bias is None else round(float(bias), 6),
            "probabilities": "softmax" if bias is None else "sigmoid",
        }

    @property
    def key(self) -> str:
        """Names what makes image features: weights, preprocessing, device and precision."""
        kind = torch.device(self.device).type
        return hashes.sha256(self.name, self.fingerprint, self.recipe, kind, str(precision.native(kind)))


@lru_cache(maxsize=1)
def opened(checkpoint: Checkpoint, device: str) -> Encoder:
    """`load`, once a process: a worker that is given one shard after the other holds its model."""
    return load(checkpoint, device)


def load(checkpoint: Checkpoint, device: str) -> Encoder:
    """Load an encoder. Weights are read as safetensors, or by torch with `weights_only`: no code in them runs.

    Raises:
        InputError: there is no such architecture, tag or file, a network is needed and away, or the weights do not fit.
    """
    import open_clip

    from winnow.encoders import image_only

    if image_only.reads_no_text(checkpoint.model):
        found = image_only.load(checkpoint, device)
        shape, recipe = _Chain(found.shape), repr([*found.shape, found.normalise])
        name = checkpoint.name
        return Encoder(found.tower, shape, found.normalise, None, recipe, name, found.fingerprint, device)
    local = checkpoint.model == LOCAL
    name = f"{LOCAL}:{checkpoint.path}" if local else checkpoint.model
    weights, preprocessing = _weights(checkpoint)
    try:
        model = open_clip.create_model(
            name,
            None if local else str(weights),
            require_pretrained=True,
            device=device,
            weights_only=True,
            force_preprocess_cfg=preprocessing,
        )
        tokenizer = open_clip.get_tokenizer(name, **_tokenizer_options(name, local))
    except pickle.UnpicklingError as error:
        raise InputError(
            f"embed.path: {weights} holds code or is damaged, and is not loaded; save the weights alone, as safetensors"
        ) from error
    except Exception as error:  # open_clip, torch, safetensors and transformers each raise their own
        raise InputError(
            f"embed: cannot load the encoder {name!r} with weights {weights} ({_short(error)}); embed.model is "
            "`local-dir` with an open_clip model folder in embed.path, or an architecture of open_clip.list_models()"
        ) from error
    return wrap(model, tokenizer, checkpoint.name, hashes.file_sha256(weights), device)


def _tokenizer_options(name: str, local: bool) -> dict[str, Any]:
    """Arguments for transformers, where the tokenizer is its: never to run code, and of a folder to ask no hub."""
    import open_clip

    text = (open_clip.get_model_config(name) or {})["text_cfg"]
    return {"trust_remote_code": False, "local_files_only": local} if text.get("hf_tokenizer_name") else {}


def wrap(model: Any, tokenizer: Any, name: str, fingerprint: str, device: str) -> Encoder:
    """Make an encoder of an open_clip model."""
    from open_clip.transform import PreprocessCfg, image_transform_v2

    model.eval().requires_grad_(False)
    recipe = PreprocessCfg(**model.visual.preprocess_cfg)
    # The last two transforms make a tensor and scale it, here for a whole batch and on its device.
    *shape, _, normalise = image_transform_v2(recipe, is_train=False).transforms
    return Encoder(model, _Chain(shape), normalise, tokenizer, repr(recipe), name, fingerprint, device)


@dataclass(frozen=True)
class _Chain:
    """Transforms one after the other."""

    transforms: list[Callable[[Image.Image], Image.Image]]

    def __call__(self, image: Image.Image) -> Image.Image:
        for transform in self.transforms:
            image = transform(image)
        return image


def _weights(checkpoint: Checkpoint) -> tuple[Path, dict[str, Any]]:
    """The file with the weights, and what a tag says of preprocessing; all that can be refused is refused here."""
    from open_clip import factory

    from winnow.encoders import config, hub

    path = checkpoint.path
    if checkpoint.model == LOCAL:
        if not (path / config.CONFIG).is_file():
            raise InputError(f"embed.path: {path} is no open_clip model folder; {config.CONFIG} is missing")
        config.check(path)
        if not (found := factory._find_checkpoint_in_dir(path)):
            raise InputError(f"embed.path: {path} holds no weights, such as {hub.SAFE}")
        return Path(found), {}
    hub.check_model(checkpoint.model)
    hub.check_text(checkpoint.model)
    if checkpoint.pretrained:
        file, about = hub.weights(checkpoint.model, checkpoint.pretrained)
        return file, {key: about[key] for key in PREPROCESSING if about.get(key) is not None}
    if not path.is_file():
        raise InputError(f"embed.path: {path} is not a checkpoint file; name one, or a tag in embed.pretrained")
    return path, {}


def _short(error: Exception) -> str:
    """The first lines of an error: torch names every tensor that does not fit."""
    lines = str(error).splitlines() or [type(error).__name__]
    return "; ".join(line.strip() for line in lines[:3]) + (" ..." if len(lines) > 3 else "")
