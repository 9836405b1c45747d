"""Limit the memory of the images that workers decode at the same time.

A quarter of the free memory is for small images, an equal share for each worker; they never wait. Half of it is for
large images, which wait until there is room. An image that needs more than that is decoded alone.
"""

import ctypes
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from multiprocessing.context import BaseContext
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import psutil

# Bytes that a pixel needs while it is decoded, as measured at most: 4 for most JPEG and PNG, 13 for a transparent AVIF.
BYTES = {"JPEG2000": 25, "WEBP": 18}
OTHERS = 13
PARTS = 64  # the memory for large images is given out in parts

CGROUPS = Path("/sys/fs/cgroup")

Claim = Callable[[str, int], None]


class MemoryBudget(NamedTuple):
    """The memory that some workers share for images.

    Attributes:
        small: bytes of an image that needs not wait.
        part: bytes of a part of the memory for large images.
        queue: a lock, so that images get their parts one after the other.
        parts: a semaphore, the parts that are free.
    """

    small: int
    part: int
    queue: AbstractContextManager[Any]
    parts: Any


_budget = MemoryBudget(2**62, 1, threading.Lock(), None)


def share(workers: int, context: BaseContext | ModuleType) -> MemoryBudget:
    """Share the memory that is free now among workers, whose locks `context` makes: `threading` or multiprocessing."""
    free = available()
    return MemoryBudget(free // 4 // workers, max(1, free // 2 // PARTS), context.Lock(), context.Semaphore(PARTS))


def begin(shared: MemoryBudget) -> None:
    """Initialize a worker, a thread or a process."""
    global _budget  # noqa: PLW0603 a process has one
    _budget = shared


@contextmanager
def turn() -> Iterator[Claim]:
    """Yield a function to call with an image's format and pixels before it is decoded: it waits until there is enough.

    The memory is kept until this context ends, when the image is no longer needed.
    """
    with ExitStack() as stack:

        def claim(kind: str, pixels: int) -> None:
            need = pixels * BYTES.get(kind, OTHERS)
            if need > _budget.small:
                stack.enter_context(_taken(min(PARTS, -(-need // _budget.part))))

        yield claim


@contextmanager
def _taken(count: int) -> Iterator[None]:
    with _budget.queue:
        for _ in range(count):
            _budget.parts.acquire()
    try:
        yield
    finally:
        _give_back()
        for _ in range(count):
            _budget.parts.release()


def _give_back() -> None:
    """Return memory that was freed to the system: else glibc keeps it for the thread that used it."""
    with suppress(AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def available() -> int:
    """Bytes of memory that are free for this process: the machine's, or its control group's where that has fewer."""
    return min([int(psutil.virtual_memory().available), *_left_in_groups()])


def _left_in_groups(groups: Path = CGROUPS, own: Path = Path("/proc/self/cgroup")) -> Iterator[int]:
    """What each control group (v2) around this process has left, cached files not counted."""
    try:
        name = next(line[3:] for line in own.read_text().splitlines() if line.startswith("0::"))
    except (OSError, StopIteration):
        return
    folder = groups / name.strip("/")
    for group in (folder, *folder.parents):
        if not group.is_relative_to(groups):
            return
        try:
            most = (group / "memory.max").read_text().strip()
            used = int((group / "memory.current").read_text())
            cached = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())["inactive_file"]
        except (OSError, ValueError, KeyError):
            continue
        if most != "max":
            yield max(0, int(most) - used + int(cached))
