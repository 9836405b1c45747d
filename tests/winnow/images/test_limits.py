"""Small files that would need gigabytes or hours are refused before they are decoded."""

import io
import re
import struct
import time
import zlib
from pathlib import Path

import pytest
from PIL import Image

from winnow.images import limits, picture

RED = Image.new("RGB", (64, 48), "red")


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def peak() -> int:
    """The most memory that this process had, in KiB."""
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found
    return int(found[1])


def refused(data: bytes) -> str:
    """Why an image is refused, at next to no cost."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    begin, before = time.perf_counter(), peak()
    with pytest.raises(picture.UnreadableImage) as caught:
        picture.decode(data)
    assert time.perf_counter() - begin < 1
    assert peak() - before < 64 * 2**10
    return str(caught.value)


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))

    header = struct.pack(">LLBBBBB", width, height, 8, 6, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(("width", "height"), [(9460, 9460), (20_000, 20_000), (2**31 - 1, 2**31 - 1)])
def test_more_pixels_than_the_limit_are_refused_with_both_numbers(width: int, height: int) -> None:
    assert refused(png(width, height)) == f"its {width * height:,} pixels exceed the limit of 89,478,485"


@pytest.mark.parametrize("size", [(1, 65_000), (65_000, 1)])
def test_a_long_line_is_read(size: tuple[int, int]) -> None:
    for kind in ("PNG", "JPEG", "TIFF"):
        assert picture.decode(encoded(Image.new("RGB", size, "red"), kind)).size == size


def test_an_icon_is_not_decoded_to_learn_its_size() -> None:
    for frame in (png(13_000, 13_000), struct.pack("<LllHHLLllLL", 40, 13_000, 26_000, 1, 32, 0, 0, 0, 0, 0, 0)):
        icon = b"\0\0\1\0\1\0" + bytes([16, 16, 0, 0]) + struct.pack("<HHLL", 1, 32, len(frame), 22) + frame
        assert "pixels exceed the limit" in refused(icon)
    assert picture.decode(encoded(RED, "ICO", sizes=[(16, 16), (32, 32)])).size == (32, 24)
    assert refused(b"\0\0\1\0\xff\xff" + bytes(40)) == "damaged or cut short: its header cannot be read"


def test_a_tile_larger_than_the_limit_is_refused_however_small_the_image() -> None:
    tags = {256: 16, 257: 16, 258: 8, 259: 8, 262: 1, 277: 1, 322: 46_000, 323: 46_000, 324: 200, 325: 9}
    rows = b"".join(struct.pack("<HHLL", tag, 4, 1, value) for tag, value in tags.items())
    tiff = b"II*\0" + struct.pack("<LH", 8, len(tags)) + rows + bytes(99)
    assert refused(tiff) == "a tile is too large: its 2,116,000,000 pixels exceed the limit of 89,478,485"
    assert picture.decode(encoded(RED, "TIFF", tiffinfo={322: 16, 323: 16})).size == (64, 48)


def test_a_jpeg_of_a_thousand_scans_is_refused() -> None:
    data = encoded(RED, "JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    assert refused(data[:-2] + 1000 * last + b"\xff\xd9").endswith("scans exceed the limit of 200")
    assert picture.decode(data[:-2] + 50 * last + b"\xff\xd9").size == (64, 48)


def test_what_follows_the_end_of_a_jpeg_counts_as_no_scan() -> None:
    data = encoded(RED, "JPEG")
    assert picture.decode(data + b"\xff\xda" * 1000).tobytes() == picture.decode(data).tobytes()
    assert limits.undecoded(Image.open(io.BytesIO(data)), data) is None
