"""Handle GPU failures: a batch that does not fit into memory, or a device that is lost."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from winnow.errors import WorkError

log = logging.getLogger(__name__)


class LostError(WorkError):
    """The GPU is gone, or an error left it in a state in which this process can use it no more."""


class Parts:
    """Runs a function on batches in parts that fit into memory: where one does not, in halves from then on.

    Attributes:
        most: rows of a part; None while whole batches fit.
    """

    def __init__(self, most: int | None = None) -> None:
        self.most = most

    def __call__(self, run: Callable[[Tensor], Tensor], batch: Tensor) -> Tensor:
        """`run` of (n, ...) rows, whose result has a row for each that depends on no other.

        Raises:
            torch.OutOfMemoryError: a single row does not fit.
        """
        while True:
            size = min(self.most or len(batch), len(batch))
            try:
                return torch.cat([run(part) for part in batch.split(size)]) if size < len(batch) else run(batch)
            except torch.OutOfMemoryError:
                if size <= 1:
                    raise
            self.most = -(-size // 2)
            torch.cuda.empty_cache()
            log.warning("out of memory: going on with %d images at a time", self.most)


@contextmanager
def explained() -> Iterator[None]:
    """Say what can be done about a GPU that is full or lost.

    Raises:
        WorkError: it has no memory left.
        LostError: it is lost.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise WorkError(
            f"no memory is left on the GPU ({_first(error)}); lower batch_size, or let nothing else use "
            "it (nvidia-smi shows what does)"
        ) from error
    except torch.AcceleratorError as error:
        raise LostError(
            f"the GPU is lost ({_first(error)}); look at it with nvidia-smi, and start again: what is finished is kept"
        ) from error


def _first(error: Exception) -> str:
    return str(error).partition("\n")[0]
