"""Separate the picture in a file from its metadata: EXIF, XMP, text, colour profiles, thumbnails, further pages.

Pillow parses metadata when it opens a file, and fails in many ways if metadata is odd or huge. So Pillow is given only
the picture. The orientation, which is all that Winnow needs from the metadata, is read here. Nothing here raises.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

ORIENTATION, XMP = 0x0112, 0x02BC
INTEGERS = {3: "H", 4: "L", 8: "h", 9: "l", 16: "Q"}  # types of EXIF, and how they are unpacked
TURNED = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')
TEXTS = (b"tEXt", b"zTXt", b"iTXt")  # chunks of a PNG
TEXT = 2**20  # bytes of text that are looked at

# Tags that decoding a TIFF needs: dimensions, samples, compression, strips and tiles, palette, and how they are coded.
_RANGES = (
    (256, 266),
    (273, 273),
    (277, 281),
    (284, 284),
    (292, 293),
    (317, 325),
    (332, 342),
    (347, 347),
    (512, 521),
    (529, 532),
    (32995, 32998),
)
PIXELS = frozenset(tag for first, last in _RANGES for tag in range(first, last + 1))


@dataclass(frozen=True)
class Parted:
    """A file in parts.

    Attributes:
        picture: the file without its metadata, which Pillow reads.
        exif: the block of EXIF, or b"".
        xmp: the packet of XMP, or b"".
    """

    picture: bytes
    exif: bytes = b""
    xmp: bytes = b""


def part(data: bytes) -> Parted:
    """Take a JPEG, PNG, TIFF or AVIF apart. Other formats, and what is too damaged to take apart, stay whole."""
    if data.startswith(b"\xff\xd8\xff"):
        return _jpeg(data)
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png(data)
    if data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return _tiff(data)
    if data[4:8] == b"ftyp":
        return _avif(data)
    return Parted(data)


def orientation(exif: bytes, xmp: bytes) -> int:
    """The orientation of a picture, from 1 to 8 as EXIF defines it, or 1 for none. EXIF takes precedence over XMP."""
    found = directory(re.sub(rb"^(Exif\0\0){1,2}", b"", exif))
    if found and ORIENTATION in found.entries:
        entry = found.entries[ORIENTATION]
        value = found.integer(entry)
    else:
        match = TURNED.search(xmp)
        value = int(match[1]) if match else 1
    return value if value is not None and 1 <= value <= 8 else 1


class DirectoryEntry(NamedTuple):
    """An entry of a directory: the type and number of its values, the values or their place, and all of it as bytes."""

    type: int
    number: int
    value: bytes
    raw: bytes


@dataclass(frozen=True)
class Directory:
    """The first directory (IFD0) of a TIFF, or of EXIF, which has the form of a TIFF."""

    order: str
    start: int
    big: bool
    entries: dict[int, DirectoryEntry]

    def integer(self, entry: DirectoryEntry) -> int | None:
        """The value of an entry that is a single integer, else None."""
        kind = INTEGERS.get(entry.type)
        if kind is None or entry.number != 1 or struct.calcsize("=" + kind) > len(entry.value):
            return None
        return int(struct.unpack_from(self.order + kind, entry.value)[0])


def directory(data: bytes) -> Directory | None:
    """Read the first directory of a TIFF as far as it goes. Where a tag is repeated, the first entry counts."""
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None or len(data) < 8:
        return None
    big = 43 in data[2:4]
    head, form = (16, order + "HHQ8s") if big else (8, order + "HHL4s")
    if len(data) < head:
        return None
    start = struct.unpack_from(order + ("Q" if big else "L"), data, head - (8 if big else 4))[0]
    counter = struct.Struct(order + ("Q" if big else "H"))
    if start + counter.size > len(data):
        return None
    size, first = struct.calcsize(form), start + counter.size
    count = min(counter.unpack_from(data, start)[0], (len(data) - first) // size)
    entries: dict[int, DirectoryEntry] = {}
    for place in range(first, first + count * size, size):
        tag, kind, values, value = struct.unpack_from(form, data, place)
        entries.setdefault(tag, DirectoryEntry(kind, values, value, data[place : place + size]))
    return Directory(order, start, big, entries)


def segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield marker, begin and end of each segment of a JPEG, up to the head of its first scan or what is damaged."""
    at = 2
    while (at := data.find(b"\xff", at)) >= 0 and at + 4 <= len(data):
        marker = data[at + 1]
        if marker == 0xFF or marker in (0x00, 0x01) or 0xD0 <= marker <= 0xD8:  # padding, or no segment
            at += 1 if marker == 0xFF else 2
            continue
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        end = at + 2 + length
        if marker == 0xD9 or length < 2 or end > len(data):  # the end, or damage
            return
        yield marker, at, end
        if marker == 0xDA:
            return
        at = end


