"""A network and its training run: what a subset is judged by.

Every subset gets the same number of steps, so that a larger one is seen more varied, never longer. `for_epochs` gives
it the same number of epochs instead, so that a smaller one also costs less.
"""

from dataclasses import dataclass, replace
from threading import Lock

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import swa_utils

from tasks.training import measures, networks, precision
from tasks.training.measures import Measures
from tasks.training.networks import SmallResNet

EMA_SHARE = 0.1  # weights are averaged over about the last tenth of the steps

LEAST_STEPS = 10  # of a schedule that rises and falls
LOOK = 100  # steps between two looks at whether the loss is still a number: each look waits for the device

_global_seed = Lock()  # initial weights come from torch's global generator, and cells may train side by side


@dataclass(frozen=True)
class Training:
    """How a network is trained: a one-cycle schedule, label smoothing, random shifts.

    Our own by AdamW; torchvision's by SGD with momentum and an average of the weights, as its references have it.

    Attributes:
        width: channels of the first layer of our own network.
        steps: of the optimiser.
        batch_size: images a step.
        lr: the highest step size.
        flip: mirror half of the images; wrong for digits and letters.
        model: which network (`training.networks`).
    """

    width: int
    steps: int
    batch_size: int
    lr: float
    flip: bool
    model: str = networks.SMALL


def for_epochs(training: Training, epochs: int, n: int) -> Training:
    """As many steps as `epochs` passes over `n` images take, at least LEAST_STEPS."""
    return replace(training, steps=max(LEAST_STEPS, epochs * -(-n // training.batch_size)))


class DivergenceError(ArithmeticError):
    """A loss or a score is not finite: the network is worth nothing, and its accuracy is not a result."""


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

    def measure(self, images: np.ndarray, labels: np.ndarray) -> Measures:
        """Accuracy and more (`training.measures`), on (n, side, side, 3) uint8 `images` of the (n,) classes `labels`.

        Raises:
            DivergenceError: a score is not finite.
        """
        logits = self.logits(images)
        if not logits.isfinite().all():
            raise DivergenceError("scores are not finite")
        return measures.measure(logits.double().softmax(1).numpy(), labels)


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

    Raises:
        DivergenceError: the loss is not finite any more.
    """
    mean = images.mean((0, 1, 2), dtype=np.float64).astype(np.float32)
    deviation = images.std((0, 1, 2), dtype=np.float64).astype(np.float32) + 1
    x, y = _tensor(images, mean, deviation), torch.tensor(labels)
    return Classifier(_train(x, y, training, classes, seed, device), mean, deviation, device)


def _train(x: Tensor, y: Tensor, training: Training, classes: int, seed: int, device: str) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    with _global_seed:
        torch.manual_seed(seed)
        model = networks.build(training.model, side=x.shape[-1], classes=classes, width=training.width)
    if isinstance(model, SmallResNet):
        model.whiten(x[:: max(1, len(x) // 1000)])
    if _fits(x, device):
        x, y = x.to(device), y.to(device)  # once, rather than a batch at a time
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = None if isinstance(model, SmallResNet) else _average(model, training.steps)
    optimizer = optimizer_for(model, training.lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, training.lr, total_steps=training.steps, pct_start=0.2,
                                                   cycle_momentum=isinstance(model, SmallResNet))  # fmt: skip
    for step, rows in enumerate(_batches(len(y), training.batch_size, training.steps, generator), 1):
        batch = _shift(x[rows], training.flip, generator).to(device)
        with precision.autocast(device):
            scores = model(batch)
        loss = F.cross_entropy(scores.float(), y[rows].to(device), label_smoothing=0.1)
        if (step % LOOK == 0 or step == training.steps) and not loss.isfinite():
            raise DivergenceError(f"the loss is {loss.item()} after {step} steps; lower lr, which is {training.lr:g}")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if average:
            average.update_parameters(model)
    return (average.module if average else model).eval()


def _fits(x: Tensor, device: str) -> bool:
    """Whether the images can lie on a GPU beside the network: in half of what is free there."""
    return device != "cpu" and 2 * x.nbytes < torch.cuda.mem_get_info()[0]


def optimizer_for(model: nn.Module, lr: float) -> torch.optim.Optimizer:
    """Of our own network AdamW, of others SGD with momentum, as they were published."""
    if isinstance(model, SmallResNet):
        return torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.05)
    return torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, nesterov=True, weight_decay=5e-4)


def _average(model: nn.Module, steps: int) -> swa_utils.AveragedModel:
    """Exponential moving average of weights and statistics, over a share of the steps."""
    decay = max(0.0, 1 - 1 / max(1.0, EMA_SHARE * steps))
    return swa_utils.AveragedModel(model, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(decay), use_buffers=True)


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
    places = torch.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]
    return padded[tuple(place.to(batch.device) for place in places)].permute(0, 3, 1, 2)


def _batches(n: int, batch_size: int, steps: int, generator: torch.Generator) -> Tensor:
    """(steps, B) row numbers: shuffled passes over `n` rows, end to end, so that every row is seen equally often."""
    passes = -(-steps * batch_size // n)
    order = torch.cat([torch.randperm(n, generator=generator) for _ in range(passes)])
    return order[: steps * batch_size].reshape(steps, batch_size)
