"""One stage at a time in a project: one that goes on although the DVC that started it was killed is waited for."""

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tasks.files import SCRATCH

PLACE = SCRATCH / "stage.lock"


@contextmanager
def taken(stage: str) -> Iterator[None]:
    """Wait until no other stage works in this project, and say for which; the next one waits for this block.

    The lock is the process's own: it ends with it, however that ends, and no process that it started holds on to it.
    """
    SCRATCH.mkdir(exist_ok=True)
    with PLACE.open("a+") as lock:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            print(
                f"winnow: {lock.read()} is still at work in this project, and is waited for",
                file=sys.stderr,
                flush=True,
            )
            fcntl.lockf(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        lock.write(f"the stage {stage} (end it with: kill {os.getpid()})")
        lock.flush()
        yield
        lock.truncate(0)
