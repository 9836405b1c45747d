"""Memory of the embed stage as the number of images grows: it must not.

    python -m benchmarks.flat [--n 1000000] [--folder .winnow/benchmarks/flat]

Small images are made up and written as `prepare` leaves them, then embedded with a tiny model: a tenth of them first,
then all. The resident memory of the process and of those that decode for it is looked at all the time; mapped files
count, and what processes share counts in parts that add up. The last line is one JSON object: the greatest sums, and
the bytes that one more image costs.
"""

import json
import multiprocessing
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import numpy as np
import open_clip
import psutil
import torch
import typer
from rich.console import Console
from rich.table import Table
from safetensors.torch import save_file

from benchmarks.embed import write
from flows import device
from tasks import embed, files
from tasks.embed import Work
from tasks.encoders.encoder import Checkpoint
from tasks.images import decoding

SIDE, SHARD, BATCH, PAUSE = 8, 2**24, 1024, 0.2
TINY = {
    "embed_dim": 512,
    "vision_cfg": {"image_size": SIDE, "layers": 1, "width": 32, "patch_size": SIDE, "head_width": 32},
    "text_cfg": {"context_length": 8, "vocab_size": 49408, "width": 32, "heads": 1, "layers": 1},
}


def pictures(n: int) -> Iterator[bytes]:
    """`n` different images of a few pixels, as binary PPM: small, and quick to make and to read."""
    rng, head = np.random.default_rng(0), f"P6 {SIDE} {SIDE} 255 ".encode()
    for _ in range(n):
        yield head + rng.bytes(SIDE * SIDE * 3)


def model(folder: Path) -> Checkpoint:
    """A model so small that all the rest is what is measured."""
    if not folder.exists():
        with files.whole_folder(folder) as room:
            (room / "open_clip_config.json").write_text(json.dumps({"model_cfg": TINY, "preprocess_cfg": {}}))
            torch.manual_seed(0)
            state = open_clip.create_model(f"local-dir:{room}", load_weights=False).state_dict()
            save_file(
                {name: tensor.contiguous() for name, tensor in state.items()}, room / "open_clip_model.safetensors"
            )
    return Checkpoint("local-dir", folder)


def run(work: Work, folder: Path) -> None:
    """Embed in `folder`, as the stage does."""
    os.chdir(folder)
    decoding.FEW = 0  # processes, as for a data set that is worth the time to measure
    embed.run_encoder(work, folder / "out", ["a {}"], work.images / "classes.json", device=device.best())


def measured(work: Work, folder: Path) -> dict[str, float]:
    """Seconds, and the greatest resident memory in MiB of a new process and its children."""
    start, peak = time.perf_counter(), 0
    process = multiprocessing.get_context("spawn").Process(target=run, args=(work, folder))
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
        images = folder / str(count)
        if not images.exists():
            with files.whole_folder(images) as room:
                write(room, pictures(count), SHARD)
        work = Work(images, tiny, BATCH)
        found[count] = measured(work, folder)
        shutil.rmtree(folder / "out")
        shutil.rmtree(folder / ".winnow", ignore_errors=True)
    show(found)
    few, many = (found[count] for count in (n // 10, n))
    figures = {
        "peak_gib": many["mib"] / 2**10,
        "peak_gib_of_a_tenth": few["mib"] / 2**10,
        "bytes_an_image": (many["mib"] - few["mib"]) * 2**20 / (n - n // 10),
        "images_per_second": n / many["seconds"],
    }
    print(json.dumps({key: round(value, 3) for key, value in figures.items()} | {"n": n}))


def show(found: dict[int, dict[str, float]]) -> None:
    """Print the table."""
    table = Table("images", "peak MiB", "seconds", "images/s")
    for count, one in found.items():
        table.add_row(f"{count:,}", f"{one['mib']:,.0f}", f"{one['seconds']:.1f}", f"{count / one['seconds']:,.0f}")
    Console(width=80).print(table)


if __name__ == "__main__":
    typer.run(main)
