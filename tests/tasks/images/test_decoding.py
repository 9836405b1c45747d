"""Images are decoded ahead, in order, by threads or processes alike."""

import io
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from tasks.errors import InputError
from tasks.images import decoding


def png(value: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 3), (value, 0, 0)).save(file, "PNG")
    return file.getvalue()


def shape(image: Image.Image) -> Image.Image:
    return image.resize((2, 2))


@pytest.mark.parametrize(("count", "size"), [(0, 4), (3, 4), (4, 4), (9, 4), (70, 33)])
def test_every_image_in_order(count: int, size: int) -> None:
    encoded = iter([png(i) for i in range(count)])
    found = list(decoding.batches(encoded, "a", size, shape, decoding.decoders(count)))
    assert [len(batch) for batch in found] == [min(size, count - k) for k in range(0, count, size)]
    assert [int(image[0, 0, 0]) for batch in found for image in batch] == list(range(count))


def test_processes_give_what_threads_give(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = [png(i) for i in range(40)]
    (threads,) = decoding.batches(iter(encoded), "a", 64, Image.Image.copy, decoding.decoders(1))
    monkeypatch.setattr(decoding, "FEW", 0)
    (processes,) = decoding.batches(iter(encoded), "a", 64, Image.Image.copy, decoding.decoders(1))
    assert (threads == processes).all()
    assert decoding.decoders(1) is decoding.decoders(2)  # held for the next shard


def test_an_image_that_cannot_be_read_any_more_is_named() -> None:
    encoded = iter([png(0), png(1), b"no image"])
    with pytest.raises(InputError, match=r"image 2 of shard 7 cannot be read any more"):
        list(decoding.batches(encoded, "shard 7", 2, shape, decoding.decoders(3)))


def test_only_a_few_batches_are_read_ahead() -> None:
    read = []

    def images() -> Iterator[bytes]:
        for i in range(100):
            read.append(i)
            yield png(i)

    batches = decoding.batches(images(), "a", 2, shape, decoding.decoders(100))
    assert len(next(batches)) == 2
    time.sleep(0.3)
    assert len(read) <= 2 * (decoding.AHEAD + 4)
    before = threading.active_count()
    batches.close()  # type: ignore[attr-defined]
    time.sleep(1.5)
    assert threading.active_count() < before


def test_a_batch_is_of_whole_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "PIECE", 3)
    (batch,) = decoding.batches(iter([png(i) for i in range(8)]), "a", 8, shape, decoding.decoders(8))
    assert batch.shape == (8, 2, 2, 3)
    assert batch.dtype == np.uint8
