"""Compute on the CPU with a fixed number of threads, whatever the machine has and the caller has set.

The sum of floating-point numbers depends on how many threads share the work, and the last digit of a weight can decide
which image is kept. So everything that affects the choice runs in `fixed`. Encoders do not need it: they gave the same
bits with 1, 2, 3 and 4 threads, and would be slower. Each training of the evaluation has one thread
(`training.cell_runner`).
"""

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from threadpoolctl import threadpool_limits

from winnow.errors import WorkError

THREADS = 2

_one_at_a_time = threading.RLock()  # NumPy's number of threads belongs to the process
_computed = False
_forked = False


def _after_fork() -> None:
    global _forked  # noqa: PLW0603 the hook of a fork takes no argument
    _forked = _computed


os.register_at_fork(after_in_child=_after_fork)


@contextmanager
def fixed() -> Iterator[None]:
    """Compute with THREADS threads in the block, also where OMP_NUM_THREADS or the number of cores says otherwise.

    Blocks in several threads run one after another. Modes of torch that the caller set, such as `no_grad`, autocast, or
    another default type, do not count in the block and are as they were after it.

    Raises:
        WorkError: this process was forked from one that had run such a block; its threads are gone, and it would hang.
    """
    global _computed
    if _forked:
        raise WorkError(
            "cannot select or score in a process forked from one that already did, such as a DataLoader worker: it "
            "would hang; start the process with the method 'spawn', or select before"
        )
    with _one_at_a_time:
        _computed, before = True, torch.get_num_threads()
        torch.set_num_threads(THREADS)
        try:
            with threadpool_limits(THREADS, user_api="blas"), _modes():  # BLAS: of NumPy and SciPy
                yield
        finally:
            torch.set_num_threads(before)


@contextmanager
def _modes() -> Iterator[None]:
    """Compute as if the caller had set no mode of torch."""
    dtype = torch.get_default_dtype()
    with ExitStack() as modes:
        modes.enter_context(torch.inference_mode(False))
        modes.enter_context(torch.enable_grad())
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                modes.enter_context(torch.autocast(kind, enabled=False))
        if torch.get_default_device().type != "cpu":
            modes.enter_context(torch.device("cpu"))
        if dtype != torch.float32:
            modes.callback(torch.set_default_dtype, dtype)
            torch.set_default_dtype(torch.float32)
        yield
