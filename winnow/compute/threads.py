"""How many threads compute on the CPU: always the same number, whatever the machine has.

Sums of floating-point numbers depend on how many threads share them, and the last digits of a weight can decide which
image is kept. So whatever leads to a choice runs in `fixed`. Encoders do without: they gave the same bits with 1, 2, 3
and 4 threads, and would lose real speed. Trainings of the evaluation have a thread each (`training.cell_runner`).
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
