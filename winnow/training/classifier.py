"""Train a network on a subset and measure it, to find out what the subset is worth.

Every subset is trained for the same number of steps, so a larger one adds variety but no training time. `for_epochs`
trains for the same number of epochs instead, so a smaller subset also costs less.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import swa_utils

from winnow.compute import precision
from winnow.compute.gpu import Parts
from winnow.training import checkpoints, measures, networks
from winnow.training.measures import Measures
from winnow.training.networks import SmallResNet

EMA_SHARE = 0.1  # weights are averaged over about the last tenth of the steps
EMA_TIMES = 100  # that the average is brought up to date in a run
PART = 500  # images of which float32 copies are made at a time

LEAST_STEPS = 10  # of a schedule that rises and falls
GRAPHS_FROM = 100  # steps on a GPU that are worth the second which a recording takes

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
        checkpoint: a file of weights to start from (`training.checkpoints`); None: from scratch.
    """

    width: int
    steps: int
    batch_size: int
    lr: float
    flip: bool
    model: str = networks.SMALL
    checkpoint: Path | None = None


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
        scale = _Scale(self.mean, self.deviation, self.device)

        def scores(batch: Tensor) -> Tensor:
            with precision.autocast(self.device):
                found: Tensor = self.model(scale(batch.to(self.device, non_blocking=True)))
            return found.cpu()

        return Parts(PART)(scores, torch.from_numpy(images))

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
    """Train, from scratch or from a checkpoint.

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
    mean, deviation = _moments(images)
    model = _train(images, labels, _Scale(mean, deviation, device), training, classes, seed, device)
    return Classifier(model, mean, deviation, device)


def _moments(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(3,) float32 mean of each channel, and (3,) its standard deviation and 1; from counts of the 256 values."""
    counts = np.zeros((3, 256))
    for start in range(0, len(images), PART):
        for channel in range(3):
            counts[channel] += np.bincount(images[start : start + PART, ..., channel].ravel(), minlength=256)
    share, values = counts / counts.sum(1, keepdims=True), np.arange(256)
    mean = share @ values
    variance = (share * (values - mean[:, None]) ** 2).sum(1)
    return mean.astype(np.float32), np.sqrt(variance).astype(np.float32) + 1


class _Scale:
    """Normalises images, a batch at a time: as bytes they take a quarter of the memory."""

    def __init__(self, mean: np.ndarray, deviation: np.ndarray, device: str) -> None:
        self.mean, self.deviation = (torch.from_numpy(values).to(device) for values in (mean, deviation))

    def __call__(self, batch: Tensor) -> Tensor:
        """(B, H, W, 3) uint8 to (B, 3, H, W) float32, channels last in memory."""
        return ((batch - self.mean) / self.deviation).permute(0, 3, 1, 2)


