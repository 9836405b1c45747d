"""Stage adapt: adapt CLIP's image and text features to the data set, as the method asks.

In:  a feature folder (data/embed). Out: data/adapt/adapters.safetensors and metrics.json (accuracy before and after).

`winnow` fits heads that never see the labels they judge (`selection.alignment`); `paper` fits two linear adapters to
all labels.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track
from torch import Tensor
from torch.nn import functional as F

from winnow import features
from winnow.compute import threads
from winnow.features import Features, SideBySide
from winnow.files.json_files import write_json
from winnow.files.outputs import whole_folder
from winnow.selection import adapters, several
from winnow.selection.adapters import Adapted, Adapters
from winnow.selection.alignment import Alignment, align
from winnow.selection.methods import Method, Recipe
from winnow.terminal import bars


def fit(data: Features, recipe: Recipe, *, seed: int, device: str) -> Adapters:
    """Fit adapters by InfoNCE between images and the prompts of their classes; CLIP itself stays frozen.

    Where there are no text features, class means take their place.

    Args:
        data: image (N, d) and perhaps text (C, d) features with labels.
        recipe: how long and how fast.
        seed: fixes the initial weights and the order of samples.
        device: where to compute.

    Returns:
        The adapters, frozen, on the CPU.
    """
    n, dim = data.image.shape
    generator = torch.Generator().manual_seed(seed)
    fitted = Adapters(dim, generator).to(device)
    optimizer = torch.optim.Adam(fitted.parameters(), lr=recipe.lr)
    text = torch.from_numpy(data.anchors).to(device)
    for _ in track(range(recipe.epochs), description="adapt", disable=bars.hidden(), transient=True):
        for batch in torch.randperm(n, generator=generator).split(recipe.batch_size):
            members = batch.numpy()
            image = torch.from_numpy(data.rows(members)).to(device)
            labels = torch.from_numpy(data.labels[members]).to(device)
            loss = info_nce(fitted.image(image), fitted.text(text)[labels], recipe.temperature)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return fitted.requires_grad_(False).cpu()


def info_nce(image: Tensor, text: Tensor, temperature: float) -> Tensor:
    """Symmetric in-batch InfoNCE: row i of `image` (B, d) belongs to row i of `text` (B, d), the rest are negatives."""
    logits = F.normalize(image) @ F.normalize(text).T / temperature  # (B, B)
    target = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def adapt(data: Features, method: Method, recipe: Recipe, *, seed: int, device: str) -> Adapted:
    """Adapt as `method` does; the recipe is the published method's, the other chooses for itself."""
    if method == "paper":
        return fit(data, recipe, seed=seed, device=device)
    return several.align(data, seed) if data.others else align(data, seed)


@threads.fixed()
def run(embed: Path, out: Path, recipe: Recipe, *, method: Method, seed: int, device: str) -> None:
    """Adapt to the feature folder `embed` and write what came of it, with the accuracy before and after, to `out`."""
    data = features.load(embed)
    adapted = adapt(data, method, recipe, seed=seed, device=device)
    with whole_folder(out) as folder:
        adapters.save(folder / "adapters.safetensors", adapted)
        write_json(folder / "metrics.json", before_and_after(embed, data, adapted))


def before_and_after(embed: Path, data: Features, adapted: Adapted) -> dict[str, Any]:
    """Accuracy of the encoder as it came and as adapted, on the held-out images where they were embedded.

    An encoder that reads no text has none as it came.
    """
    places = features.folders(embed)
    held_out = all((place / "test.npy").exists() for place in places)
    image, *others = [np.load(place / "test.npy", mmap_mode="r") for place in places] if held_out else data.images
    labels = np.load(embed / "test_labels.npy") if held_out else data.labels
    text = torch.from_numpy(data.anchors)
    measured: dict[str, Any] = {"measured_on": "held-out images" if held_out else "the pool, by its given labels"}
    if data.text is None:
        measured["in_place_of_text"] = "class means"
    else:
        measured["zero_shot_accuracy"] = accuracy(image, labels, lambda x: x @ text.T)
    if isinstance(adapted, Alignment):
        weight, bias = torch.from_numpy(adapted.weight.T), torch.from_numpy(adapted.bias)
        every = SideBySide([image, *others]) if others else image
        return measured | {"adapted_accuracy": accuracy(every, labels, lambda x: x @ weight + bias)} | adapted.choice
    near = F.normalize(adapted.text(text)).T
    return measured | {"adapted_accuracy": accuracy(image, labels, lambda x: F.normalize(adapted.image(x)) @ near)}


def accuracy(image: np.ndarray | SideBySide, labels: np.ndarray, scores: Callable[[Tensor], Tensor]) -> float:
    """Share of samples whose own class has the greatest score.

    Args:
        image: (N, d) features.
        labels: (N,) classes.
        scores: maps (n, d) unit features to (n, C) scores.
    """
    right = 0
    for start in range(0, len(labels), features.CHUNK):
        part = slice(start, start + features.CHUNK)
        predicted = scores(torch.from_numpy(features.unit(image[part]))).argmax(1)
        right += int(predicted.eq(torch.from_numpy(labels[part])).sum())
    return right / len(labels)
