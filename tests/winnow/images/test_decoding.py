"""Images are decoded ahead, in order, by threads or processes alike."""

import io
import threading
import time
from collections.abc import Iterable, Iterator
from itertools import count, islice

import numpy as np
import pytest
from PIL import Image

from winnow.errors import InputError
from winnow.images import decoding
from winnow.images.decoding import Batch


def png(value: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 3), (value, 0, 0)).save(file, "PNG")
    return file.getvalue()


def batched(encoded: Iterable[bytes], size: int) -> Iterator[Batch]:
    images = iter(encoded)
    for first in count(0, size):
        if not (some := list(islice(images, size))):
            return
        yield Batch("7", first, some)


def shape(image: Image.Image) -> Image.Image:
    return image.resize((2, 2))


@pytest.mark.parametrize(("n", "size"), [(0, 4), (3, 4), (4, 4), (9, 4), (70, 33)])
def test_every_image_in_order(n: int, size: int) -> None:
    found = list(decoding.batches(batched([png(i) for i in range(n)], size), shape, decoding.decoders(n)))
    assert [(batch.first, len(pixels)) for batch, pixels in found] == [(k, min(size, n - k)) for k in range(0, n, size)]
    assert [int(image[0, 0, 0]) for _, pixels in found for image in pixels] == list(range(n))


def test_processes_give_what_threads_give(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = [png(i) for i in range(40)]
    ((_, threads),) = decoding.batches(batched(encoded, 64), Image.Image.copy, decoding.decoders(1))
    monkeypatch.setattr(decoding, "FEW", 0)
    ((_, processes),) = decoding.batches(batched(encoded, 64), Image.Image.copy, decoding.decoders(1))
    assert (threads == processes).all()
    assert decoding.decoders(1) is decoding.decoders(2)  # held for the next shard


def test_an_image_that_cannot_be_read_any_more_is_named() -> None:
    encoded = batched([png(0), png(1), b"no image"], 2)
    with pytest.raises(InputError, match=r"image 2 of shard 7 cannot be read any more"):
        list(decoding.batches(encoded, shape, decoding.decoders(3)))


def test_only_a_few_batches_are_read_ahead() -> None:
    read = []

    def images() -> Iterator[bytes]:
        for i in range(100):
            read.append(i)
            yield png(i)

    batches = decoding.batches(batched(images(), 2), shape, decoding.decoders(100))
    assert len(next(batches)[1]) == 2
    time.sleep(0.3)
    assert len(read) <= 2 * (decoding.AHEAD + 4)
    before = threading.active_count()
    batches.close()  # type: ignore[attr-defined]
    time.sleep(1.5)
    assert threading.active_count() < before


def test_a_batch_is_of_whole_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "PIECE", 3)
    ((_, found),) = decoding.batches(batched([png(i) for i in range(8)], 8), shape, decoding.decoders(8))
    assert found.shape == (8, 2, 2, 3)
    assert found.dtype == np.uint8
