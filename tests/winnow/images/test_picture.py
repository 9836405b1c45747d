"""Images of every common kind are decoded to RGB as people see them; what cannot be is told in a plain word."""

import io
import pickle
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, PngImagePlugin

from winnow.images import picture
from winnow.images.picture import UnreadableImage


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
    image = picture.decode(data)
    assert (image.mode, image.size) == ("RGB", (8, 8))
    assert np.abs(np.asarray(image, int)[4, 4] - [255, 0, 0]).max() <= 3


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_are_scaled_down_to_eight(kind: str) -> None:
    grey = Image.fromarray(np.linspace(0, 65535, 64).reshape(8, 8).astype(np.uint16))
    pixels = np.asarray(picture.decode(encoded(grey, kind)), int)
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
    image = picture.decode(encoded(turned, kind, exif=exif))
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
    with pytest.raises(UnreadableImage, match=rf"mode {mode}\) have no range"):
        picture.decode(encoded(Image.new(mode, (8, 8)), "TIFF"))


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 10_000, 10_000, 8, 2, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(10))) + chunk(b"IEND", b"")
    with pytest.raises(UnreadableImage, match="its 100,000,000 pixels exceed the limit of 89,478,485"):
        picture.decode(bomb)
    with pytest.raises(UnreadableImage, match="truncated"):  # the same with few pixels is decoded
        picture.decode(bomb.replace(header, chunk(b"IHDR", struct.pack(">IIBBBBB", 100, 100, 8, 2, 0, 0, 0))))


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
    with pytest.raises(UnreadableImage):
        picture.decode(data)


@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"no image", lambda data: data[8:]]
)
def test_what_cannot_be_read_whole_is_an_error(damage: Callable[[bytes], bytes]) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8))
    for kind in ("JPEG", "PNG"):
        with pytest.raises(UnreadableImage):
            picture.decode(damage(encoded(noise, kind)))


def drawn(colour: tuple[int, ...], hidden: tuple[int, int, int] = (0, 0, 0)) -> Image.Image:
    """A cross on a transparent ground, where `hidden` stands unseen."""
    image = Image.new("RGBA", (20, 20), (*hidden, 0))
    for box in ((8, 0, 12, 20), (0, 8, 20, 12)):
        image.paste(colour, box)
    return image


CROSS = np.asarray(drawn((0, 0, 0, 255)).getchannel("A")) > 0


def seen(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """The colours of the cross and of its ground."""
    pixels = np.asarray(picture.decode(data), int)
    return pixels[CROSS], pixels[~CROSS]


def as_palette(image: Image.Image) -> Image.Image:
    """A palette of every grey, in which number 9 is what is hidden."""
    table = image.convert("L").convert("P")
    table.putpalette([channel for grey in range(256) for channel in (grey, grey, grey)])
    table.paste(9, mask=image.getchannel("A").point(lambda opacity: 255 * (opacity == 0)))
    return table


TRANSPARENT: dict[str, Callable[[Image.Image], bytes]] = {
    "PNG": lambda image: encoded(image, "PNG"),
    "PNG, grey": lambda image: encoded(image.convert("LA"), "PNG"),
    "PNG, palette": lambda image: encoded(as_palette(image), "PNG", transparency=9),
    "PNG, palette with opacities": lambda image: encoded(
        as_palette(image), "PNG", transparency=bytes([255] * 9 + [0] + [255] * 245 + [254])
    ),
    "GIF": lambda image: encoded(as_palette(image), "GIF", transparency=9),
    "WEBP": lambda image: encoded(image, "WEBP", lossless=True, exact=True),
    "TIFF": lambda image: encoded(image, "TIFF"),
    "AVIF": lambda image: encoded(image, "AVIF", quality=100, subsampling="4:4:4"),
    "ICO": lambda image: encoded(image, "ICO", sizes=[(20, 20)]),
    "JPEG2000": lambda image: encoded(image, "JPEG2000"),
    "TGA": lambda image: encoded(image, "TGA"),
}


@pytest.mark.parametrize("kind", TRANSPARENT)
@pytest.mark.parametrize("hidden", [(0, 0, 0), (255, 0, 0), (255, 255, 255)])
def test_a_dark_drawing_stands_on_white_whatever_is_hidden(kind: str, hidden: tuple[int, int, int]) -> None:
    cross, ground = seen(TRANSPARENT[kind](drawn((0, 0, 0, 255), hidden)))
    assert cross.max() <= 6
    assert ground.min() >= 249


@pytest.mark.parametrize("kind", TRANSPARENT)
@pytest.mark.parametrize("hidden", [(0, 0, 0), (255, 0, 0), (255, 255, 255)])
@pytest.mark.parametrize("light", [255, 240])
def test_a_white_drawing_stands_on_black(kind: str, hidden: tuple[int, int, int], light: int) -> None:
    cross, ground = seen(TRANSPARENT[kind](drawn((light, light, light, 255), hidden)))
    assert np.abs(cross - light).max() <= 6
    assert ground.max() <= 6


@pytest.mark.parametrize(
    ("colour", "ground"),
    [
        ((200, 200, 200), 255),  # grey shows on white
        ((255, 0, 0), 255),
        ((0, 255, 0), 255),
        ((255, 255, 0), 0),  # yellow hardly does
        ((0, 0, 0, 120), 255),  # a shadow
        ((255, 255, 255, 120), 0),  # a light
    ],
)
def test_the_ground_is_white_unless_the_drawing_would_vanish(colour: tuple[int, ...], ground: int) -> None:
    assert (seen(encoded(drawn((*colour, 255)[:4] if len(colour) == 3 else colour), "PNG"))[1] == ground).all()


def test_a_dark_line_around_white_is_no_reason_for_black() -> None:
    image = drawn((255, 255, 255, 255))
    image.paste((0, 0, 0, 255), (8, 0, 12, 20))
    assert (seen(encoded(image, "PNG"))[1] == 255).all()


def test_half_opaque_is_half_ground() -> None:
    cross, _ = seen(encoded(drawn((0, 0, 0, 128)), "PNG"))
    assert np.abs(cross - 127).max() <= 1


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "GIF"])
def test_what_is_transparent_everywhere_is_blank(kind: str) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 20, 4)).astype(np.uint8))
    noise.putalpha(0)
    image = picture.decode(TRANSPARENT[kind](noise))
    assert image.getextrema() == ((255, 255),) * 3


