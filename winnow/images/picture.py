"""Decode an image as people see it: in RGB, upright, and on a plain ground where it is transparent.

Pillow can raise almost any exception on a crafted file. Here every failure becomes an `UnreadableImage` with a plain
reason, so that no image can end a run.
"""

import io
import re
import warnings
from contextlib import suppress

import numpy as np
from PIL import Image, UnidentifiedImageError

from winnow.images import kinds, limits, metadata
from winnow.images.memory import Claim

# Formats to decode. Of the others that Pillow knows some start programs (EPS), and none is usual for a data set.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "DIB", "TIFF", "WEBP", "AVIF", "PPM", "JPEG2000", "TGA", "ICO", "PCX")
UNUSED_ALPHA = ("BMP", "DIB", "TGA", "ICO")  # formats in which an alpha channel of zeros usually means "not used"

# What undoes each orientation of EXIF.
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

CLEAR = 32  # opacity, up to 255, below which a pixel can be seen on no ground
LIGHT = 224  # grey level from which a pixel can hardly be seen on white
VISIBLE = 1 / 4  # share of the opaque pixels that have to be visible on white, else the ground is black


# What is odd about an image is in its reason; Pillow would print it, too.
warnings.filterwarnings("ignore", module=r"PIL\.")


class UnreadableImage(ValueError):  # noqa: N818 "UnreadableImageError" says no more
    """An image that cannot be read whole, or whose values mean no colour. Its text is a plain reason."""


def decode(data: bytes, claim: Claim | None = None) -> Image.Image:
    """Decode an image to RGB; of an animation or of several pages, the first.

    Args:
        data: the encoded image.
        claim: called with the format and the number of pixels before they are decoded (`memory.turn`).

    Raises:
        UnreadableImage: for whatever reason it cannot be read.
    """
    if reason := kinds.refusal(data) or limits.unopened(data):
        raise UnreadableImage(reason)
    try:
        return _decode(data, claim)
    except UnreadableImage:
        raise
    except UnidentifiedImageError as error:
        raise UnreadableImage(kinds.unidentified(data)) from error
    except Exception as error:  # Pillow raises anything: struct.error, KeyError, OverflowError, ...
        raise UnreadableImage(_reason(error)) from error


def format_of(data: bytes) -> str | None:
    """The format of an image (one of FORMATS), or None where it cannot be told. Nothing is decoded."""
    if kinds.refusal(data) or limits.unopened(data):
        return None
    with suppress(Exception), Image.open(io.BytesIO(metadata.part(data).picture), formats=FORMATS) as image:
        return image.format
    return None


def _reason(error: Exception) -> str:
    text = re.sub(r" <_io\..*>", "", str(error))  # the address of the buffer changes
    if isinstance(error, MemoryError):
        return "too large for the memory"
    if isinstance(error, Image.DecompressionBombError) and (pixels := re.search(r"\d+", text)):
        return limits.too_many(int(pixels[0])) or text
    plain = type(error) in (OSError, ValueError, SyntaxError, EOFError) and text
    return f"damaged: {text}" if plain else f"damaged: {type(error).__name__} {text}".rstrip()


def _decode(data: bytes, claim: Claim | None) -> Image.Image:
    parted = metadata.part(data)
    with Image.open(io.BytesIO(parted.picture), formats=FORMATS) as image:
        if not image.width * image.height:
            raise UnreadableImage("it has no pixels")
        if reason := limits.undecoded(image, parted.picture):
            raise UnreadableImage(reason)
        kind = image.format or ""
        if claim:
            claim(kind, image.width * image.height)
        image.load()
        exif, xmp = parted.exif or _bytes(image, "exif"), parted.xmp or _bytes(image, "xmp")
    turn = UPRIGHT.get(metadata.orientation(exif, xmp))
    upright = _rgb(image if turn is None else image.transpose(turn), kind)
    upright.info = {}  # drop what is left of the metadata
    return upright


def _bytes(image: Image.Image, key: str) -> bytes:
    """Metadata that Pillow found in a format that `metadata` does not take apart."""
    value = image.info.get(key)
    return value if isinstance(value, bytes) else b""


def _rgb(image: Image.Image, kind: str) -> Image.Image:
    """Convert to RGB, with as few copies as can be, since images may be large."""
    if image.mode.startswith("I;16") or (image.mode == "I" and kind in ("PNG", "PPM")):
        image = _eight_bits(image)
    if image.mode in ("I", "F"):
        raise UnreadableImage(f"its values (mode {image.mode}) have no range that says what is white")
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    image = image if image.mode == "RGBA" else image.convert("RGBA")
    opacities = image.histogram()[-256:]
    if not any(opacities[:-1]) or (not any(opacities[1:]) and kind in UNUSED_ALPHA):
        return image.convert("RGB")
    return _on_ground(image, opaque=sum(opacities[CLEAR:]))


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale grey values of 16 bits to 8, where Pillow would cut them off at 255; one of them may be transparent."""
    values = np.asarray(image)
    grey = Image.fromarray((values >> 8).astype(np.uint8))
    clear = image.info.get("transparency")
    if isinstance(clear, int) and (values == clear).any():
        grey.putalpha(Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8)))
    return grey


def _on_ground(image: Image.Image, opaque: int) -> Image.Image:
    """Compose an RGBA image on white, or on black where little of its opaque pixels would be visible on white."""
    on_white = _laid(image, "white")
    visible = sum(on_white.convert("L").histogram()[:LIGHT])
    return on_white if visible >= VISIBLE * opaque else _laid(image, "black")


def _laid(image: Image.Image, ground: str) -> Image.Image:
    laid = Image.new("RGB", image.size, ground)
    laid.paste(image, mask=image)
    return laid
