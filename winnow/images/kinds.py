"""Recognize a file that is not a readable image by its first bytes, and say what to do about it."""

import re

from winnow.images import metadata

CONVERT = "convert it to JPEG or PNG"

# What a file is by the bytes that it starts with.
SIGNATURES: dict[bytes, str] = {
    b"version https://git-lfs.github.com/": "a Git LFS pointer, not the image: run git lfs pull",
    b"/annex/objects/": "a git-annex pointer, not the image: run git annex get",
    b"\x00\x00\x00\x0cJXL \r\n\x87\n": f"JPEG XL: {CONVERT}",
    b"\xff\x0a": f"JPEG XL: {CONVERT}",
    b"8BPS": f"Photoshop: {CONVERT}",
    b"gimp xcf": f"GIMP: {CONVERT}",
    b"\x76\x2f\x31\x01": f"OpenEXR: {CONVERT}",
    b"#?RADIANCE": f"Radiance HDR: {CONVERT}",
    b"FUJIFILMCCD-RAW": f"camera raw (RAF): {CONVERT}",
    b"II*\x00\x10\x00\x00\x00CR": f"camera raw (CR2): {CONVERT}",
    b"IIRO": f"camera raw (ORF): {CONVERT}",
    b"IIRS": f"camera raw (ORF): {CONVERT}",
    b"MMOR": f"camera raw (ORF): {CONVERT}",
    b"IIU\x00": f"camera raw (RW2): {CONVERT}",
    b"FOVb": f"camera raw (X3F): {CONVERT}",
    b"SIMPLE  =": f"FITS: {CONVERT}",
    b"DDS ": f"DDS: {CONVERT}",
    b"qoif": f"QOI: {CONVERT}",
    b"icns": f"an icon of macOS: {CONVERT}",
    b"iVBORw0KGgo": "an image in base64: decode it",
    b"/9j/": "an image in base64: decode it",
    b"R0lGOD": "an image in base64: decode it",
    b"UklGR": "an image in base64: decode it",
    b"data:image/": "an image in base64 (a data URL): decode it",
    b"[InternetShortcut]": "a link of Windows, not the image",
    b"%PDF": "PDF, not an image",
    b"%!PS": "PostScript, not an image",
    b"\xc5\xd0\xd3\xc6": "PostScript, not an image",
    b"PK\x03\x04": "a ZIP archive, not an image",
    b"PK\x05\x06": "a ZIP archive, not an image",
    b"\x1f\x8b": "compressed by gzip, not an image",
    b"BZh": "compressed by bzip2, not an image",
    b"\xfd7zXZ\x00": "compressed by xz, not an image",
    b"\x28\xb5\x2f\xfd": "compressed by zstd, not an image",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive, not an image",
    b"Rar!\x1a\x07": "a RAR archive, not an image",
    b"\x1aE\xdf\xa3": "a video (Matroska or WebM), not an image",
    b"\x00\x00\x01\xba": "a video (MPEG), not an image",
    b"\x00\x00\x01\xb3": "a video (MPEG), not an image",
    b"FLV\x01": "a video (Flash), not an image",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11": "a video (Windows Media), not an image",
    b"OggS": "audio or video (Ogg), not an image",
    b"ID3": "audio (MP3), not an image",
    b"fLaC": "audio (FLAC), not an image",
    b"\x93NUMPY": "a NumPy array, not an image",
    b"\x89HDF\r\n\x1a\n": "HDF5, not an image",
    b"SQLite format 3\x00": "an SQLite database, not an image",
    b"PAR1": "Parquet, not an image",
    b"Obj\x01": "Avro, not an image",
    b"\x7fELF": "a program, not an image",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "a document of Windows (Thumbs.db, Office), not an image",
    b"\x00\x05\x16\x07": "an AppleDouble file of macOS, not an image",
}
_STARTS = tuple(SIGNATURES)

