"""A small residual network and its training run: what a subset is judged by.

Every subset gets the same number of steps, so that a larger one is seen more varied, never longer.
"""

from dataclasses import dataclass
from threading import Lock

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tasks import precision

STEM_SIDE = 32  # larger images are reduced to about this before the body

_global_seed = Lock()  # initial weights come from torch's global generator, and cells may train side by side


@dataclass(frozen=True)
class Training:
    """How the network is trained: AdamW under a one-cycle schedule, label smoothing, random shifts.

    Attributes:
        width: channels of the first layer.
        steps: of the optimiser.
        batch_size: images a step.
        lr: the highest step size.
        flip: mirror half of the images; wrong for digits and letters.
    """

    width: int
    steps: int
    batch_size: int
    lr: float
    flip: bool


class SmallResNet(nn.Module):
    """A residual network for images of 28 to 128 pixels: stem at half resolution, two stages, global max pooling."""

    def __init__(self, side: int, classes: int, width: int) -> None:
        super().__init__()
        reduce = max(1, side // STEM_SIDE)
        stem = min(width, 3 * (4 * reduce) ** 2)  # a patch has no more principal components
        self.stem = nn.Conv2d(3, stem, 4 * reduce, 2 * reduce, reduce, bias=False)
        self.body = nn.Sequential(
            self.stem,
            nn.BatchNorm2d(stem),
            nn.ReLU(inplace=True),
            _conv(stem, 2 * width),
            nn.MaxPool2d(2),
            Residual(2 * width),
            _conv(2 * width, 4 * width),
            nn.MaxPool2d(2),
            Residual(4 * width),
            nn.AdaptiveMaxPool2d(1),
            nn.Flatten(),
            nn.Linear(4 * width, classes, bias=False),
        )

    def whiten(self, images: Tensor) -> None:
        """Fix the stem to the principal components of patches of `images` (n, 3, side, side), scaled to unit variance.

        Inputs that are not correlated are learnt from in far fewer steps than pixels are.
        """
        stem = self.stem
        patches = F.unfold(images, stem.kernel_size[0], stride=stem.stride[0]).transpose(1, 2).flatten(0, 1)
        values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
        values, vectors = values.flip(0)[: stem.out_channels], vectors.flip(1)[:, : stem.out_channels]
        stem.weight.data.copy_((vectors * (values + 1e-3).rsqrt()).T.reshape(stem.weight.shape))
        stem.weight.requires_grad = False

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, side, side) to (B, classes)."""
        return self.body(images).float()


class Residual(nn.Module):
    """x + two convolutions of x, at constant shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_conv(channels, channels), _conv(channels, channels))

    def forward(self, images: Tensor) -> Tensor:
        """(B, channels, h, w) to the same."""
        return images + self.body(images)


def _conv(channels_in: int, channels_out: int) -> nn.Sequential:
    """3 x 3 convolution, batch normalisation, ReLU."""
    convolution = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels_out), nn.ReLU(inplace=True))


class Classifier:
    """A trained network with the scale of the images it was trained on."""

    def __init__(self, model: nn.Module, mean: np.ndarray, deviation: np.ndarray, device: str) -> None:
        self.model, self.mean, self.deviation, self.device = model, mean, deviation, device

    @torch.no_grad()
    def logits(self, images: np.ndarray) -> Tensor:
        """(n, side, side, 3) uint8 images to (n, C) class scores."""
        with precision.autocast(self.device):
            batches = _tensor(images, self.mean, self.deviation).split(500)
            return torch.cat([self.model(batch.to(self.device)).cpu() for batch in batches])

    def accuracy(self, images: np.ndarray, labels: np.ndarray) -> float:
        """Share of (n, side, side, 3) uint8 `images` whose class of (n,) `labels` has the greatest score."""
        return float(self.logits(images).argmax(1).eq(torch.tensor(labels)).double().mean())


def fit(
    images: np.ndarray, labels: np.ndarray, training: Training, *, classes: int, seed: int, device: str
) -> Classifier:
    """Train from scratch.

    Args:
        images: (n, side, side, 3) uint8.
        labels: (n,) their classes.
        training: how.
        classes: C.
        seed: fixes initial weights, order and shifts; the same seed and number of threads give the same network.
        device: where to compute.
    """
    mean = images.mean((0, 1, 2), dtype=np.float64).astype(np.float32)
    deviation = images.std((0, 1, 2), dtype=np.float64).astype(np.float32) + 1
    x, y = _tensor(images, mean, deviation), torch.tensor(labels)
    return Classifier(_train(x, y, training, classes, seed, device), mean, deviation, device)


def _train(x: Tensor, y: Tensor, training: Training, classes: int, seed: int, device: str) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    with _global_seed:
        torch.manual_seed(seed)
        model = SmallResNet(x.shape[-1], classes, training.width)
    model.whiten(x[:: max(1, len(x) // 1000)])
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(model.parameters(), lr=training.lr, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, training.lr, total_steps=training.steps, pct_start=0.2)
    for rows in _batches(len(y), training.batch_size, training.steps, generator):
        batch = _shift(x[rows], training.flip, generator).to(device)
        with precision.autocast(device):
            scores = model(batch)
        loss = F.cross_entropy(scores, y[rows].to(device), label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model.eval()


def _tensor(images: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> Tensor:
    """(N, H, W, 3) uint8 to (N, 3, H, W) float32, normalised per channel, channels last in memory."""
    return torch.from_numpy((images - mean) / deviation).permute(0, 3, 1, 2)


def _shift(batch: Tensor, flip: bool, generator: torch.Generator) -> Tensor:
    """(B, C, H, W): each image moved by up to an eighth of its side, mirrored half of the time if `flip`."""
    n, _, height, width = batch.shape
    pad = height // 8
    padded = F.pad(batch, (pad, pad, pad, pad), mode="reflect").permute(0, 2, 3, 1)
    shift = torch.randint(0, 2 * pad + 1, (2, n, 1), generator=generator)
    rows, columns = shift[0] + torch.arange(height), shift[1] + torch.arange(width)
    if flip:
        columns = torch.where(torch.rand(n, 1, generator=generator) < 0.5, columns.flip(1), columns)
    return padded[torch.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _batches(n: int, batch_size: int, steps: int, generator: torch.Generator) -> Tensor:
    """(steps, B) row numbers: shuffled passes over `n` rows, end to end, so that every row is seen equally often."""
    passes = -(-steps * batch_size // n)
    order = torch.cat([torch.randperm(n, generator=generator) for _ in range(passes)])
    return order[: steps * batch_size].reshape(steps, batch_size)
