"""A small residual network and its training run: what a subset is judged by.

Every subset gets the same number of steps, so that a larger one is seen more varied, never longer.
"""

from dataclasses import dataclass
from threading import Lock

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

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
        self.body = nn.Sequential(
            nn.Conv2d(3, width, 4 * reduce, 2 * reduce, reduce, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            _conv(width, 2 * width),
            nn.MaxPool2d(2),
            Residual(2 * width),
            _conv(2 * width, 4 * width),
            nn.MaxPool2d(2),
            Residual(4 * width),
            nn.AdaptiveMaxPool2d(1),
            nn.Flatten(),
            nn.Linear(4 * width, classes, bias=False),
        )

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


def accuracy(
    images: np.ndarray,
    labels: np.ndarray,
    test_images: np.ndarray,
    test_labels: np.ndarray,
    training: Training,
    *,
    classes: int,
    seed: int,
    device: str,
) -> float:
    """Train on some images from scratch and measure on others.

    Args:
        images: (n, side, side, 3) uint8 to train on.
        labels: (n,) their classes.
        test_images: (m, side, side, 3) uint8 to measure on.
        test_labels: (m,) their classes.
        training: how.
        classes: C.
        seed: fixes initial weights, order and shifts; the same seed and number of threads give the same accuracy.
        device: where to compute.

    Returns:
        The share of the test images that is classified rightly.
    """
    mean = images.mean((0, 1, 2), dtype=np.float64).astype(np.float32)
    deviation = images.std((0, 1, 2), dtype=np.float64).astype(np.float32) + 1
    model = _train(_tensor(images, mean, deviation), torch.from_numpy(labels), training, classes, seed, device)
    test, right = _tensor(test_images, mean, deviation), 0
    with torch.no_grad(), torch.autocast(device, torch.bfloat16):
        for batch, target in zip(test.split(500), torch.from_numpy(test_labels).split(500), strict=True):
            right += int((model(batch.to(device)).argmax(1).cpu() == target).sum())
    return right / len(test_labels)


def _train(x: Tensor, y: Tensor, training: Training, classes: int, seed: int, device: str) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    with _global_seed:
        torch.manual_seed(seed)
        model = SmallResNet(x.shape[-1], classes, training.width)
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(model.parameters(), lr=training.lr, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, training.lr, total_steps=training.steps, pct_start=0.2)
    for rows in _batches(len(y), training.batch_size, training.steps, generator):
        batch = _shift(x[rows], training.flip, generator).to(device)
        with torch.autocast(device, torch.bfloat16):
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
