"""Images are read where they lie: whole files, ranges of them, and rows of Parquet, with an error a file."""

import os
import pickle
from pathlib import Path

import fsspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.errors import InputError
from winnow.images import storage
from winnow.reach import within


def places(*rows: tuple[str, int, int]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["file", "place", "size"])


def write(path: Path, images: list[bytes | None], *, group: int = 100, struct: bool = False) -> Path:
    column = pa.array([{"bytes": image} for image in images]) if struct else pa.array(images, pa.binary())
    pq.write_table(pa.table({"image": column}), path, row_group_size=group)
    return path


def test_files_ranges_and_rows_come_in_the_order_that_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"whole file")
    write(tmp_path / "rows.parquet", [b"r0", b"r1", None])
    asked = places(("one", 6, 4), ("rows.parquet", 1, storage.ROW), ("rows.parquet", 2, storage.ROW), ("one", 0, 0))
    for base in (str(tmp_path), tmp_path.as_uri()):
        assert list(storage.read(base, asked)) == [b"file", b"r1", b"", b"whole file"]


@given(
    count=st.integers(0, 300),
    group=st.integers(1, 120),
    struct=st.booleans(),
    data=st.data(),
)
def test_any_rows_of_any_row_groups_are_found(
    tmp_path_factory: pytest.TempPathFactory, count: int, group: int, struct: bool, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("rows") / "rows.parquet"
    images: list[bytes | None] = [str(row).encode() for row in range(count)]
    write(path, images, group=group, struct=struct)
    wanted = sorted(data.draw(st.sets(st.integers(0, count - 1)))) if count else []
    files = fsspec.filesystem("file")
    assert list(storage.rows(files, str(path), wanted)) == [images[row] for row in wanted]
    assert list(storage.rows(files, str(path))) == images
    with pytest.raises(InputError, match="it has changed"):
        list(storage.rows(files, str(path), [*wanted, count]))


def test_a_file_that_cannot_be_read_does_not_stop_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "LIMIT", 100)
    (tmp_path / "good").write_bytes(b"good")
    (tmp_path / "large").write_bytes(b"x" * 101)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    (tmp_path / "folder").mkdir()
    names = ["gone", "large", "pipe", "link", "folder", "good"]
    found = list(storage.read(str(tmp_path), places(*((name, 0, 0) for name in names))))
    assert isinstance(found[0], FileNotFoundError)
    assert [str(error) for error in found[1:5]] == ["larger than 0 MiB", *["not a regular file"] * 3]
    assert found[5] == b"good"


def test_what_is_asked_for_at_once_over_a_network_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether or not the index knows how long an image is, and however many long ones there are."""
    monkeypatch.setattr(storage, "LIMIT", 6400)
    files, asked = fsspec.filesystem("memory"), list[list[int]]()
    lengths = [50] * 70 + [100, 99, 101, 5000, 6400, 6401, 9000, 0] + [3000] * 5
    images = [bytes([number]) * length for number, length in enumerate(lengths)]
    for number, image in enumerate(images):
        files.pipe_file(f"/bounded/{number}", image)
    cat_ranges = files.cat_ranges

    def noted(paths: list[str], starts: list[int], ends: list[int], **options: object) -> list[bytes]:
        asked.append([end - start for start, end in zip(starts, ends, strict=True)])
        return list(cat_ranges(paths, starts, ends, **options))

    monkeypatch.setattr(files, "cat_ranges", noted)
    expected = [image if len(image) <= 6400 else "larger than 0 MiB" for image in images]
    for known in (False, True):
        asked.clear()
        rows = [(str(number), 0, len(image) if known else 0) for number, image in enumerate(images)]
        found = storage.read("memory://bounded", places(*rows))
        assert [str(each) if isinstance(each, OSError) else each for each in found] == expected
        assert max(map(sum, asked)) <= 6401
        assert max(map(len, asked)) == storage.BATCH


def test_a_damaged_parquet_file_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.parquet", [bytes([i]) * 1000 for i in range(50)])
    data = bytearray(path.read_bytes())
    data[4:200] = b"\xff" * 196
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"rows\.parquet is damaged"):
        list(storage.read(str(tmp_path), places(("rows.parquet", 3, storage.ROW))))
    path.write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"rows\.parquet is not a readable Parquet file"):
        list(storage.read(str(tmp_path), places(("rows.parquet", 3, storage.ROW))))


def test_a_pipe_in_place_of_a_parquet_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "rows.parquet")
    with pytest.raises(InputError, match=r"rows\.parquet is not a readable Parquet file \(it is not a regular file\)"):
        within(20, lambda: list(storage.read(str(tmp_path), places(("rows.parquet", 3, storage.ROW)))))


class Harmful:
    """A pickle that writes a file where it is loaded."""

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, ("harm", "w")


def test_code_in_the_types_of_a_parquet_file_does_not_run(workdir: Path) -> None:
    """Older Arrows kept types of an extension as pickles."""
    told = {"ARROW:extension:name": "arrow.py_extension_type", "ARROW:extension:metadata": pickle.dumps(Harmful())}
    schema = pa.schema([pa.field("image", pa.binary(), metadata=told)])
    pq.write_table(pa.table([[b"a", b"b"]], schema=schema), workdir / "rows.parquet")
    assert list(storage.read(".", places(("rows.parquet", 1, storage.ROW)))) == [b"b"]
    assert list(pd.read_parquet("rows.parquet")["image"]) == [b"a", b"b"]
    assert not Path("harm").exists()
