"""Images a second through the embed stage, beside the bare model and open_clip's own loop.

    python -m benchmarks.embed [--images FOLDER] [--n 256] [--rounds 3] [--batch-size 32] [--model ViT-B-32]

Each round measures all three, one after the other, on the same images and the same machine:

- bare: the model alone, on tensors that are decoded, scaled and in memory already;
- winnow: shards read, decoded by the workers of `images.decoding`, encoded, and written (`encoders.embed.shards`);
- open_clip: the loop of its zero-shot evaluation, a DataLoader with as many workers over the same files.

Weights are random: they cost as much as trained ones. Workers and models are started before the clock is. The last
line is one JSON object; `share` is the median over the rounds of the rate beside the bare one's. Where other programs
compete for the cores, look at the processor time an image instead: `processor_share` is the bare model's beside that
of the stage with its workers.
"""

import hashlib
import json
import shutil
import statistics
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import open_clip
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import typer
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from rich.console import Console
from rich.table import Table
from safetensors.torch import save_file
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder

from winnow.compute import device, precision
from winnow.encoders import embed, encoder, feature_cache
from winnow.encoders.embed import EmbedJob
from winnow.encoders.encoder import Checkpoint, Encoder
from winnow.files import json_files, outputs
from winnow.images import dataset, decoding, prepare, storage

HOME = Path(".winnow/benchmarks/embed")
TICK = 0.01  # seconds in which the system counts processor time
SIDE = 320  # pixels of images that are made up where no folder is given


def write(folder: Path, images: Iterable[bytes], shard: int = 2**28) -> None:
    """Write images as `prepare` leaves them, in one class, in files of about `shard` bytes."""
    (folder / "copies").mkdir(parents=True)
    found: list[tuple[str, str, int, str]] = []
    for number, part in enumerate(_parts(images, shard)):
        name = f"copies/{number:05d}.parquet"
        ids = [f"{len(found) + row:09d}" for row in range(len(part))]
        found += [
            (i, name, row, hashlib.sha256(image).hexdigest())
            for row, (i, image) in enumerate(zip(ids, part, strict=True))
        ]
        pq.write_table(pa.table({"id": ids, "image": part}), folder / name, row_group_size=256, compression="none")
    index = pd.DataFrame(found, columns=["id", "file", "place", "sha256"]).assign(
        label=0, split="train", width=0, height=0, size=storage.ROW, copied=True
    )
    index = index.assign(shard=[f"{i // prepare.SHARD:05d}" for i in index.index], row=index.index % prepare.SHARD)
    index.to_parquet(folder / "index.parquet", index=False)
    json_files.write_json(folder / "source.json", {"source": "."})
    json_files.write_json(folder / "classes.json", ["thing"])


def _parts(images: Iterable[bytes], size: int) -> Iterator[list[bytes]]:
    part: list[bytes] = []
    held = 0
    for image in images:
        part.append(image)
        held += len(image)
        if held >= size:
            yield part
            part, held = [], 0
    if part:
        yield part


def photographs(folder: Path | None, n: int) -> list[Path]:
    """`n` files spread evenly over a folder, or over noise that is made up where none is given."""
    if folder is None:
        folder, rng = HOME / "made", np.random.default_rng(0)
        (folder / "thing").mkdir(parents=True, exist_ok=True)
        for i in range(n):
            small = Image.fromarray(rng.integers(0, 256, (20, 20, 3)).astype(np.uint8))
            small.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(folder / "thing" / f"{i:06d}.jpg", quality=90)
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    return [found[i] for i in np.linspace(0, len(found) - 1, n).astype(int)]


def checkpoint(model: str) -> Checkpoint:
    """Random weights of an architecture, written once."""
    path = HOME / f"{model}.safetensors"
    if not path.exists():
        torch.manual_seed(0)
        state = open_clip.create_model(model).state_dict()
        with outputs.whole_file(path) as partial:
            save_file({name: tensor.contiguous() for name, tensor in state.items()}, partial)
    return Checkpoint(model, path)


class Bare:
    """The model alone."""

    def __init__(self, opened: Encoder, paths: list[Path], batch: int) -> None:
        pixels = decoding.pixels([path.read_bytes() for path in paths], "photographs", 0, opened.shape)
        tensor = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
        self.opened = opened
        self.batches = [opened.normalise(part / 255).to(opened.device) for part in tensor.split(batch)]

    @torch.no_grad()
    def __call__(self) -> None:
        """Encode every batch."""
        for batch in self.batches:
            with precision.autocast(self.opened.device):
                self.opened.model.encode_image(batch).cpu()  # type: ignore[operator]


