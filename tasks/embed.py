"""Stage embed: image features and text features, from an open_clip encoder or from a folder of features that you have.

In:  data/prepare/images, and an encoder or a feature folder. Out, in data/embed/:

    image.npy text.npy labels.npy classes.json ids.txt   the pool, as a feature folder (`tasks.features`)
    test.npy test_labels.npy                             the held-out images, where they could be embedded
    encoder.json                                         what made the features
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from rich.progress import Progress
from torch import Tensor, nn
from torch.nn import functional as F

from tasks import dataset, features, files
from tasks.dataset import Dataset
from tasks.errors import InputError
from tasks.features import Features


@dataclass(frozen=True)
class Encoder:
    """An open_clip model with its preprocessing and tokenizer, and the name and fingerprint of its weights."""

    model: nn.Module
    preprocess: Callable[[Image.Image], Tensor]
    tokenizer: Callable[[list[str]], Tensor]
    name: str
    fingerprint: str
    device: str


def open_encoder(path: Path, model: str, pretrained: str | None, device: str) -> Encoder:
    """Load an encoder.

    Args:
        path: an open_clip model folder for "local-dir", else a checkpoint, unless `pretrained` names a tag.
        model: "local-dir", or the name of an open_clip architecture.
        pretrained: a tag of open_clip's, or None.
        device: where to compute.

    Raises:
        InputError: open_clip has no such architecture or tag, or the weights cannot be read.
    """
    import open_clip

    name = f"local-dir:{path}" if model == "local-dir" else model
    weights = None if model == "local-dir" else pretrained or str(path)
    try:
        clip, _, preprocess = open_clip.create_model_and_transforms(
            name, weights, require_pretrained=True, device=device
        )
        tokenizer = open_clip.get_tokenizer(name)
    except (RuntimeError, ValueError, OSError) as error:
        raise InputError(
            f"embed: cannot load the encoder {name!r} with weights {weights or path} ({error}); embed.model is "
            "`local-dir` with an open_clip model folder in embed.path, or an architecture of open_clip.list_models()"
        ) from error
    clip.eval().requires_grad_(False)
    label = model if model != "local-dir" else path.name
    return Encoder(clip, preprocess, tokenizer, f"{label} {pretrained or ''}".strip(), _fingerprint(clip), device)


def _fingerprint(model: nn.Module) -> str:
    """SHA-256 of the weights, by name, whatever file they came from."""
    state = sorted(model.state_dict().items())
    return files.sha256(*(part for name, value in state for part in (name, value.cpu().numpy().tobytes())))


def text_features(encoder: Encoder, classes: list[str], prompts: list[str]) -> np.ndarray:
    """(C, d) float32 unit rows: for each class the mean of its prompts' unit features, made unit again."""
    total = torch.zeros(())
    for prompt in prompts:
        texts = [prompt.replace("{}", name.replace("_", " ")) for name in classes]
        tokens = encoder.tokenizer(texts).to(encoder.device)
        with torch.inference_mode():
            total = total + F.normalize(encoder.model.encode_text(tokens).float()).cpu()  # type: ignore[operator]
    return F.normalize(total).numpy()


def image_features(encoder: Encoder, data: Dataset, scratch: Path, batch_size: int) -> np.ndarray:
    """(N, d) float16 unit rows in the order of the index; a shard that `scratch` holds already is not done again."""
    parts = []
    with Progress(disable=not sys.stderr.isatty(), transient=True) as progress:
        bar = progress.add_task("embed", total=len(data.index))
        for shard in data.shards:
            done = scratch / f"{shard}.npy"
            if not done.exists():
                rows = _encode_shard(encoder, data, shard, batch_size, lambda n: progress.advance(bar, n))
                with files.whole_file(done) as partial, partial.open("wb") as file:
                    np.save(file, rows)
            parts.append(np.load(done))
    return np.concatenate(parts)


def _encode_shard(
    encoder: Encoder, data: Dataset, shard: str, batch_size: int, advance: Callable[[int], None]
) -> np.ndarray:
    images, parts = data.images(shard), []
    while batch := [encoder.preprocess(image) for image in islice(images, batch_size)]:
        with torch.inference_mode():
            rows = encoder.model.encode_image(torch.stack(batch).to(encoder.device))  # type: ignore[operator]
        parts.append(F.normalize(rows.float()).half().cpu().numpy())
        advance(len(batch))
    return np.concatenate(parts)