@pytest.mark.parametrize("kind", ["TGA", "BMP", "ICO"])
def test_an_alpha_channel_that_its_writer_left_empty_is_none(kind: str) -> None:
    image = RED.convert("RGBA")
    image.putalpha(0)
    data = encoded(image, kind, **({"sizes": [(8, 8)], "bitmap_format": "bmp"} if kind == "ICO" else {}))
    assert picture.decode(data).tobytes() == RED.tobytes()


def test_an_opaque_alpha_channel_changes_nothing() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(200, 256, (20, 20, 3)).astype(np.uint8))
    assert picture.decode(encoded(noise.convert("RGBA"), "PNG")).tobytes() == noise.tobytes()
    table = noise.quantize(64)
    data = encoded(table, "PNG", transparency=bytes([255] * 64))
    assert picture.decode(data).tobytes() == table.convert("RGB").tobytes()


def png(depth: int, colour: int, rows: bytes, clear: bytes) -> bytes:
    """A PNG of 2 x 1 pixels, one value of which is transparent."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 2, 1, depth, colour, 0, 0, 0)
    body = chunk(b"tRNS", clear) + chunk(b"IDAT", zlib.compress(b"\0" + rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body


@pytest.mark.parametrize(
    "data",
    [
        png(1, 0, bytes([0b0100_0000]), struct.pack(">H", 1)),
        png(2, 0, bytes([0b0010_0000]), struct.pack(">H", 2)),
        png(4, 0, bytes([0x0B]), struct.pack(">H", 11)),
        png(8, 0, bytes([0, 7]), struct.pack(">H", 7)),
        png(16, 0, struct.pack(">HH", 0, 513), struct.pack(">H", 513)),
        png(8, 2, bytes([0, 0, 0, 9, 8, 7]), struct.pack(">HHH", 9, 8, 7)),
        png(16, 2, struct.pack(">6H", 0, 0, 0, 999, 888, 777), struct.pack(">HHH", 999, 888, 777)),
    ],
    ids=["1 bit", "2 bits", "4 bits", "8 bits", "16 bits", "RGB", "RGB of 16 bits"],
)
def test_one_value_may_be_transparent_at_any_depth(data: bytes) -> None:
    assert np.asarray(picture.decode(data))[0].tolist() == [[0, 0, 0], [255, 255, 255]]


def test_nothing_that_stands_beside_a_picture_is_handed_on() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("note", "mine")
    for data in (encoded(RED, "PNG", pnginfo=info), encoded(RED, "WEBP", icc_profile=b"x" * 200, exif=b"Exif\0\0")):
        assert picture.decode(data).info == {}


@pytest.mark.parametrize(
    "error", [struct.error, KeyError, OverflowError, ZeroDivisionError, zlib.error, RecursionError, AssertionError]
)
def test_whatever_pillow_raises_is_one_error(error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise error("odd")

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load_prepare", broken)
    with pytest.raises(UnreadableImage, match=f"damaged: {error.__name__} .*odd"):
        picture.decode(encoded(RED, "PNG"))


@pytest.mark.parametrize("kind", picture.FORMATS)
def test_the_format_of_an_image_is_told_without_decoding_it(kind: str) -> None:
    data = encoded(RED, kind, sizes=[(8, 8)])
    assert picture.format_of(data) == ("BMP" if kind == "DIB" and data[:2] == b"BM" else kind)


def test_the_format_is_told_whatever_stands_beside_the_picture() -> None:
    plain, exif = encoded(RED, "JPEG"), struct.pack("<4sLHHHLLL", b"II*\0", 8, 1, 0x010E, 5, 1, 72, 0)
    assert (
        picture.format_of(plain[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 8) + b"Exif\0\0" + exif + plain[2:])
        == "JPEG"
    )
    for data in (b"", b"no image", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"):
        assert picture.format_of(data) is None


def test_nothing_is_printed_of_what_is_odd_about_an_image(tmp_path: Path) -> None:
    data = encoded(RED, "TIFF", compression="tiff_lzw")
    (tmp_path / "cut.tif").write_bytes(data[:-40])
    (tmp_path / "large.png").write_bytes(encoded(Image.new("1", (9500, 9500)), "PNG"))  # Pillow would warn of a bomb
    script = "import sys; from pathlib import Path; from winnow.images import screen; " + (
        "print(*(screen.read(path.read_bytes()) for path in sorted(Path(sys.argv[1]).iterdir())), sep='\\n')"
    )
    ran = subprocess.run([sys.executable, "-c", script, tmp_path], check=True, capture_output=True, text=True)
    assert ran.stdout.splitlines() == [
        "damaged or cut short: its header cannot be read",
        "its 90,250,000 pixels exceed the limit of 89,478,485",
    ]
    assert ran.stderr == ""
