"""A table of paths and labels is read as it stands, and its bad rows are named by number."""

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import encoded, refusal

from winnow.sources import open_source
from winnow.sources.table import is_below


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
        ("https://example.com/a.png,x", "row 3: its path is a URL, and images are read from the table's folder"),
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


def tables(folder: Path, text: str, *images: str) -> Path:
    """Write list.csv, and its images."""
    for name in images:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return write(folder, text)


@pytest.mark.parametrize(
    ("text", "encoding", "note"),
    [
        ("path;label\na.png;x\nb.png;y\n", "utf-8", "list.csv has semicolons between its values"),
        ("path\tlabel\na.png\tx\nb.png\ty\n", "utf-8", "list.csv has tabs between its values"),
        ("path\tlabel\r\na.png\tx\r\nb.png\ty\r\n", "utf-16", "list.csv has tabs between its values"),
        ("path,label\r\na.png,x\r\nb.png,y\r\n", "utf-8-sig", None),
        ("sep=;\r\npath;label\r\na.png;x\r\nb.png;y\r\n", "utf-8", None),
        ("path,label\na.png,x\n,\nb.png,y\n,\n\n\n", "utf-8", "2 empty rows of list.csv are passed over"),
        ("Path, Label \na.png,x\nb.png,y\n", "utf-8", "labels are in the column ` Label `"),
        ("image_path,label\na.png,x\nb.png,y\n", "utf-8", None),
        ("\r\n\npath,label\na.png,x\nb.png,y\n", "utf-8", None),
        ('path,label,about\na.png,x,"one"\n\nb.png,y,two\n', "utf-8", None),
        (
            'path,label,about\na.png,x,"one\ne.png,x,two"\nb.png,y,three\n',
            "utf-8",
            "3 lines of list.csv are 2 rows, since values hold line breaks; is a quote not closed?",
        ),
        (
            "other,file,path,label\n-,-,a.png,x\n-,-,b.png,y\n",
            "utf-8",
            "paths are in the column `path`, of several (file)",
        ),
    ],
)
def test_tables_are_read_as_programs_save_them(tmp_path: Path, text: str, encoding: str, note: str | None) -> None:
    source = open_source(write(tmp_path, text.encode(encoding)))
    assert source.table["id"].tolist() == ["a.png", "b.png"]
    assert source.classes == ["x", "y"]
    assert source.notes == ((note,) if note else ())


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32"])
def test_an_encoding_without_a_mark_is_named(tmp_path: Path, encoding: str) -> None:
    assert "list.csv is not in UTF-8: its" in refusal(write(tmp_path, "path,label\na.png,x\n".encode(encoding)))


@pytest.mark.parametrize("path", ['["a.png"]', '{"path": "a.png"}'])
def test_what_is_not_one_path_is_none(tmp_path: Path, path: str) -> None:
    message = refusal(write(tmp_path, f'{{"image": {path}, "label": "x"}}\n', "metadata.jsonl"))
    assert "row 1: no `image`" in message


def test_of_several_tables_one_is_to_be_named(tmp_path: Path) -> None:
    for name in ("train.csv", "test.csv"):
        write(tmp_path, "path,label\na.png,x\n", name)
    assert "*.csv is 2 tables (test.csv, train.csv); name one" in refusal(tmp_path / "*.csv")


def test_json_lines_are_a_table(tmp_path: Path) -> None:
    lines = '{"file_name": "a.png", "label": 1}\n\n{"file_name": "b.png", "label": "NA"}\n'
    source = open_source(write(tmp_path, lines, "metadata.jsonl"))
    assert (source.classes, source.table["id"].tolist()) == (["1", "NA"], ["a.png", "b.png"])
    bad = '{"file_name": "a.png", "label": null}\n{"file_name": "b.png", "label": ["x", "y"]}\n'
    message = refusal(write(tmp_path, bad, "metadata.jsonl"))
    assert "has 2 bad rows:\n  row 1: no `label`" in message
    assert "row 2: the label ['x', 'y'], which is not one class" in message
    assert "row 2: no JSON object: '[1]'" in refusal(write(tmp_path, '{"path": "a"}\n[1]\n', "metadata.jsonl"))


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("split", "TT"),
        ("Split", "tv"),
        ("subset", "te"),
        ("set", "tT"),
        ("Usage", "tp"),
        ("data set", "tv"),
        ("set_type", "tT"),
        ("train_test", "tT"),
        ("stage", "te"),
    ],
)
def test_a_column_tells_the_split_in_any_spelling(tmp_path: Path, column: str, values: str) -> None:
    names = {"T": "Testing", "t": "train", "v": "Val", "e": "eval", "p": "PublicTest"}
    text = f"path,label,{column}\na.png,x,Train\nb.png,x,{names[values[1]]}\n"
    source = open_source(write(tmp_path, text))
    assert source.table["split"].tolist() == ["train", "test"]
    assert any(note.startswith("splits: ") for note in source.notes)


def test_a_column_of_another_meaning_is_no_split(tmp_path: Path) -> None:
    text = "path,label,type,type,mode\na.png,x,train,1,train\nb.png,x,test,2,ship\n"
    assert open_source(write(tmp_path, text)).table["split"].tolist() == ["train", "train"]


