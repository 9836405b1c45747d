"""Decode images in parallel: for `prepare`, which screens them, and for `embed`, ahead of the encoder.

Processes decode if there are many images. A few are decoded in threads, in less time than processes take to start.

Why not torch's DataLoader: on two cores it decoded 290 to 590 photographs/s, and these processes 620 to 900. It has no
threads for a few images. It also passes batches through shared memory, of which a container has 64 MiB by default: the
first batches do not fit, and the run hangs.
"""

import multiprocessing
import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache
from multiprocessing import util
from typing import NamedTuple, TypeVar

import numpy as np
from PIL import Image

from winnow.compute import device
from winnow.errors import InputError
from winnow.images import memory, picture

T = TypeVar("T")
Shape = Callable[[Image.Image], Image.Image]

PIECE = 16  # images in one job of a worker
AHEAD = 2  # batches ready or in the making while the encoder has one
FEW = 20_000  # images that threads decode about as soon as processes have started


def workers() -> int:
    """Workers that decode: one a core."""
    return device.cores()


def few(images: int) -> bool:
    """Whether threads decode: so few images, or in a process that may have no children.

    Daemonic processes may have none, and Dask starts its workers as such unless told otherwise.
    """
    return images <= FEW or multiprocessing.current_process().daemon


def start(*, threads: bool) -> Executor:
    """Start workers that decode, one a core; they share the memory that is free now (`images.memory`)."""
    if threads:
        budget = memory.share(workers(), threading)
        return ThreadPoolExecutor(workers(), "decode", initializer=memory.begin, initargs=(budget,))
    context = multiprocessing.get_context("forkserver")  # this process has threads, which a plain fork would break
    preload = [__name__, "winnow.images.screen", "open_clip", "prefect"]  # what workers import, once for all
    context.set_forkserver_preload(preload)
    pool = ProcessPoolExecutor(workers(), context, initializer=_begin, initargs=(memory.share(workers(), context),))
    util.Finalize(None, pool.shutdown, exitpriority=100)  # before a child waits for its children, and its queues close
    return pool


def decoders(images: int) -> Executor:
    """Who decodes `images` images; the same workers each time that this process asks."""
    return _kept(threads=few(images))


_kept = lru_cache(maxsize=2)(start)
os.register_at_fork(after_in_child=_kept.cache_clear)  # a fork has none of its parent's workers


def _begin(budget: memory.MemoryBudget) -> None:
    """Share memory with the other workers, and end with the parent: if it is killed, its queue would block forever."""
    memory.begin(budget)
    parent = multiprocessing.parent_process()
    assert parent

    def end() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end, daemon=True).start()


class Batch(NamedTuple):
    """Encoded images of a shard, from place `first` on."""

    shard: str
    first: int
    images: list[bytes]


def batches(encoded: Iterator[Batch], shape: Shape, pool: Executor) -> Iterator[tuple[Batch, np.ndarray]]:
    """Decode batches of images, in order.

    Args:
        encoded: the images.
        shape: brings an image to the size of all.
        pool: who decodes.

    Yields:
        Each batch with its (B, h, w, 3) uint8.

    Raises:
        InputError: an image cannot be read any more.
    """
    return _ahead(_batches(encoded, shape, pool))


def _batches(encoded: Iterator[Batch], shape: Shape, pool: Executor) -> Iterator[tuple[Batch, np.ndarray]]:
    jobs: deque[tuple[Batch, list[Future[np.ndarray]]]] = deque()
    for batch in encoded:
        shard, first, images = batch
        pieces = [(first + k, images[k : k + PIECE]) for k in range(0, len(images), PIECE)]
        jobs.append((batch, [pool.submit(pixels, piece, shard, start, shape) for start, piece in pieces]))
        if len(jobs) == AHEAD:
            yield _joined(*jobs.popleft())
    while jobs:
        yield _joined(*jobs.popleft())


def _joined(batch: Batch, jobs: list[Future[np.ndarray]]) -> tuple[Batch, np.ndarray]:
    """A batch in one array, in memory that a GPU copies from by itself where there is one."""
    import torch

    pieces = [job.result() for job in jobs]
    shape = len(batch.images), *pieces[0].shape[1:]
    block = torch.empty(shape, dtype=torch.uint8, pin_memory=torch.cuda.is_available()).numpy()
    return batch, np.concatenate(pieces, out=block)


def pixels(encoded: list[bytes], shard: str, first: int, shape: Shape) -> np.ndarray:
    """(n, h, w, 3) uint8 of encoded images, the first of which is image `first` of a shard."""
    images = []
    for row, data in enumerate(encoded, first):
        try:
            with memory.turn() as claim:
                images.append(np.asarray(shape(picture.decode(data, claim))))
        except picture.UnreadableImage as error:
            raise InputError(
                f"image {row} of shard {shard} cannot be read any more ({error}); run prepare again"
            ) from error
    return np.stack(images)


def _ahead(items: Iterator[T]) -> Iterator[T]:
    """Go through `items` in a thread that is one item ahead."""
    ready: queue.Queue[T | BaseException | None] = queue.Queue(1)
    stopped = threading.Event()

    def offer(item: T | BaseException | None) -> None:
        while not stopped.is_set():
            with suppress(queue.Full):
                ready.put(item, timeout=1)
                return

    def fill() -> None:
        try:
            for item in items:
                offer(item)
                if stopped.is_set():
                    return
            offer(None)
        except BaseException as error:  # raised again where the items are used
            offer(error)

    threading.Thread(target=fill, daemon=True).start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
