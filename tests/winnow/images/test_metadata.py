"""A picture is read, and upright, whatever stands beside it."""

import io
import random
import struct
import tracemalloc
import zlib
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from winnow.images import metadata, picture

LYING = Image.new("RGB", (16, 8), "black")  # white at the top left, black elsewhere
LYING.paste((255, 255, 255), (0, 0, 8, 4))

Entry = tuple[int, int, int, bytes]  # tag, type, count and the four bytes of the value or of its place


def tiff(entries: list[Entry], order: str = "<", after: bytes = b"", following: int = 0) -> bytes:
    """A block of EXIF without its head: one directory, and what may follow it."""
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "L", 8)
    body = b"".join(struct.pack(order + "HHL", *entry[:3]) + entry[3].ljust(4, b"\0")[:4] for entry in entries)
    return head + struct.pack(order + "H", len(entries)) + body + struct.pack(order + "L", following) + after


def turned(value: int, order: str = "<", kind: int = 3) -> Entry:
    return 0x0112, kind, 1, struct.pack(order + {1: "B", 3: "H", 4: "L", 8: "h", 9: "l"}[kind], value)


def encoded(kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    LYING.save(file, kind, **options)
    return file.getvalue()


def chunk(kind: bytes, body: bytes, checksum: int | None = None) -> bytes:
    checksum = zlib.crc32(kind + body) if checksum is None else checksum
    return struct.pack(">L", len(body)) + kind + body + struct.pack(">L", checksum)


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def jpeg_with(block: bytes) -> bytes:
    plain = encoded("JPEG", quality=95)
    return plain[:2] + segment(0xE1, b"Exif\0\0" + block) + plain[2:]


def png_with(block: bytes, plain: bytes | None = None) -> bytes:
    plain = plain or encoded("PNG")
    return plain[:33] + chunk(b"eXIf", block) + plain[33:]  # after the header


def webp_with(block: bytes) -> bytes:
    plain = encoded("WEBP", lossless=True, exif=b"Exif\0\0" + tiff([]))
    at = plain.index(b"EXIF")
    whole = plain[:at] + b"EXIF" + struct.pack("<L", len(block)) + block + b"\0" * (len(block) % 2)
    return whole[:4] + struct.pack("<L", len(whole) - 8) + whole[8:]


def tiff_with(block: bytes) -> bytes:
    """A TIFF of our picture whose directory has the entries of the block too."""
    found = metadata.directory(block)
    plain = metadata.directory(encoded("TIFF"))
    assert plain
    data = encoded("TIFF")
    if found is None or found.order != "<" or found.big:
        return data
    mine = {tag: entry.raw for tag, entry in plain.entries.items()}
    theirs = {tag: entry.raw for tag, entry in found.entries.items() if tag not in metadata.PIXELS}
    rows = [raw for _, raw in sorted((theirs | mine).items())]
    return data[:4] + struct.pack("<L", len(data)) + data[8:] + struct.pack("<H", len(rows)) + b"".join(rows) + bytes(4)


def avif_with(block: bytes) -> bytes:
    """An AVIF with a block of EXIF, filled up to the length that there is room for."""
    exif = Image.Exif()
    exif[0x010E] = "x" * 300
    plain = encoded("AVIF", quality=100, exif=exif)
    at = plain.index(b"MM\0*")
    assert len(block) < 300
    return plain[:at] + block.ljust(300, b"\0") + plain[at + 300 :]


CARRIERS: dict[str, Callable[[bytes], bytes]] = {
    "JPEG": jpeg_with,
    "PNG": png_with,
    "WEBP": webp_with,
    "TIFF": tiff_with,
}


def blocks(seed: int, count: int) -> Iterator[tuple[bytes, int | None]]:
    """Made-up blocks of EXIF, and how the picture is turned where they say it at all; None where that is lost."""
    rng = random.Random(seed)
    known = [0x010E, 0x010F, 0x011A, 0x0128, 0x0132, 0x0213, 0x02BC, 0x8769, 0x8825, 0x83BB, 0x8773, 0x014A, 0xA005]
    for _ in range(count):
        order, value = rng.choice("<>"), rng.randrange(10)
        rows: list[Entry] = []
        for tag in rng.sample(known, rng.randrange(6)):
            place = rng.choice([0, 1, 8, 20, 60, 2**31, 2**32 - 1, rng.randrange(200)])
            many = rng.choice([0, 1, 2, 4, 5, 70, 2**16, 2**32 - 1])
            rows.append((tag, rng.randrange(20), many, struct.pack(order + "L", place)))
        rows.append(turned(value, order, rng.choice([3, 4, 8, 9])))
        rng.shuffle(rows) if rng.random() < 0.2 else rows.sort()
        block = tiff(rows, order, rng.randbytes(rng.randrange(60)), rng.choice([0, 8, 9, 2**32 - 1]))
        if rng.random() < 0.2:  # cut off, or spoilt
            yield block[: rng.randrange(len(block))], None
        elif rng.random() < 0.2:
            at = rng.randrange(len(block))
            yield block[:at] + rng.randbytes(rng.randrange(1, 5)) + block[at + 4 :], None
        else:
            yield block, value if 1 <= value <= 8 else 1


@pytest.mark.filterwarnings("error")  # nor is anything said of it
@pytest.mark.parametrize("kind", CARRIERS)
def test_a_picture_stands_upright_whatever_its_exif_holds(kind: str) -> None:
    lying, read = np.asarray(LYING.convert("L"), int), 0
    for block, value in blocks(seed=list(CARRIERS).index(kind), count=1500):
        image = picture.decode(CARRIERS[kind](block))
        assert image.mode == "RGB"
        if value is None or (kind == "TIFF" and block[:2] == b"MM"):
            assert image.size in ((16, 8), (8, 16))
            continue
        upright = LYING.convert("L") if value == 1 else LYING.convert("L").transpose(picture.UPRIGHT[value])
        assert image.size == upright.size
        assert np.abs(np.asarray(image.convert("L"), int) - np.asarray(upright, int)).max() < 40, block
        read += 1
    assert read > 400
    assert lying.any()


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    ("entry", "value"),
    [
        (lambda order: turned(6, order), 6),
        (lambda order: turned(6, order, kind=4), 6),
        (lambda order: turned(0, order), 1),
        (lambda order: turned(9, order), 1),
        (lambda order: turned(65535, order), 1),
        (lambda order: turned(-6, order, kind=8), 1),
        (lambda order: (0x0112, 2, 2, b"6\0"), 1),  # text
        (lambda order: (0x0112, 3, 2, struct.pack(order + "HH", 6, 6)), 1),  # two values
        (lambda order: (0x0112, 3, 0, b"\6\0"), 1),  # none
        (lambda order: (0x0112, 99, 1, b"\6\0\6\0"), 1),  # no such type
        (lambda order: (0x0112, 5, 1, struct.pack(order + "L", 8)), 1),  # a fraction
    ],
)
def test_only_one_whole_number_of_1_to_8_turns_a_picture(order: str, entry: Callable[[str], Entry], value: int) -> None:
    assert metadata.orientation(tiff([entry(order)], order), b"") == value
    assert metadata.orientation(b"Exif\0\0" + tiff([entry(order)], order), b"") == value