@pytest.mark.parametrize("slash", ["/", "\\"])
def test_paths_tell_the_split_if_no_column_does(tmp_path: Path, slash: str) -> None:
    text = "path,label\nTrain/cat/0.png,cat\ntest/cat/0.png,cat\n".replace("/", slash)
    source = open_source(tables(tmp_path, text, "Train/cat/0.png", "test/cat/0.png"))
    assert source.table["split"].tolist() == ["train", "test"]
    assert {"splits: Train 1 to choose from; test 1 held out", "splits are in the paths"} <= set(source.notes)


def test_a_split_that_is_not_used_may_lack_labels(tmp_path: Path) -> None:
    text = "path,label,split\na.png,x,Train\nb.png,x,validation\nc.png,,TEST\n"
    source = open_source(write(tmp_path, text), held_out="VALIDATION")
    assert source.table["split"].tolist() == ["train", "test"]
    assert source.notes == ("splits: Train 1 to choose from; validation 1 held out; TEST 1 not used",)
    assert "no `label`" in refusal(tmp_path / "list.csv")


def test_values_of_a_split_that_say_nothing_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "path,label,split\na.png,x,0\nb.png,x,1\n")
    assert "0, 1; prepare.held_out names the one to hold out" in refusal(path)
    assert open_source(path, held_out="1").table["split"].tolist() == ["train", "test"]
    assert "no `split`" in refusal(write(tmp_path, "path,label,split\na.png,x,train\nb.png,x,\n"))


@pytest.mark.parametrize("path", ["imgs\\cat\\0.png", ".\\imgs\\cat\\0.png"])
def test_paths_of_windows_are_read(tmp_path: Path, path: str) -> None:
    source = open_source(tables(tmp_path, f"path,label\n{path},cat\n", "imgs/cat/0.png"))
    assert source.table["id"].tolist() == ["imgs/cat/0.png"]
    assert encoded(source) == [b"imgs/cat/0.png"]
    assert source.notes == ("1 paths have backslashes, as on Windows; they are read as slashes",)


def test_a_name_that_holds_a_backslash_is_left_alone(tmp_path: Path) -> None:
    source = open_source(tables(tmp_path, "path,label\na\\b.png,cat\n", "a\\b.png"))
    assert source.table["id"].tolist() == ["a\\b.png"]


@pytest.mark.parametrize("path", ["..\\0.png", "\\\\server\\0.png", "~/0.png"])
def test_a_path_from_elsewhere_is_refused(tmp_path: Path, path: str) -> None:
    assert "row 2: its path leads out of the table's folder" in refusal(write(tmp_path, f"path,label\n{path},x\n"))


@pytest.mark.parametrize("path", ["C:\\imgs\\0.png", "d:/imgs/0.png"])
def test_a_drive_of_windows_is_named(tmp_path: Path, path: str) -> None:
    message = refusal(write(tmp_path, f"path,label\n{path},x\n"))
    assert "row 2: its path has a drive of Windows, and paths are relative to the table's folder" in message


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("imgs/CAT/0.png", "is called 'imgs/cat/0.png' on the disk"),
        ("imgs/cat/0", "lacks the suffix of the file, .png"),
        ("cat/0.png", "is 'imgs/cat/0.png'; write the paths so"),
        ("cat/0", "is 'imgs/cat/0.png'; write the paths so"),
        ("data/imgs/cat/0.png", "is 'imgs/cat/0.png' below the table's folder"),
        ("imgs/a%20b.png", "is encoded as in a URL; write 'imgs/a b.png'"),
        ("here.png", "is relative to the working directory"),
    ],
)
def test_where_the_images_lie_is_said_if_none_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, words: str
) -> None:
    (tmp_path / "cwd").mkdir()
    (tmp_path / "cwd/here.png").write_bytes(b"")
    monkeypatch.chdir(tmp_path / "cwd")
    (tmp_path / "set").mkdir()
    message = refusal(tables(tmp_path / "set", f"path,label\n{path},cat\n", "imgs/cat/0.png", "imgs/a b.png"))
    assert f"list.csv: none of the 1 images is there; {path!r} {words}" in message


def test_a_table_without_a_header_is_told_to_have_one(tmp_path: Path) -> None:
    message = refusal(write(tmp_path, "a.png,x\nb.png,y\n"))
    assert (
        "the first line of list.csv names no columns (['a.png', 'x']); begin it with a line such as path,label"
        in message
    )


def test_a_column_that_may_tell_the_split_but_is_not_read_is_said(tmp_path: Path) -> None:
    source = open_source(write(tmp_path, "path,label,is_train\na.png,x,1\nb.png,x,0\n"))
    assert source.notes == ("the column `is_train` is not read; a column `split` says what is held out",)


def test_the_folder_that_a_table_is_named_for_comes_first(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    images = tables(tmp_path / "set", "", "test/0.jpg", "train/0.jpg").parent
    (images / "train.csv").write_text("image_id,label\n0,x\n")
    assert "'0' is 'train/0.jpg'" in refusal(images / "train.csv")


def test_numbers_and_missing_values_of_a_parquet_table(tmp_path: Path) -> None:
    table = pd.DataFrame({"path": ["a.png", "b.png"], "label": [1.0, 2.0]})
    table.to_parquet(tmp_path / "list.parquet")
    assert open_source(tmp_path / "list.parquet").classes == ["1", "2"]
    table["label"] = pd.Categorical(["x", "y"])
    table.to_parquet(tmp_path / "list.parquet")
    assert open_source(tmp_path / "list.parquet").classes == ["x", "y"]
    table["label"] = [1.0, None]
    table.to_parquet(tmp_path / "list.parquet")
    assert "row 1: no `label`" in refusal(tmp_path / "list.parquet")
