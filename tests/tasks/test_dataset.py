"""Images of every common kind are decoded to RGB, and are found again by shard and row."""

import io
import pickle
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from tasks import dataset
from tasks.dataset import Dataset


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def frames() -> list[Image.Image]:
    return [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "lime")]


RED = Image.new("RGB", (8, 8), "red")


@pytest.mark.parametrize(
    "data",
    [
        encoded(RED, "PNG"),
        encoded(RED, "JPEG"),
        encoded(RED.convert("CMYK"), "JPEG"),
        encoded(RED.convert("P"), "PNG"),
        encoded(RED.convert("RGBA"), "PNG"),
        encoded(RED, "WEBP", lossless=True),
        *(encoded(frames()[0], kind, save_all=True, append_images=frames()[1:]) for kind in ("GIF", "PNG", "TIFF")),
        encoded(frames()[0], "WEBP", save_all=True, append_images=frames()[1:], lossless=True),
        encoded(RED.convert("YCbCr"), "JPEG"),
    ],
    ids=[
        "PNG",
        "JPEG",
        "CMYK JPEG",
        "palette",
        "alpha",
        "WebP",
        "animated GIF",
        "animated PNG",
        "pages of a TIFF",
        "animated WebP",
        "YCbCr",
    ],
)
def test_common_kinds_are_read_as_rgb(data: bytes) -> None:
    image = dataset.decode(data)
    assert (image.mode, image.size) == ("RGB", (8, 8))
    assert np.abs(np.asarray(image, int)[4, 4] - [255, 0, 0]).max() <= 3


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_are_scaled_down_to_eight(kind: str) -> None:
    grey = Image.fromarray(np.linspace(0, 65535, 64).reshape(8, 8).astype(np.uint16))
    pixels = np.asarray(dataset.decode(encoded(grey, kind)), int)
    assert np.abs(pixels - np.linspace(0, 255, 64).reshape(8, 8, 1)).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_images_stand_upright_as_their_exif_says(orientation: int, kind: str) -> None:
    upright = Image.new("RGB", (32, 16), "black")
    upright.paste((255, 255, 255), (0, 0, 16, 8))  # white at the top left
    turned = upright
    for turn in reversed(TURNS[orientation]):
        turned = turned.transpose(turn)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    image = dataset.decode(encoded(turned, kind, exif=exif))
    assert image.size == (32, 16)
    assert np.abs(np.asarray(image, int) - np.asarray(upright, int)).mean() < 3


FLIP, ROTATE = Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose
# What undoes each orientation of EXIF is its own inverse, but for the two quarter turns.
TURNS: dict[int, list[Image.Transpose]] = {
    1: [],
    2: [FLIP],
    3: [ROTATE.ROTATE_180],
    4: [ROTATE.FLIP_TOP_BOTTOM],
    5: [ROTATE.TRANSPOSE],
    6: [ROTATE.ROTATE_90],
    7: [ROTATE.TRANSVERSE],
    8: [ROTATE.ROTATE_270],
}


@pytest.mark.parametrize("mode", ["I", "F"])
def test_values_without_a_range_are_refused(mode: str) -> None:
    with pytest.raises(ValueError, match=rf"mode {mode}\) have no range"):
        dataset.decode(encoded(Image.new(mode, (8, 8)), "TIFF"))


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 10_000, 10_000, 8, 2, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(10))) + chunk(b"IEND", b"")
    with pytest.raises(Image.DecompressionBombError, match="100000000 pixels"):
        dataset.decode(bomb)
    with pytest.raises(OSError):  # noqa: PT011  # the same with few pixels is cut short: it is decoded
        dataset.decode(bomb.replace(header, chunk(b"IHDR", struct.pack(">IIBBBBB", 100, 100, 8, 2, 0, 0, 0))))


@pytest.mark.parametrize(
    "data",
    [
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n(ran) (w) file closefile showpage\n",
        b"GIF89a\x00\x00\x00\x00\x00\x00\x00;",
        b"<svg xmlns='http://www.w3.org/2000/svg' width='8' height='8'/>",
        pickle.dumps({"image": b"x"}),
    ],
    ids=["EPS", "zero-sized GIF", "SVG", "pickle"],
)
def test_what_could_run_or_has_no_pixels_is_refused(data: bytes) -> None:
    with pytest.raises((OSError, ValueError, SyntaxError)):
        dataset.decode(data)


@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"no image", lambda data: data[8:]]
)
def test_what_cannot_be_read_whole_is_an_error(damage: Callable[[bytes], bytes]) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8))
    for kind in ("JPEG", "PNG"):
        with pytest.raises((OSError, ValueError, SyntaxError)):
            dataset.decode(damage(encoded(noise, kind)))


def test_images_come_in_the_order_of_the_index(images: Dataset, image_folder: Path) -> None:
    assert len(images.shards) > 2
    for name, image in zip(images.index["id"], images.all_images(), strict=True):
        assert image.tobytes() == Image.open(image_folder / name).convert("RGB").tobytes()


def test_splits_part_the_index(images: Dataset) -> None:
    train, test = images.split("train"), images.split("test")
    assert (len(train), len(test)) == (24, 6)
    assert set(train["id"]) | set(test["id"]) == set(images.index["id"])


def test_pixels_are_every_image_at_one_size(images: Dataset, image_folder: Path) -> None:
    block = dataset.pixels(images, 12)
    assert (block.shape, block.dtype) == ((30, 12, 12, 3), np.uint8)
    last = Image.open(image_folder / images.index["id"].iloc[-1]).resize((12, 12), Image.Resampling.BILINEAR)
    assert (block[-1] == np.asarray(last)).all()


def test_thumbnails_are_found_by_id_and_keep_their_proportions(images: Dataset, image_folder: Path) -> None:
    wanted = ["red/7.png", "blue/0.png", "red/1.png"]
    found = dataset.thumbnails(images, wanted, 12)
    assert set(found) == set(wanted)
    for name, thumbnail in found.items():
        assert thumbnail.tobytes() == Image.open(image_folder / name).resize((12, 10)).tobytes()
