"""Refuse images that cost too much to decode: even a small file can take gigabytes or hours."""

import struct

from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import TiffImageFile

from winnow.images.metadata import segments

SCANS = 200  # passes over a progressive JPEG, each of which takes as long as a whole image; encoders make about 10
TILE = 322, 323  # tags of a TIFF: width and height of a tile


def limit() -> int:
    """Pixels that an image may have: Pillow's limit."""
    return Image.MAX_IMAGE_PIXELS or 2**31


def too_many(pixels: int) -> str | None:
    """A reason to refuse an image of so many pixels, if there is one."""
    return f"its {pixels:,} pixels exceed the limit of {limit():,}" if pixels > limit() else None


def unopened(data: bytes) -> str | None:
    """A reason not to open a file: Pillow decodes an icon as it opens it, whatever sizes its directory claims."""
    if not data.startswith(b"\0\0\1\0") or len(data) < 6:
        return None
    rows = data[6 : 6 + 16 * int.from_bytes(data[4:6], "little")]
    places = (struct.unpack_from("<L", rows, row + 12)[0] for row in range(0, len(rows) - 15, 16))
    return too_many(max((_frame(data[place : place + 24]) for place in places), default=0))


def _frame(start: bytes) -> int:
    """Pixels of a frame of an icon, which is a PNG or a bitmap."""
    if len(start) < 24:
        return 0
    width, height = (
        struct.unpack_from(">LL", start, 16) if start.startswith(b"\x89PNG") else struct.unpack_from("<ll", start, 4)
    )
    return abs(width * height)


def undecoded(image: Image.Image, data: bytes) -> str | None:
    """A reason not to decode an image that was opened."""
    if isinstance(image, TiffImageFile) and (reason := too_many(_tile(image))):
        return f"a tile is too large: {reason}"
    if isinstance(image, JpegImageFile) and (scans := _scans(image, data)) > SCANS:
        return f"its {scans:,} scans exceed the limit of {SCANS}"
    return too_many(image.width * image.height)


def _tile(image: TiffImageFile) -> int:
    """Pixels of a tile, which is decoded whole, however small the image is."""
    width, height = (image.tag_v2.get(tag, 0) for tag in TILE)
    return int(width) * int(height)


def _scans(image: JpegImageFile, data: bytes) -> int:
    """How many scans a JPEG has before its end: their markers cannot occur within them."""
    whole = any(marker == 0xDA and data[begin + 4] == image.layers for marker, begin, _ in segments(data))
    if whole and not image.info.get("progressive"):
        return 1  # every component is in the first
    return data.count(b"\xff\xda", 0, data.find(b"\xff\xd9") % (len(data) + 1))