def _jpeg(data: bytes) -> Parted:
    """Drop comments and application segments, except JFIF (APP0) and Adobe (APP14), which say how colour is coded."""
    kept, exif, xmp, rest = [data[:2]], b"", b"", 2
    for marker, begin, end in segments(data):
        if not (0xE1 <= marker <= 0xED or marker in (0xEF, 0xFE)):
            continue
        body = data[begin + 4 : end]
        if marker == 0xE1 and body.startswith(b"Exif\0\0"):
            exif += body[6:]  # a long block continues in the next segment
        elif marker == 0xE1 and body.startswith(b"http://ns.adobe.com/xap/1.0/\0"):
            xmp = body
        kept.append(data[rest:begin])
        rest = end
    return Parted(b"".join([*kept, data[rest:]]), exif, xmp)


def _png(data: bytes) -> Parted:
    """Keep the chunks that make the picture, which is the first of an animation."""
    kept, header, exif, xmp, at = [data[:8]], b"", b"", b"", 8
    pictured = False
    for kind, begin, end in _chunks(data):
        body = data[begin + 8 : end - 4]
        if kind in (b"IHDR", b"PLTE", b"IDAT", b"IEND"):
            kept.append(data[begin:end])
            header, pictured = (body if kind == b"IHDR" else header), pictured or kind == b"IDAT"
        elif kind == b"tRNS":
            kept.append(_transparency(header, body, data[end - 4 : end]))
        elif kind == b"eXIf":
            exif = exif or body
        elif kind in TEXTS and body.startswith(b"XML:com.adobe.xmp\0"):
            xmp = _text(kind, body)
        elif kind in TEXTS and body.startswith(b"Raw profile type exif\0"):  # as ImageMagick once wrote EXIF
            exif = exif or _hexadecimal(_text(kind, body))
        at = end
    if not pictured or data[at + 4 : at + 8] == b"IDAT":  # let Pillow report damage to the picture itself
        kept.append(data[at:])
    return Parted(b"".join(kept), exif, xmp)


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, begin and end of each chunk of a PNG, up to the last one or the first that is damaged."""
    at = 8
    while at + 12 <= len(data):
        kind, end = data[at + 4 : at + 8], at + 12 + int.from_bytes(data[at : at + 4], "big")
        if end > len(data) or not kind.isalpha():
            return
        yield kind, at, end
        if kind == b"IEND":
            return
        at = end


def _transparency(header: bytes, body: bytes, checksum: bytes) -> bytes:
    """Give the tRNS chunk in the depth that Pillow decodes to, or nothing where it is damaged."""
    depth, colour = header[8:10] if len(header) >= 10 else (0, 0)
    if zlib.crc32(b"tRNS" + body).to_bytes(4, "big") != checksum or len(body) < {0: 2, 2: 6}.get(colour, 1):
        return b""
    if colour == 0 and depth in (2, 4):
        value = int.from_bytes(body[:2], "big") & (2**depth - 1)
        body = (value * 255 // (2**depth - 1)).to_bytes(2, "big")
    elif colour == 2 and depth == 16:
        body = b"\0" + body[0:1] + b"\0" + body[2:3] + b"\0" + body[4:5]
    chunk = b"tRNS" + body
    return len(body).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")


def _text(kind: bytes, body: bytes) -> bytes:
    """The first TEXT bytes of a text chunk, however much it would unpack to."""
    text = body.split(b"\0", 1)[1]
    packed = kind == b"zTXt"
    if kind == b"zTXt":
        text = text[1:]
    elif kind == b"iTXt":
        packed, (*_, text) = text[:1] == b"\1", text[2:].split(b"\0", 2)
    if not packed:
        return text[:TEXT]
    try:
        return zlib.decompressobj().decompress(text, TEXT)
    except zlib.error:
        return b""


def _hexadecimal(text: bytes) -> bytes:
    """Decode a raw profile: an empty line, a name, a length, and lines of hexadecimal digits."""
    try:
        return bytes.fromhex(b"".join(text.split(b"\n")[3:]).decode("ascii"))
    except ValueError:
        return b""


def _avif(data: bytes) -> Parted:
    """Give EXIF a type that no reader knows. It does not turn an AVIF, which has properties of its own for that."""
    head = data.find(b"mdat")
    return Parted(data[:head].replace(b"Exif", b"none") + data[head:]) if head > 0 else Parted(data)


def _tiff(data: bytes) -> Parted:
    """Keep the first page, and of its tags those that decoding needs. Their values stay where they are."""
    found = directory(data)
    if found is None:
        return Parted(data)
    kept = [entry.raw for tag, entry in found.entries.items() if tag in PIXELS]
    count, last = ("Q", bytes(8)) if found.big else ("H", bytes(4))  # no page follows
    block = struct.pack(found.order + count, len(kept)) + b"".join(kept) + last
    picture = data[: found.start] + block + data[found.start + len(block) :]
    xmp = b""
    if XMP in found.entries:
        entry = found.entries[XMP]
        start = struct.unpack(found.order + ("Q" if found.big else "L"), entry.value)[0]
        xmp = data[start : start + min(entry.number, TEXT)]
    return Parted(picture, data, xmp)