class Winnow:
    """The stage, from shards to rows."""

    def __init__(self, opened: Encoder, paths: list[Path], work: EmbedJob) -> None:
        shutil.rmtree(work.images, ignore_errors=True)
        write(work.images, (path.read_bytes() for path in paths))
        self.work, self.data = work, dataset.load(work.images)
        self.cache = feature_cache.FeatureCache("benchmark", "benchmark", opened.texts(["thing"]).shape[1])
        self.device = opened.device
        decoding.FEW = 0  # processes, as for a data set that is worth the time to measure

    def __call__(self) -> None:
        """Encode every shard afresh."""
        shutil.rmtree(self.cache.folder, ignore_errors=True)
        self.cache.folder.mkdir(parents=True)
        embed.shards(self.work, self.cache, self.data.shards, device=self.device)
        assert self.cache.done() == len(self.data.index)


class OpenClip:
    """The loop of open_clip's zero-shot evaluation."""

    def __init__(self, opened: Encoder, paths: list[Path], batch: int) -> None:
        recipe = PreprocessCfg(**opened.model.visual.preprocess_cfg)  # type: ignore[union-attr, arg-type]
        transform = image_transform_v2(recipe, is_train=False)
        images = ImageFolder(
            str(paths[0].parents[1]), transform, is_valid_file=set(map(str, paths)).__contains__, allow_empty=True
        )
        self.loader = DataLoader(images, batch, num_workers=decoding.workers(), persistent_workers=True)
        self.opened = opened

    @torch.no_grad()
    def __call__(self) -> None:
        """Encode every image of the folder."""
        for images, _ in self.loader:
            with precision.autocast(self.opened.device):
                self.opened.model.encode_image(images.to(self.opened.device), normalize=True).cpu()  # type: ignore[operator]


def main(
    images: Annotated[
        Path | None,
        typer.Option(
            exists=True, file_okay=False, help="Folder of images, a folder a class; without it some are made up."
        ),
    ] = None,
    n: Annotated[int, typer.Option(min=8, help="Images a round.")] = 256,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds.")] = 3,
    batch_size: Annotated[int, typer.Option(min=1, help="Images a batch.")] = 32,
    model: Annotated[str, typer.Option(help="An architecture of open_clip.")] = "ViT-B-32",
) -> None:
    """Measure the embed stage."""
    paths = photographs(images, n)
    work = EmbedJob(HOME / "images", checkpoint(model), batch_size)
    opened = encoder.opened(work.checkpoint, device.best())
    legs: dict[str, Any] = {
        "bare": Bare(opened, paths, batch_size),
        "winnow": Winnow(opened, paths, work),
        "open_clip": OpenClip(opened, paths, batch_size),
    }
    rates: dict[str, list[float]] = {name: [] for name in legs}
    work_done: dict[str, list[float]] = {name: [] for name in legs}
    for turn in range(rounds + 1):
        for name, leg in legs.items():
            start, used = time.perf_counter(), processor_seconds()
            leg()
            if turn:  # the first starts workers and warms caches
                rates[name].append(n / (time.perf_counter() - start))
                work_done[name].append(n / max(processor_seconds() - used, TICK))
    shares, work_shares = (
        {name: statistics.median(np.divide(found[name], found["bare"]).tolist()) for name in legs}
        for found in (rates, work_done)
    )
    show(model, opened.device, rates, shares, work_shares)
    figures = {
        "images_per_second": statistics.median(rates["winnow"]),
        "bare_images_per_second": statistics.median(rates["bare"]),
        "share": shares["winnow"],
        "open_clip_share": shares["open_clip"],
        "processor_share": work_shares["winnow"],
        "open_clip_processor_share": work_shares["open_clip"],
    }
    print(json.dumps({key: round(value, 3) for key, value in figures.items()} | {"n": n, "model": model}))


def processor_seconds() -> float:
    """Seconds of all cores that this process and its workers have had."""
    this, total = psutil.Process(), 0.0
    for one in [this, *this.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):  # ended meanwhile
            total += sum(one.cpu_times()[:2])
    return total


def show(
    model: str, where: str, rates: dict[str, list[float]], shares: dict[str, float], work: dict[str, float]
) -> None:
    """Print the table."""
    kind = "bfloat16" if precision.native(torch.device(where).type) else "float32"
    table = Table(
        f"{model}, {where}, {kind}, {decoding.workers()} workers", "images/s", "share of bare", "in processor time"
    )
    for name, found in rates.items():
        table.add_row(name, f"{statistics.median(found):.1f}", f"{shares[name]:.0%}", f"{work[name]:.0%}")
    Console(width=100).print(table)


if __name__ == "__main__":
    typer.run(main)
