"""Stage pretrain: a small CLIP for the bundled sample, trained in under a minute.

It learns from scikit-learn's digits with captions. These have other writers, another scanner and 8 x 8 pixels, so there
is a real domain gap for adaptation to close. Everything except the size is open_clip's: image tower, text tower,
tokenizer.

Out: data/pretrain/, a model folder that open_clip loads as `local-dir:data/pretrain`.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from rich.progress import track
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from winnow.compute import threads
from winnow.files.outputs import whole_folder
from winnow.sample.digits import CLASSES
from winnow.terminal import bars

CONFIG: dict[str, dict[str, Any]] = {
    "model_cfg": {
        "embed_dim": 64,
        "vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 16},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
    },
    "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
}
CAPTIONS = ["a photo of the digit {}.", "a photo of a {}.", "a handwritten {}.", "the number {}.", "{}"]


@threads.fixed()
def run(out: Path, *, steps: int, batch_size: int, lr: float, seed: int, device: str) -> None:
    """Train the encoder and write it to `out` in the form that open_clip publishes models in."""
    with whole_folder(out) as folder:
        (folder / "open_clip_config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")
        torch.manual_seed(seed)
        model = open_clip.CLIP(**CONFIG["model_cfg"]).to(device)
        train(model, open_clip.get_tokenizer(f"local-dir:{folder}"), steps, batch_size, lr, device)
        save_file(
            {k: v.contiguous() for k, v in model.cpu().state_dict().items()}, folder / "open_clip_model.safetensors"
        )


def train(
    model: Any, tokenizer: Callable[[list[str]], Tensor], steps: int, batch_size: int, lr: float, device: str
) -> None:
    """Train `model` contrastively on captioned digits for `steps` steps of AdamW on a one-cycle schedule."""
    images, labels = digits()
    captions = tokenizer([caption.format(name) for caption in CAPTIONS for name in CLASSES]).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.1, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps)
    for _ in track(range(steps), description="pretrain", disable=bars.hidden(), transient=True):
        rows = torch.randint(len(images), (batch_size,))
        said = torch.randint(len(CAPTIONS), (batch_size,)) * len(CLASSES) + labels[rows]
        image = model.encode_image(distort(images[rows]).to(device), normalize=True)
        text = model.encode_text(captions, normalize=True)[said]  # the few captions there are, each encoded once
        loss = contrastive(model.logit_scale.exp() * image @ text.T, labels[rows].to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def contrastive(logits: Tensor, labels: Tensor) -> Tensor:
    """CLIP's symmetric loss for (B, B) logits; all captions of an image's class are right answers, in equal parts."""
    same = (labels[:, None] == labels[None]).float()
    target = same / same.sum(1, keepdim=True)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def digits() -> tuple[Tensor, Tensor]:
    """scikit-learn's 1,797 digits as (n, 3, 32, 32) in [0, 1], scaled up within a dark margin; their labels."""
    from sklearn.datasets import load_digits

    data = load_digits()
    small = torch.from_numpy(data.images / 16).float()[:, None]
    large = F.interpolate(small, size=(26, 26), mode="bicubic").clamp(0, 1)
    return F.pad(large, (3, 3, 3, 3)).expand(-1, 3, -1, -1), torch.from_numpy(data.target.astype(np.int64))


def distort(images: Tensor) -> Tensor:
    """Turn, shear, scale and shift (B, 3, h, w) images at random, as hands and scanners do; scale them to [-1, 1]."""
    turn, shear = torch.empty(2, len(images)).uniform_(-0.25, 0.25)
    scale = torch.empty(2, len(images)).uniform_(0.85, 1.3)
    shift = torch.empty(2, len(images)).uniform_(-0.15, 0.15)
    rows = (
        torch.stack([scale[0] * turn.cos(), shear - turn.sin(), shift[0]], 1),
        torch.stack([turn.sin(), scale[1] * turn.cos(), shift[1]], 1),
    )
    grid = F.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False) * 2 - 1