def test_the_first_of_two_orientations_counts() -> None:
    assert metadata.orientation(tiff([turned(6), turned(3)]), b"") == 6


def test_xmp_counts_where_exif_says_nothing() -> None:
    xmp = b'<rdf:Description tiff:Orientation="6"/>'
    assert metadata.orientation(b"", xmp) == 6
    assert metadata.orientation(b"", b"<tiff:Orientation>8</tiff:Orientation>") == 8
    assert metadata.orientation(tiff([turned(3)]), xmp) == 3
    assert metadata.orientation(b"", b'tiff:Orientation="9"') == 1
    plain = encoded("JPEG")
    data = plain[:2] + segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp) + plain[2:]
    for found in (data, encoded("WEBP", xmp=xmp), encoded("TIFF", tiffinfo={700: xmp + bytes(60)})):
        assert picture.decode(found).size == (8, 16)
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", xmp.decode(), zip=True)
    assert picture.decode(encoded("PNG", pnginfo=info)).size == (8, 16)


def test_exif_that_stands_in_a_png_as_text_counts() -> None:
    info, block = PngImagePlugin.PngInfo(), b"Exif\0\0" + tiff([turned(6)])
    info.add_text("Raw profile type exif", f"\nexif\n{len(block):8}\n{block.hex()}\n", zip=True)
    assert picture.decode(encoded("PNG", pnginfo=info)).size == (8, 16)
    info.add_text("Raw profile type exif", "\nexif\n  4\nno hex\n", zip=True)
    assert picture.decode(encoded("PNG", pnginfo=info)).size == (8, 16)


def huge(kind: bytes) -> bytes:
    """A chunk of a megabyte that unpacks to a gigabyte."""
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(2**24)) for _ in range(64)) + packer.flush()
    start = {b"zTXt": b"note\0\0", b"iTXt": b"XML:com.adobe.xmp\0\1\0\0\0", b"iCCP": b"profile\0\0"}[kind]
    return chunk(kind, start + packed)


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_what_would_unpack_to_a_gigabyte_costs_nothing(kind: bytes) -> None:
    plain, bomb = encoded("PNG"), huge(kind)
    for data in (plain[:33] + bomb + plain[33:], plain[:-12] + bomb + plain[-12:]):
        tracemalloc.start()
        image = picture.decode(data)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert image.tobytes() == LYING.tobytes()
        assert most < 16 * 2**20