def run_encoder(
    images: Path,
    weights: Path,
    out: Path,
    *,
    model: str,
    pretrained: str | None,
    prompts: list[str],
    batch_size: int,
    device: str,
) -> None:
    """Embed every image and every class of the data set in `images` and write the features to `out`.

    Raises:
        InputError: the encoder cannot be loaded (see `open_encoder`).
    """
    data, encoder = dataset.load(images), open_encoder(weights, model, pretrained, device)
    text = text_features(encoder, data.classes, prompts)
    key = files.sha256(files.file_sha256(data.folder / "index.parquet"), encoder.fingerprint)[:16]
    with files.scratch("embed", key) as scratch:
        image = image_features(encoder, data, scratch, batch_size)
        about = {"encoder": encoder.name, "weights_sha256": encoder.fingerprint, "prompts": prompts}
        _write(out, data, image, text, about)


def run_features(images: Path, folder: Path, out: Path) -> None:
    """Take the features of the data set in `images` from `folder` and write them to `out`.

    Raises:
        InputError: the folder does not hold a feature for each image of the pool and each class.
    """
    data, have = dataset.load(images), features.load(folder)
    rows = _match(data.index, have, folder)
    _check_classes(data, have, rows, folder)
    about = {"encoder": f"features {folder.name}", "weights_sha256": None, "prompts": None}
    image = np.zeros((len(rows), have.image.shape[1]), np.float16)
    image[rows >= 0] = have.rows(rows[rows >= 0])  # unit rows: others may not fit float16
    _write(out, data, image, have.text, about, known=rows >= 0)


def _match(index: pd.DataFrame, have: Features, folder: Path) -> np.ndarray:
    """(N,) row of `have` for each sample of the index, -1 where a held-out image has none."""
    pool = (index["split"] == "train").to_numpy()
    if (folder / "ids.txt").exists():
        rows = pd.Index(have.ids).get_indexer(index["id"])
        missing = index["id"][(rows < 0) & pool]
        if len(missing):
            raise InputError(
                f"{folder / 'ids.txt'} lacks {len(missing)} images of the pool, the first {missing.iloc[0]!r}"
            )
        return rows
    rows = np.full(len(index), -1)
    if len(have.ids) == len(index):
        return np.arange(len(index))
    if len(have.ids) == pool.sum():
        rows[pool] = np.arange(pool.sum())
        return rows
    raise InputError(
        f"{folder}: {len(have.ids)} rows of features for {pool.sum()} images to choose from ({len(index)} with those "
        "held out); embed the same images, or add ids.txt with the id of each row"
    )


def _check_classes(data: Dataset, have: Features, rows: np.ndarray, folder: Path) -> None:
    """Refuse features whose classes are others: unequal in number or, where names differ, in who belongs to them."""
    if len(have.classes) != len(data.classes):
        raise InputError(f"{folder}: {len(have.classes)} classes of features for {len(data.classes)} classes of images")
    known = data.index[rows >= 0].assign(theirs=have.labels[rows[rows >= 0]])
    agree = (known["label"] == known["theirs"]).groupby(known["label"]).mean()
    for c, (ours, theirs) in enumerate(zip(data.classes, have.classes, strict=True)):
        if ours != theirs and agree.get(c, 0) < 0.5:
            raise InputError(f"{folder / 'classes.json'}: class {c} is {theirs!r}, of the images it is {ours!r}")


def _write(
    out: Path,
    data: Dataset,
    image: np.ndarray,
    text: np.ndarray,
    about: dict[str, Any],
    known: np.ndarray | None = None,
) -> None:
    pool = (data.index["split"] == "train").to_numpy()
    labels, ids = data.index["label"].to_numpy(), data.index["id"].to_numpy(dtype=str)
    with files.whole_folder(out) as folder:
        features.save(folder, Features(image[pool], text, labels[pool], data.classes, ids[pool]))
        held_out = ~pool & (known if known is not None else True)
        if held_out.any():
            np.save(folder / "test.npy", image[held_out])
            np.save(folder / "test_labels.npy", labels[held_out])
        files.write_json(folder / "encoder.json", about)
