"""Compute on the CPU with a fixed number of threads, whatever the machine has.

The sum of floating-point numbers depends on how many threads share the work, and the last digit of a weight can decide
which image is kept. So everything that affects the choice runs in `fixed`. Encoders do not need it: they gave the same
bits with 1, 2, 3 and 4 threads, and would be slower. Each training of the evaluation has one thread
(`training.cell_runner`).
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits

THREADS = 2


@contextmanager
def fixed() -> Iterator[None]:
    """Compute with THREADS threads in the block, also where OMP_NUM_THREADS or the number of cores says otherwise."""
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    try:
        with threadpool_limits(THREADS, user_api="blas"):  # of NumPy and SciPy
            yield
    finally:
        torch.set_num_threads(before)
