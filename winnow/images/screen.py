"""Read and decode every image once: its hash and size, its flaws, or why it cannot be read.

The workers (`images.decoding`) read the files. They return only numbers, and the bytes of images damaged on purpose.
"""

import hashlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Future
from dataclasses import dataclass

import numpy as np
import pandas as pd
from PIL import Image
from rich.progress import track

from winnow.errors import InputError
from winnow.images import decoding, flaws, memory, picture, plant, png, storage
from winnow.terminal import bars

CHUNK = 512  # images that a worker gets at a time


@dataclass(frozen=True)
class Screened:
    """A chunk of images as they were found.

    Attributes:
        table: a row an image, by the position in the source: reason ("" where it could be read), width, height, size,
            sha256.
        measures: (n, len(flaws.MEASURES)) float32, NaN where it could not be read.
        damaged: the new bytes of the images in which damage was planted, by position.
    """

    table: pd.DataFrame
    measures: np.ndarray
    damaged: dict[int, bytes]


def screen(base: str, table: pd.DataFrame, seed: int, *, follow_links: bool = True) -> Iterator[Screened]:
    """Screen the images at the places that `table` names, in order, chunk by chunk.

    Args:
        base: what files are relative to.
        table: file, place, size and the damage to plant ("" for none); its index is the position in the source.
        seed: of the damage.
        follow_links: read what a link leads to outside `base`, too.

    Raises:
        InputError: a Parquet file is damaged, or an image ends the process that decodes it.
    """
    chunks = [table[start : start + CHUNK] for start in range(0, len(table), CHUNK)]
    waiting: deque[Future[Screened]] = deque()
    here_alone = base.startswith("memory:")  # a file system in the memory of this process
    pool = decoding.start(threads=here_alone or decoding.few(len(table)))
    try:
        for chunk in track(chunks, "prepare", disable=bars.hidden(), transient=True):
            waiting.append(pool.submit(_screen, base, chunk, seed, follow_links))
            if len(waiting) > 2 * decoding.workers():  # so many results at most wait to be taken
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenExecutor as error:
        raise InputError("prepare: a process that decodes images was ended: out of memory?") from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _screen(base: str, chunk: pd.DataFrame, seed: int, follow_links: bool) -> Screened:
    found, measures, damaged = [], np.full((len(chunk), len(flaws.MEASURES)), np.nan, np.float32), {}
    images = storage.read(base, chunk, follow_links=follow_links)
    for row, (position, damage, data) in enumerate(zip(chunk.index, chunk["damage"], images, strict=True)):
        with memory.turn() as claim:
            image = read(data, claim)
            if isinstance(image, str) or isinstance(data, OSError):
                found.append((image, 0, 0, 0, ""))
                continue
            stored = data
            if damage:
                image = plant.damage_image(image, damage, np.random.default_rng([seed, position]))
                damaged[position] = stored = png.encode(image)
            measures[row] = flaws.measure(image)
            found.append(("", image.width, image.height, len(stored), hashlib.sha256(stored).hexdigest()))
            del image  # before the next one takes its turn
    return Screened(
        pd.DataFrame(found, chunk.index, ["reason", "width", "height", "size", "sha256"]), measures, damaged
    )


def read(data: bytes | OSError, claim: memory.Claim | None = None) -> Image.Image | str:
    """The image, or the reason why it cannot be read."""
    if isinstance(data, FileNotFoundError):
        return "missing"
    if isinstance(data, OSError):
        return f"unreadable: {data.strerror or data}"
    if not data:
        return "empty"
    try:
        return picture.decode(data, claim)
    except picture.UnreadableImage as error:
        return str(error)
