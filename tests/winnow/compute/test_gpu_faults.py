"""A batch that does not fit goes on in halves, and what happened to a GPU is said with what can be done."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from winnow.compute import gpu
from winnow.compute.gpu import LostError, Parts
from winnow.errors import WorkError


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40))
def test_parts_that_fit_give_what_the_whole_would(first: int, second: int, room: int) -> None:
    tried: list[int] = []

    def double(rows: Tensor) -> Tensor:
        tried.append(len(rows))
        if len(rows) > room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return 2 * rows

    parts = Parts()
    for n in (first, second):
        rows = torch.arange(n)[:, None]
        assert torch.equal(parts(double, rows), 2 * rows)
    refused = [size for size in tried if size > room]
    assert refused == sorted(set(refused), reverse=True)  # a size that did not fit is not tried again
    assert parts.most is None or parts.most <= max(room, 1)


def test_a_row_that_does_not_fit_is_an_error() -> None:
    def full(_: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        Parts()(full, torch.zeros(5, 2))


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried 2 GiB\nmore"), WorkError, "Tried 2 GiB); lower batch_size"),
        (
            torch.AcceleratorError("CUDA error: device lost\nmore"),
            LostError,
            "the GPU is lost (CUDA error: device lost)",
        ),
    ],
)
def test_what_happened_is_said_with_what_can_be_done(error: Exception, kind: type[Exception], words: str) -> None:
    with pytest.raises(WorkError) as raised, gpu.explained():
        raise error
    assert type(raised.value) is kind
    assert words in str(raised.value)
    assert "more" not in str(raised.value)
