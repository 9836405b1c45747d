"""No damage to a source ends in anything but images, quarantine or an InputError that names what is at fault.

`make fuzz` tries many more, others each time, for a minute rather than seconds; what fails comes with the line that
repeats it.
"""

import io
import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import webdataset
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from winnow.errors import InputError
from winnow.images import picture, screen, storage
from winnow.sources import open_source

EXAMPLES = int(os.environ.get("WINNOW_FUZZ", "120"))  # of each test
fuzz = settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
# pyarrow cannot show our handler a bad row that is not UTF-8, says so on the side, and refuses the file as it should.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

EDITS = st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=4)), max_size=6)
CUT = st.one_of(st.just(1.0), st.floats(0, 1))


def png(colour: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (9, 7), colour).save(file, "PNG")
    return file.getvalue()


def jpeg() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (9, 7), "red").save(file, "JPEG")
    return file.getvalue()


def spoil(data: bytes, edits: list[tuple[float, bytes]], cut: float) -> bytes:
    """Overwrite bytes at some places, and cut the end off."""
    spoilt = bytearray(data)
    for place, new in edits:
        at = int(place * len(spoilt))
        spoilt[at : at + len(new)] = new
    return bytes(spoilt[: round(cut * len(spoilt))])


def write_parquet(path: Path) -> None:
    images = [{"bytes": png("red"), "path": f"{i}.png"} for i in range(4)]
    pd.DataFrame({"image": images, "label": [0, 1, 0, 1]}).to_parquet(path)


def write_shard(path: Path) -> None:
    with webdataset.TarWriter(str(path), encoder=False) as writer:
        for i in range(3):
            writer.write({"__key__": f"{i}", "png": png("blue"), "cls": b"0", "json": b'{"label": "a"}'})


def write_table(path: Path) -> None:
    path.write_text('path,label,split,id\na.png,cat,train,1\n"b.png","d,og",train,2\nc.png,cat,test,3\n')


def outcome(path: Path) -> tuple[str, list[bytes | OSError]]:
    """Why a source is refused, or its images."""
    try:
        source = open_source(path)
        return "", list(source.copy() if source.copy else storage.read(source.base, source.table))
    except InputError as error:
        return str(error), []


def write_paths(path: Path) -> None:
    pd.DataFrame({"path": ["a.png", "b.png", "c.png"], "label": ["cat", "dog", "cat"]}).to_parquet(path)


WRITERS: dict[str, Callable[[Path], None]] = {
    "mine.parquet": write_parquet,
    "mine.tar": write_shard,
    "mine.csv": write_table,
    "mine-paths.parquet": write_paths,
}


@pytest.mark.parametrize("name", WRITERS)
@fuzz
@given(edits=EDITS, cut=CUT)
def test_a_spoilt_file_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, name: str, edits: list[tuple[float, bytes]], cut: float
) -> None:
    path = tmp_path_factory.mktemp("fuzz", numbered=True) / name
    WRITERS[name](path)
    path.write_bytes(spoil(path.read_bytes(), edits, cut))
    refused, images = outcome(path)
    assert images or any(word in refused for word in ("mine", "class", "name"))
    assert all(isinstance(screen.read(image), Image.Image | str) for image in images)


@fuzz
@given(data=st.binary(max_size=400))
def test_any_bytes_are_read_or_refused_as_any_kind(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.mktemp("fuzz", numbered=True)
    for name in WRITERS:
        (folder / name).write_bytes(data)
        refused, images = outcome(folder / name)
        assert images or refused.startswith("prepare.source: ")


@fuzz
@given(
    kind=st.sampled_from(picture.FORMATS),
    mode=st.sampled_from(["1", "L", "P", "RGB", "RGBA", "CMYK", "I;16"]),
    edits=EDITS,
    cut=CUT,
)
def test_a_spoilt_image_is_decoded_or_set_aside(
    kind: str, mode: str, edits: list[tuple[float, bytes]], cut: float
) -> None:
    file = io.BytesIO()
    try:
        Image.new(mode, (31, 17), 99).save(file, kind)
    except (OSError, ValueError, KeyError, TypeError):
        return  # not every format has every mode
    image = screen.read(spoil(file.getvalue(), edits, cut))
    assert image if isinstance(image, str) else image.mode == "RGB" and all(image.size)


@fuzz
@given(block=st.binary(max_size=120), order=st.sampled_from([b"", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08"]))
def test_a_picture_is_read_whatever_bytes_stand_for_its_exif(block: bytes, order: bytes) -> None:
    plain, exif = jpeg(), b"Exif\0\0" + order + block
    for data in (
        plain[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + plain[2:],
        plain[:2] + b"\xff\xed" + (len(block) + 2).to_bytes(2, "big") + block + plain[2:],
    ):
        image = screen.read(data)
        assert isinstance(image, Image.Image), image
        assert sorted(image.size) == [7, 9]