# What a file is by the bytes at another place: (place, bytes, kind).
MARKS = (
    (128, b"DICM", f"DICOM: {CONVERT}"),
    (257, b"ustar", "a tar archive, not an image"),
    (8, b"AVI ", "a video (AVI), not an image"),
    (8, b"WAVE", "audio (WAV), not an image"),
    (344, b"n+1\x00", f"NIfTI: {CONVERT}"),
)

# Brands in the `ftyp` box of the container that HEIC, AVIF, MP4 and others share.
HEIF = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"mif2", b"msf1", b"miaf"}
AVIF = {b"avif", b"avis"}

# How images start that Winnow reads. Some more have no such mark.
IMAGES = (
    b"\xff\xd8\xff",
    b"\x89PNG",
    b"GIF8",
    b"BM",
    b"II*\0",
    b"MM\0*",
    b"RIFF",
    b"\0\0\0\x0cjP",
    b"\xffO\xffQ",
    b"\0\0\1\0",
)

# Tags of a TIFF: the kind of a page (1: a reduced one), where further pages are, and the version of DNG.
PAGE, SUBPAGES, DNG = 254, 330, 50706

TEXT = 2048  # bytes that say whether a file is text, and which
TEXTS = (
    (re.compile(r"[{\[]"), "JSON, not an image"),
    (
        re.compile(r"<(?:!doctype html|head|body|script|meta|title)\b|<(?:.*<)?html\b", re.DOTALL),
        "a web page, not an image: download it again",
    ),
    (re.compile(r"<(?:.*<)?svg\b", re.DOTALL), "SVG, a drawing of lines: convert it to PNG"),
    (re.compile("<"), "XML, not an image"),
    (re.compile(""), "text, not an image"),
)


def refusal(data: bytes) -> str | None:
    """Name what a file is, or return None where it may be an image that Winnow reads.

    Args:
        data: the file, of which only the first few hundred bytes count.
    """
    if data.startswith(_STARTS):
        return next(kind for start, kind in SIGNATURES.items() if data.startswith(start))
    if data[4:8] == b"ftyp":
        return _media(data)
    if data.startswith((b"II*\0", b"MM\0*")):
        return _raw(data)
    return next((kind for place, mark, kind in MARKS if data[place : place + len(mark)] == mark), None)


def _media(data: bytes) -> str | None:
    size = min(int.from_bytes(data[:4], "big"), 256)
    brands = {data[8:12]} | {data[place : place + 4] for place in range(16, size, 4)}
    if brands & AVIF:
        return None
    if brands & HEIF:
        return f"HEIC: {CONVERT}"
    if b"crx " in brands:
        return f"camera raw (CR3): {CONVERT}"
    return "a video (MP4 or QuickTime), not an image"


def _raw(data: bytes) -> str | None:
    """Tell a camera raw (DNG, NEF, ARW, PEF): a TIFF whose first page is the thumbnail of what is in another place."""
    found = metadata.directory(data)
    if found is None:
        return None
    page = found.entries.get(PAGE)
    reduced = page is not None and (found.integer(page) or 0) & 1
    raw = DNG in found.entries or (reduced and SUBPAGES in found.entries)
    return f"camera raw (DNG, NEF, ARW or the like): {CONVERT}" if raw else None


def other(data: bytes) -> str | None:
    """Name what a file is that should be a table, shards or Parquet; None if its first bytes do not say."""
    what = refusal(data) or _text(data)
    return what and re.sub(", not (an|the) image", "", what)


def unidentified(data: bytes) -> str:
    """Name a file that no image format has claimed."""
    if data.startswith(IMAGES) or data[4:8] == b"ftyp":
        return "damaged or cut short: its header cannot be read"
    return _text(data) or "not an image of a format that Winnow reads"


def _text(data: bytes) -> str | None:
    """What kind of text a file is, or None where it is not text."""
    start = data[:TEXT]
    encoding = "utf-16" if start.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        # What was cut off may have been cut within a character.
        words = start.decode(encoding, "strict" if len(data) <= TEXT else "ignore").lstrip().lower()
    except UnicodeDecodeError:
        return None
    if "\x00" in words or not words:
        return None
    return next(kind for pattern, kind in TEXTS if pattern.match(words))
