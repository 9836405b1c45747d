"""Memory of prepare and embed as the number of images grows: it must not.

    python -m benchmarks.flat [--n 1000000] [--folder .winnow/benchmarks/flat]

Small images are made up and written as tar shards, prepared, then embedded with a tiny model: a tenth of them first,
then all. The resident memory of the process and of those that read and decode for it is looked at all the time; mapped
files count, and what processes share counts in parts that add up. The last line is one JSON object: the greatest sums
of each stage, and the bytes that one more image costs.
"""

import json
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import numpy as np
import open_clip
import psutil
import torch
import typer
import webdataset
from rich.console import Console
from rich.progress import track
from rich.table import Table
from safetensors.torch import save_file

from winnow.compute import device
from winnow.encoders import embed
from winnow.encoders.embed import EmbedJob
from winnow.encoders.encoder import Checkpoint
from winnow.files import outputs
from winnow.images import decoding, prepare
from winnow.sources import open_source

SIDE, SHARD, CLASSES, BATCH, PAUSE = 8, 50_000, 100, 1024, 0.2
TINY = {
    "embed_dim": 512,
    "vision_cfg": {"image_size": SIDE, "layers": 1, "width": 32, "patch_size": SIDE, "head_width": 32},
    "text_cfg": {"context_length": 8, "vocab_size": 49408, "width": 32, "heads": 1, "layers": 1},
}


def write(folder: Path, n: int) -> None:
    """Write `n` different images of a few pixels as tar shards: binary PPM is small, and quick to make and to read."""
    rng, head = np.random.default_rng(0), f"P6 {SIDE} {SIDE} 255 ".encode()
    for shard in track(range(-(-n // SHARD)), "write"):
        with webdataset.TarWriter(str(folder / f"train-{shard:05d}.tar"), encoder=False, mtime=0) as writer:
            for i in range(shard * SHARD, min(n, (shard + 1) * SHARD)):
                pixels = head + rng.bytes(SIDE * SIDE * 3)
                writer.write({"__key__": f"{i:08d}", "ppm": pixels, "cls": str(i % CLASSES).encode()})


def model(folder: Path) -> Checkpoint:
    """A model so small that all the rest is what is measured."""
    if not folder.exists():
        with outputs.whole_folder(folder) as room:
            (room / "open_clip_config.json").write_text(json.dumps({"model_cfg": TINY, "preprocess_cfg": {}}))
            torch.manual_seed(0)
            state = open_clip.create_model(f"local-dir:{room}", load_weights=False).state_dict()
            save_file(
                {name: tensor.contiguous() for name, tensor in state.items()}, room / "open_clip_model.safetensors"
            )
    return Checkpoint("local-dir", folder)


def run_prepare(folder: Path, source: Path) -> None:
    """Prepare in `folder`, as the stage does."""
    os.chdir(folder)
    prepare.run(
        open_source(source), folder / "prepare", test_share=0.1, max_rejected=0, wrong_labels=0, damaged=0, seed=0
    )


def run_embed(folder: Path, tiny: Checkpoint) -> None:
    """Embed in `folder`, as the stage does."""
    os.chdir(folder)
    decoding.FEW = 0  # processes, as for a data set that is worth the time to measure
    images = folder / "prepare/images"
    embed.run_encoder(
        EmbedJob(images, tiny, BATCH), folder / "embed", ["a {}"], images / "classes.json", device=device.best()
    )


def measured(stage: Callable[..., None], *given: object) -> dict[str, float]:
    """Seconds, and the greatest resident memory in MiB of a new process and its children."""
    start, peak = time.perf_counter(), 0
    process = multiprocessing.get_context("spawn").Process(target=stage, args=given)
    process.start()
    while process.is_alive():
        process.join(PAUSE)
        with suppress(psutil.NoSuchProcess):
            whole = psutil.Process(process.pid)
            peak = max(peak, sum(one.memory_full_info().pss for one in [whole, *whole.children(recursive=True)]))
    if process.exitcode:
        raise typer.Exit(process.exitcode)
    return {"seconds": time.perf_counter() - start, "mib": peak / 2**20}


def main(
    n: Annotated[int, typer.Option(min=1000, help="Images.")] = 1_000_000,
    folder: Annotated[Path, typer.Option(help="Where they are made, once.")] = Path(".winnow/benchmarks/flat"),
) -> None:
    """Measure memory and time of a tenth of the images, and of all."""
    folder = folder.absolute()
    tiny, found = model(folder / "model"), {}
    for count in (n // 10, n):
        source, work = folder / f"{count}-source", folder / f"{count}-work"
        if not source.exists():
            with outputs.whole_folder(source) as room:
                write(room, count)
        work.mkdir()
        found["prepare", count] = measured(run_prepare, work, source)
        found["embed", count] = measured(run_embed, work, tiny)
        shutil.rmtree(work)
    show(found)
    print(
        json.dumps({"n": n} | {key: value for stage in ("prepare", "embed") for key, value in figures(found, stage, n)})
    )


def figures(found: dict[tuple[str, int], dict[str, float]], stage: str, n: int) -> list[tuple[str, float]]:
    """What the last line says of a stage."""
    few, many = (found[stage, count] for count in (n // 10, n))
    said = {
        "peak_gib": many["mib"] / 2**10,
        "peak_gib_of_a_tenth": few["mib"] / 2**10,
        "bytes_an_image": (many["mib"] - few["mib"]) * 2**20 / (n - n // 10),
        "images_per_second": n / many["seconds"],
    }
    return [(f"{stage}_{key}", round(value, 3)) for key, value in said.items()]


def show(found: dict[tuple[str, int], dict[str, float]]) -> None:
    """Print the table."""
    table = Table("stage", "images", "peak MiB", "seconds", "images/s")
    for (stage, n), one in found.items():
        table.add_row(stage, f"{n:,}", f"{one['mib']:,.0f}", f"{one['seconds']:.1f}", f"{n / one['seconds']:,.0f}")
    Console(width=80).print(table)


if __name__ == "__main__":
    typer.run(main)
