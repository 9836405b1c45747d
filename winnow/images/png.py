"""Encode images as PNG, the format of every image that Winnow writes itself."""

import io

from PIL import Image


def encode(image: Image.Image) -> bytes:
    """Encode an image as PNG."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
