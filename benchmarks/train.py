"""What the training loop of cells costs beside the bare training of the same network.

    python -m benchmarks.train [--model small] [--side 32] [--n 5000] [--steps 600] [--rounds 2]

The loop is `winnow.training.classifier.fit`: from uint8 images through shuffling, shifts, mirroring and the schedule to
the trained network. The bare loop is forward, backward and step on batches that were made before and lie on the device.
Both see the same batches of noise in turn, in one process, on one core or one GPU; the best of the rounds counts. The
last line is one JSON object; `share` is the rate of the loop over that of the bare one.
"""

import json
import time
from dataclasses import replace
from typing import Annotated

import numpy as np
import torch
import typer
from torch import Tensor
from torch.nn import functional as F

from winnow.compute import precision
from winnow.training import classifier, networks
from winnow.training.classifier import Training

CLASSES = 10
LR = {networks.SMALL: 0.008}


def bare(batches: Tensor, labels: Tensor, training: Training, device: str) -> float:
    """Seconds for `training.steps` steps on (k, B, 3, side, side) batches in turn."""
    model = networks.build(training.model, side=batches.shape[-1], classes=CLASSES, width=training.width)
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = classifier.optimizer_for(model, training.lr)
    start = _now(device)
    for step in range(training.steps):
        with precision.autocast(device):
            scores = model(batches[step % len(batches)])
        loss = F.cross_entropy(scores.float(), labels[step % len(batches)], label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return _now(device) - start


def ours(images: np.ndarray, labels: np.ndarray, training: Training, device: str) -> float:
    """Seconds for the whole of `classifier.fit`."""
    start = _now(device)
    classifier.fit(images, labels, training, classes=CLASSES, seed=0, device=device)
    return _now(device) - start


def _now(device: str) -> float:
    """Seconds: on a core, those of this process alone, so that other programs on it do not count."""
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def main(
    model: Annotated[str, typer.Option(help="As in evaluate.model.")] = networks.SMALL,
    side: Annotated[int, typer.Option(min=8, help="Pixels.")] = 32,
    n: Annotated[int, typer.Option(min=64, help="Images.")] = 5000,
    steps: Annotated[int, typer.Option(min=10, help="Of each loop, a round.")] = 600,
    batch_size: Annotated[int, typer.Option(min=2, help="Images a step.")] = 64,
    rounds: Annotated[int, typer.Option(min=1, help="Of both loops, in turn.")] = 2,
) -> None:
    """Measure both loops."""
    torch.set_num_threads(1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    training = Training(16, steps, batch_size, LR.get(model, 0.1), flip=True, model=model)
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (n, side, side, 3), np.uint8), rng.integers(0, CLASSES, n)
    rows = torch.from_numpy(rng.permutation(n)[: n // batch_size * batch_size].reshape(-1, batch_size))
    scaled = torch.from_numpy((images - images.mean()) / images.std()).float().permute(0, 3, 1, 2)
    batches = torch.stack([scaled[some] for some in rows]).to(device)
    batched = torch.from_numpy(labels)[rows].to(device)
    bare(batches, batched, replace(training, steps=10), device)  # the first steps of a process are slower
    times = [(ours(images, labels, training, device), bare(batches, batched, training, device)) for _ in range(rounds)]
    loop, alone = (steps * batch_size / min(seconds) for seconds in zip(*times, strict=True))
    print(f"{model}, {side} pixels, {device}: {loop:,.0f} images/s, bare {alone:,.0f}")
    found = {"images_per_second": loop, "bare_images_per_second": alone, "share": loop / alone, "model": model}
    print(json.dumps(found | {"device": device, "n": n}))


if __name__ == "__main__":
    typer.run(main)