BESIDE = {
    "long text": chunk(b"tEXt", b"workflow\0" + b"x" * 5_000_000),
    "much text": chunk(b"tEXt", b"workflow\0" + b"x" * 3_000_000) * 25,
    "bad checksum": chunk(b"tEXt", b"note\0text", checksum=1),
    "text of no known packing": chunk(b"zTXt", b"note\0\7nothing"),
    "text without an end": chunk(b"zTXt", b"note"),
    "profile of no known packing": chunk(b"iCCP", b"profile\0\7nothing"),
    "empty profile": chunk(b"iCCP", b""),
    "short gamma": chunk(b"gAMA", b"\0"),
    "short chromaticities": chunk(b"cHRM", b"\0\0"),
    "short density": chunk(b"pHYs", b"\0"),
    "short intent": chunk(b"sRGB", b""),
    "short animation": chunk(b"acTL", b"\0"),
    "frames out of order": chunk(b"fcTL", struct.pack(">5L", 7, 16, 8, 0, 0) + bytes(6)),
    "short transparency": chunk(b"tRNS", b"\0"),
    "transparency with a bad checksum": chunk(b"tRNS", bytes(6), checksum=1),
    "unknown": chunk(b"abCd", b"private"),
}


@pytest.mark.parametrize("name", BESIDE)
def test_a_png_is_read_whatever_stands_beside_its_picture(name: str) -> None:
    plain = encoded("PNG")
    for data in (plain[:33] + BESIDE[name] + plain[33:], plain[:-12] + BESIDE[name] + plain[-12:]):
        assert picture.decode(data).tobytes() == LYING.tobytes()


@pytest.mark.parametrize(
    "tail", [b"", b"\0" * 7, b"garbage after the picture", chunk(b"tEXt", b"a\0b")[:-6], encoded("PNG")]
)
def test_what_follows_the_picture_of_a_png_is_nothing(tail: bytes) -> None:
    plain = encoded("PNG")
    for data in (plain + tail, plain[:-12] + tail):
        assert picture.decode(data).tobytes() == LYING.tobytes()


@pytest.mark.parametrize("left", [20, 34, 45, 60])
def test_a_png_whose_picture_is_cut_is_set_aside(left: int) -> None:
    plain = encoded("PNG", pnginfo=None)
    with pytest.raises(picture.UnreadableImage):
        picture.decode(plain[:left])
    text = chunk(b"tEXt", b"a\0b")
    with pytest.raises(picture.UnreadableImage):
        picture.decode(plain[:33] + text + plain[33:left] + text * (left > 33))


def test_pixels_of_a_png_cut_between_two_chunks_are_missed() -> None:
    plain = encoded("PNG")
    body = plain[41:-16]
    half = chunk(b"IDAT", body[: len(body) // 2])
    for end in (b"", plain[-12:], chunk(b"tEXt", b"a\0b") + plain[-12:]):
        with pytest.raises(picture.UnreadableImage, match="truncated"):
            picture.decode(plain[:33] + half + end)


def test_a_jpeg_is_read_whatever_stands_beside_its_picture() -> None:
    plain = encoded("JPEG")
    pixels = picture.decode(plain).tobytes()
    odd = {
        "many": b"".join(segment(0xE0 + i % 16, b"x" * 65_000) for i in range(0, 400) if i % 16 not in (0, 14)),
        "parts of a profile": segment(0xE2, b"ICC_PROFILE\0\1\3" + b"x" * 50) * 2,
        "a short profile": segment(0xE2, b"ICC_PROFILE\0"),
        "Photoshop's": segment(0xED, b"Photoshop 3.0\x008BIM\3\xed\xff"),
        "several pictures": segment(0xE2, b"MPF\0II*\0\x08\0\0\0\3\0" + bytes(20)),
        "FlashPix": segment(0xE2, b"FPXR\0"),
        "XMP": segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0\xff\xfe"),
        "a comment": segment(0xFE, b"\xff\xd8\xff" * 9),
        "nothing": segment(0xE5, b""),
    }
    for name, more in odd.items():
        assert picture.decode(plain[:2] + more + plain[2:] + b"and a tail \xff\xd8\xff" * 99).tobytes() == pixels, name


def test_exif_neither_turns_an_avif_nor_stops_it() -> None:
    size = picture.decode(encoded("AVIF")).size
    for block, _ in blocks(seed=9, count=200):
        assert picture.decode(avif_with(block)).size == size


def test_of_a_tiff_only_the_picture_is_read() -> None:
    data = encoded("TIFF", compression="tiff_lzw")
    found = metadata.directory(data)
    assert found
    rows = [entry.raw for entry in found.entries.values()]
    for odd in (
        struct.pack("<HHLL", 270, 2, 2**31, 8),  # a text of two gigabytes
        struct.pack("<HHLL", 271, 2, 100, 2**32 - 1),  # beyond the end
        struct.pack("<HHLL", 34665, 4, 1, 8),  # a directory that is this one
        struct.pack("<HHLL", 34665, 13, 7, 1),
        struct.pack("<HHLL", 34675, 7, 10**6, 8),  # a profile
    ):
        table = struct.pack("<H", len(rows) + 1) + b"".join(sorted([*rows, odd])) + struct.pack("<L", len(data))
        looped = data[:4] + struct.pack("<L", len(data)) + data[8:] + table  # the next page is this one
        assert picture.decode(looped).tobytes() == LYING.tobytes()
