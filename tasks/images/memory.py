"""Bound the memory of the images that workers decode at the same time: large ones take turns.

Each worker may use an equal share of half the memory that is free. An image that needs more waits until no other such
image is being decoded. So the workers together need about half the memory, and one large image.
"""

import ctypes
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

BYTES = 16  # a pixel needs at most while it is decoded, as measured: 4 to 10 in PNG and JPEG, 16 in WebP
CGROUPS = Path("/sys/fs/cgroup")

Claim = Callable[[int], None]

_small = 2**62  # pixels of an image that needs no turn
_turn: AbstractContextManager[Any] = threading.Lock()


def begin(small: int, turn: AbstractContextManager[Any]) -> None:
    """Initialize a worker: images of more than `small` pixels take a turn, a lock that the workers share."""
    global _small, _turn
    _small, _turn = small, turn


def small(workers: int) -> int:
    """Pixels of an image that each of some workers can decode at the same time."""
    return available() // 2 // workers // BYTES


@contextmanager
def turn() -> Iterator[Claim]:
    """Yield a function to call with the pixels of an image before it is decoded; it waits for its turn if it is large.

    The turn lasts until this context ends, when the image is no longer needed.
    """
    with ExitStack() as stack:

        def claim(pixels: int) -> None:
            if pixels > _small:
                stack.enter_context(_turn)
                stack.callback(_give_back)

        yield claim


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
