"""A table of paths and labels is read as it stands, and its bad rows are named by number."""

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import encoded, refusal

from tasks.sources import open_source
from tasks.sources.table import is_below


def write(folder: Path, text: str | bytes, name: str = "list.csv") -> Path:
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder / name


def test_a_table_names_images_labels_and_splits(tmp_path: Path) -> None:
    for name in ("a b.png", "c.png", "d.png", "e.png"):
        (tmp_path / name).write_bytes(name.encode())
    text = 'path,label,split\n"a b.png",dog,train\nc.png,"cat, big",train\nd.png,dog,test\ne.png,dog,extra\n'
    source = open_source(write(tmp_path, text))
    assert source.classes == ["cat, big", "dog"]
    assert source.table["id"].tolist() == ["a b.png", "c.png", "d.png"]
    assert source.table["label"].tolist() == [1, 0, 1]
    assert source.table["split"].tolist() == ["train", "train", "test"]
    assert encoded(source) == [b"a b.png", b"c.png", b"d.png"]


def test_ids_and_whole_numbers_in_other_columns(tmp_path: Path) -> None:
    text = "file_name\tkind\tid\nx/1.png\t1\tone\nx/1.png\t0\ttwo\n"
    source = open_source(write(tmp_path, text, "list.tsv"), label="kind")
    assert (source.classes, source.table["id"].tolist()) == (["0", "1"], ["one", "two"])
    assert source.table["file"].tolist() == ["x/1.png", "x/1.png"]


def test_a_parquet_table_is_the_same_as_csv(tmp_path: Path) -> None:
    table = pd.DataFrame({"path": ["a.png", "b.png"], "label": ["x", "y"]})
    table.to_parquet(tmp_path / "list.parquet")
    table.to_csv(tmp_path / "list.csv", index=False)
    one, two = open_source(tmp_path / "list.parquet"), open_source(tmp_path / "list.csv")
    assert one.classes == two.classes
    pd.testing.assert_frame_equal(one.table, two.table)


def test_a_million_bad_rows_are_one_short_error(tmp_path: Path) -> None:
    message = refusal(write(tmp_path, "path,label\n" + "a.png\n" * 1_000_000))
    assert "1000000 bad rows" in message
    assert "row 2: 1 values for 2 columns: 'a.png'" in message
    assert "and 999997 more" in message
    assert len(message) < 400


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("../../etc/passwd,x", "row 3: its path leads out of the table's folder"),
        ("/etc/passwd,x", "row 3: its path leads out of the table's folder"),
        ("https://example.com/a.png,x", "row 3: its path leads out of the table's folder"),
        (",x", "row 3: no `path`"),
        ("b.png,", "row 3: no `label`"),
        ("b.png,  ", "row 3: no `label`"),
        (b"\xff.png,x", "row 3: no `path`, or not in UTF-8"),
        ("a.png,x", "the id 'a.png' twice"),
        ('"b\nc.png",x', "line break"),
        ("b\x1b[31mc.png,x", "an escape"),
        ('b.png,"x\ny"', "is no name for a class"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, row: str | bytes, words: str) -> None:
    data = row if isinstance(row, bytes) else row.encode()
    assert words in refusal(write(tmp_path, b"path,label\na.png,x\n" + data + b"\n"))


def test_a_table_without_its_columns_or_rows_is_refused(tmp_path: Path) -> None:
    assert "needs a column of paths" in refusal(write(tmp_path, "name,label\na.png,x\n"))
    assert "`label` of labels (columns: ['path', 'kind']); prepare.label" in refusal(
        write(tmp_path, "path,kind\na,x\n")
    )
    assert "has no images" in refusal(write(tmp_path, "path,label\n"))
    assert "cannot be read as a table" in refusal(write(tmp_path, ""))


@pytest.mark.parametrize(("one", "two"), [("caf\u00e9", "cafe\u0301"), ("a b", "a  b")])
def test_labels_that_read_the_same_are_refused_with_both(tmp_path: Path, one: str, two: str) -> None:
    message = refusal(write(tmp_path, f"path,label\n1.png,{one}\n2.png,{two}\n"))
    assert repr(one) in message
    assert repr(two) in message


def test_labels_that_differ_only_in_case_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = open_source(write(tmp_path, "path,label\n1.png,Cat\n2.png,cat\n"))
    assert source.classes == ["Cat", "cat"]
    assert "'Cat' and 'cat' differ only in case" in caplog.text


@given(st.lists(st.sampled_from(["..", ".", "a", "b", ""]), max_size=8).map("/".join))
def test_a_path_that_is_let_through_stays_below(path: str) -> None:
    root = Path("/data/set")
    resolved = Path(*root.parts)
    for part in Path(path).parts if path else ():
        resolved = resolved.parent if part == ".." else Path("/") if part == "/" else resolved / part
    if is_below(path):
        assert resolved.is_relative_to(root)