def _train(
    images: np.ndarray, labels: np.ndarray, scale: _Scale, training: Training, classes: int, seed: int, device: str
) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.from_numpy(images), torch.tensor(labels)
    model = begin(training, side=x.shape[1], classes=classes, seed=seed)
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if isinstance(model, SmallResNet) and not training.checkpoint:
        model.whiten(scale(x[:: max(1, len(x) // 1000)].to(device)))
    if _fits(x, device):
        x, y = x.to(device), y.to(device)  # once, rather than a batch at a time
    average = None if isinstance(model, SmallResNet) else _average(model, training.steps)
    _graphed(model, x.shape[1], training, device)
    optimizer = optimizer_for(model, training.lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, training.lr, total_steps=training.steps, pct_start=0.2, cycle_momentum=isinstance(model, SmallResNet)
    )
    for step, rows in enumerate(_batches(len(y), training.batch_size, training.steps, generator), 1):
        batch, target = (_sent(part[_sent(rows, part.device)], device) for part in (x, y))
        with precision.autocast(device):
            scores = model(scale(_shift(batch, training.flip, generator)))
        loss = F.cross_entropy(scores.float(), target, label_smoothing=0.1)
        if (step % LOOK == 0 or step == training.steps) and not loss.isfinite():
            raise DivergenceError(f"the loss is {loss.item()} after {step} steps; lower lr, which is {training.lr:g}")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if average and (training.steps - step) % _every(training.steps) == 0:
            average.update_parameters(model)
    return (average.module if average else model).eval()


def begin(training: Training, *, side: int, classes: int, seed: int) -> nn.Module:
    """The network as training begins, for images of `side` pixels.

    Raises:
        InputError: there is no such network, it takes no such images, or the checkpoint is not one of it.
    """
    with _global_seed:
        torch.manual_seed(seed)
        model = networks.build(training.model, side=side, classes=classes, width=training.width)
    if training.checkpoint:
        checkpoints.load(model, training.checkpoint)
        if isinstance(model, SmallResNet):
            model.stem.weight.requires_grad = False  # as `whiten` left it
    return model


def _graphed(model: nn.Module, side: int, training: Training, device: str) -> None:
    """Record the passes through a network on a GPU as CUDA graphs: with small images it waits for each kernel to start.

    The results are the same bits. torch.compile records such graphs too, after half a minute and not in every thread;
    what else it does pays nothing here. A recording may not meet other work of this process on a GPU, so with several
    GPUs there is none.
    """
    if device == "cpu" or training.steps < GRAPHS_FROM or torch.cuda.device_count() > 1:
        return
    before = {name: part.clone() for name, part in model.state_dict().items()}
    sample = torch.zeros(training.batch_size, 3, side, side, device=device).to(memory_format=torch.channels_last)
    torch.autograd.graph.set_warn_on_accumulate_grad_stream_mismatch(False)  # of the rehearsals, which do no harm
    with precision.autocast(device, cache=False):
        torch.cuda.make_graphed_callables(model, (sample,))
    model.load_state_dict(before)  # recording moves the statistics of batches


def _sent(part: Tensor, device: str | torch.device) -> Tensor:
    """`part` on `device`; a GPU goes on with what it has to do meanwhile."""
    return part.to(device, non_blocking=True)


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
    decay = max(0.0, 1 - _every(steps) / max(1.0, EMA_SHARE * steps))
    average = swa_utils.AveragedModel(model, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(decay), use_buffers=True)
    average.n_averaged = average.n_averaged.cpu()  # it is looked at each time, and a look at a GPU waits for it
    return average


def _every(steps: int) -> int:
    """Steps from one average of the weights to the next."""
    return max(1, steps // EMA_TIMES)


def _shift(batch: Tensor, flip: bool, generator: torch.Generator) -> Tensor:
    """(B, H, W, 3): each image moved by up to an eighth of its side, edges mirrored; half of them turned if `flip`."""
    n, height, width, _ = batch.shape
    pad = height // 8
    shift = torch.randint(0, 2 * pad + 1, (2, n, 1), generator=generator) - pad
    rows, columns = shift[0] + torch.arange(height), shift[1] + torch.arange(width)
    if flip:
        columns = torch.where(torch.rand(n, 1, generator=generator) < 0.5, columns.flip(1), columns)
    rows, columns = (_sent(_mirrored(places), batch.device) for places in (rows, columns))
    return batch[torch.arange(n, device=batch.device)[:, None, None], rows[:, :, None], columns[:, None, :]]


def _mirrored(places: Tensor) -> Tensor:
    """Places of (B, side) beyond the edges, mirrored at them."""
    last = places.shape[1] - 1
    return last - (last - places.abs()).abs()


def _batches(n: int, batch_size: int, steps: int, generator: torch.Generator) -> Tensor:
    """(steps, B) row numbers: shuffled passes over `n` rows, end to end, so that every row is seen equally often."""
    passes = -(-steps * batch_size // n)
    order = torch.cat([torch.randperm(n, generator=generator) for _ in range(passes)])
    return order[: steps * batch_size].reshape(steps, batch_size)
