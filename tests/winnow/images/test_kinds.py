"""What is no image is told by what it is, in a line that says what to do where something can be done."""

import base64
import gzip
import io
import json
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from winnow.images import kinds, picture, screen


def brands(*names: bytes) -> bytes:
    body = b"ftyp" + names[0] + bytes(4) + b"".join(names[1:])
    return (len(body) + 4).to_bytes(4, "big") + body + bytes(64)


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.jpg", b"x")
    return file.getvalue()


def tarred() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.jpg"))
    return file.getvalue()


def array() -> bytes:
    file = io.BytesIO()
    np.save(file, np.zeros(9))
    return file.getvalue()


def tiff(**tags: int) -> bytes:
    """A TIFF with further tags in its first directory."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "TIFF", tiffinfo={int(tag[1:]): value for tag, value in tags.items()})
    return file.getvalue()


RAW = "camera raw (DNG, NEF, ARW or the like): convert it to JPEG or PNG"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (POINTER, "a Git LFS pointer, not the image: run git lfs pull"),
        (brands(b"heic", b"mif1", b"heic"), "HEIC: convert it to JPEG or PNG"),
        (brands(b"mif1", b"mif1", b"heic"), "HEIC: convert it to JPEG or PNG"),
        (brands(b"crx ", b"crx ", b"isom"), "camera raw (CR3): convert it to JPEG or PNG"),
        (brands(b"mp42", b"isom"), "a video (MP4 or QuickTime), not an image"),
        (brands(b"qt  "), "a video (MP4 or QuickTime), not an image"),
        (b"\xff\x0a" + bytes(60), "JPEG XL: convert it to JPEG or PNG"),
        (b"RIFF\x00\x01\x00\x00AVI LIST" + bytes(60), "a video (AVI), not an image"),
        (b"\x1aE\xdf\xa3" + bytes(60), "a video (Matroska or WebM), not an image"),
        (b"<!DOCTYPE html>\n<html><body>404</body></html>", "a web page, not an image: download it again"),
        (b"\xef\xbb\xbf\r\n <HTML lang='en'>" + b"x" * 5000, "a web page, not an image: download it again"),
        (b"<?xml version='1.0'?>\n<!DOCTYPE html PUBLIC '-'><html>", "a web page, not an image: download it again"),
        (b"<!-- a remark -->\n<html></html>", "a web page, not an image: download it again"),
        ("<html>seite</html>".encode("utf-16"), "a web page, not an image: download it again"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "XML, not an image"),
        (b"<?xml?>\n<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG, a drawing of lines: convert it to PNG"),
        (json.dumps({"error": "not found"}).encode(), "JSON, not an image"),
        (base64.b64encode(b"\xff\xd8\xff\xe0" + bytes(60)), "an image in base64: decode it"),
        (b"data:image/png;base64," + base64.b64encode(bytes(60)), "an image in base64 (a data URL): decode it"),
        (b"[InternetShortcut]\r\nURL=https://example.com/\r\n", "a link of Windows, not the image"),
        (b"SIMPLE  =                    T" + bytes(60), "FITS: convert it to JPEG or PNG"),
        ("keine Datei: ü".encode() * 999, "text, not an image"),
        (b"%PDF-1.7\n" + bytes(60), "PDF, not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "PostScript, not an image"),
        (zipped(), "a ZIP archive, not an image"),
        (gzip.compress(b"x" * 60, mtime=0), "compressed by gzip, not an image"),
        (tarred(), "a tar archive, not an image"),
        (bytes(128) + b"DICM" + bytes(60), "DICOM: convert it to JPEG or PNG"),
        (b"8BPS\0\1" + bytes(60), "Photoshop: convert it to JPEG or PNG"),
        (b"II*\0\x10\0\0\0CR\2\0" + bytes(60), "camera raw (CR2): convert it to JPEG or PNG"),
        (tiff(t254=1, t330=8), RAW),
        (tiff(t50706=1), RAW),
        (array(), "a NumPy array, not an image"),
        (b"\x89PNG\r\n\x1a\n" + bytes(60), "damaged or cut short: its header cannot be read"),
        (b"\xff\xd8\xff\xe0", "damaged or cut short: its header cannot be read"),
        (bytes(range(200, 256)) * 9, "not an image of a format that Winnow reads"),
    ],
)
def test_what_is_no_image_is_named(data: bytes, reason: str) -> None:
    assert screen.read(data) == reason


def test_a_tiff_with_a_reduced_page_beside_it_is_no_camera_raw() -> None:
    for data in (tiff(t254=0, t330=8), tiff(t254=2), tiff(t254=1)):
        assert picture.decode(data).size == (8, 8)


@pytest.mark.parametrize("kind", picture.FORMATS)
def test_no_image_that_can_be_read_is_taken_for_something_else(kind: str) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype(np.uint8))
    for image in (noise, noise.convert("L")):
        file = io.BytesIO()
        image.save(file, kind, sizes=[(40, 40)])
        assert kinds.refusal(file.getvalue()) is None
        assert picture.decode(file.getvalue()).size == (40, 40)
