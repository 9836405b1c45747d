"""Sources are listed whole and in order, and refused with the file, row or class at fault."""

import json
import os
import resource
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import encoded, refusal

from winnow.errors import InputError
from winnow.reach import within
from winnow.sources import fingerprint, open_source


def write_parquet(
    path: Path,
    labels: list[int | None],
    *,
    names: list[str] | None = None,
    paths: list[str] | None = None,
    images: list[bytes | None] | None = None,
) -> Path:
    """Write a file in the layout of the hub: images of a few bytes, labels, class names in the schema."""
    data = images or [f"{path.stem}{i}".encode() for i in range(len(labels))]
    rows = [{"bytes": b} | ({"path": paths[i]} if paths else {}) for i, b in enumerate(data)]
    table = pa.table({"img": pa.array(rows), "label": pa.array(labels, pa.int64())})
    if names:
        table = table.replace_schema_metadata(
            {"huggingface": json.dumps({"info": {"features": {"label": {"names": names}}}})}
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return path


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(path.as_posix().encode())


def test_an_image_folder_has_a_class_a_folder_and_ids_below_it(tmp_path: Path) -> None:
    touch(tmp_path / "dog/2.png", tmp_path / "dog/.DS_Store", tmp_path / "cat/sub/1.jpg", tmp_path / "cat/note.txt")
    source = open_source(tmp_path)
    assert source.classes == ["cat", "dog"]
    assert source.table["id"].tolist() == ["cat/note.txt", "cat/sub/1.jpg", "dog/2.png"]
    assert source.table["label"].tolist() == [0, 0, 1]
    assert set(source.table["split"]) == {"train"}
    files = [Path(data.decode()).relative_to(tmp_path).as_posix() for data in encoded(source)]
    assert files == source.table["id"].tolist()


@pytest.mark.parametrize("held_out", ["test", "val", "validation"])
def test_folders_named_for_splits_are_splits(tmp_path: Path, held_out: str) -> None:
    touch(*(tmp_path / split / name / "1.png" for split in ("train", held_out, "extra") for name in ("a", "b")))
    table = open_source(tmp_path).table
    splits = {"train/a/1.png": "train", "train/b/1.png": "train"}
    splits |= {f"{held_out}/a/1.png": "test", f"{held_out}/b/1.png": "test"}
    assert dict(zip(table["id"], table["split"], strict=True)) == splits


def test_parquet_is_read_in_order_with_the_names_in_its_schema(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train-00001.parquet", [1], names=["cat", "dog"], paths=["z.png"])
    write_parquet(tmp_path / "train-00000.parquet", [0, 1], names=["cat", "dog"], paths=["x.png", "y.png"])
    write_parquet(tmp_path / "test-00000.parquet", [1], names=["cat", "dog"], paths=["x.png"])
    source = open_source(tmp_path)
    assert source.classes == ["cat", "dog"]
    table = source.table
    found = dict(zip(table["id"], zip(table["split"], table["label"], encoded(source), strict=True), strict=True))
    assert found == {
        "test-00000/x.png": ("test", 1, b"test-000000"),
        "train-00000/x.png": ("train", 0, b"train-000000"),
        "train-00000/y.png": ("train", 1, b"train-000001"),
        "train-00001/z.png": ("train", 1, b"train-000010"),
    }


def test_parquet_without_names_or_paths_counts_classes_and_rows(tmp_path: Path) -> None:
    source = open_source(write_parquet(tmp_path / "mine.parquet", [1, 0, 1]))
    assert source.classes == ["0", "1"]
    assert source.table["id"].tolist() == [f"mine/0000000{i}" for i in range(3)]


def test_an_image_that_is_null_is_read_as_empty(tmp_path: Path) -> None:
    source = open_source(write_parquet(tmp_path / "mine.parquet", [0, 0], images=[b"x", None]))
    assert encoded(source) == [b"x", b""]


def test_images_are_numbered_if_their_paths_do_not_tell_them_apart(tmp_path: Path) -> None:
    """The hub keeps the last part of a path: `cat/1.png` and `dog/1.png` are both `1.png`."""
    source = open_source(write_parquet(tmp_path / "mine.parquet", [0, 0, 0], paths=["a", "b", "a"]))
    assert source.table["id"].tolist() == ["mine/00000000", "mine/00000001", "mine/00000002"]
    assert "images are numbered, since several in a file have the same path" in source.notes


@pytest.mark.parametrize("label", [2, -1])
def test_a_label_outside_the_classes_is_named_with_its_sample(tmp_path: Path, label: int) -> None:
    path = write_parquet(tmp_path / "mine.parquet", [0, label, 1], names=["a", "b"], paths=["x", "y", "z"])
    assert f"mine/y has label {label}, outside the 2 classes" in refusal(path)


def test_a_missing_label_is_named_with_its_row(tmp_path: Path) -> None:
    message = refusal(write_parquet(tmp_path / "mine.parquet", [0, 1, None, None]))
    assert "mine.parquet has 2 bad rows:\n  row 2, mine/00000002 has no label\n  row 3, mine/00000003 has" in message


def test_a_class_without_an_image_to_choose_from_is_named(tmp_path: Path) -> None:
    assert "class 'b'" in refusal(write_parquet(tmp_path / "mine.parquet", [0, 2], names=["a", "b", "c"]))
    touch(tmp_path / "folder/a/1.png")
    (tmp_path / "folder/b").mkdir()
    assert "class 'b'" in refusal(tmp_path / "folder")


def test_a_class_that_is_only_held_out_is_named(tmp_path: Path) -> None:
    touch(tmp_path / "train/a/1.png", tmp_path / "test/a/1.png", tmp_path / "test/new/1.png")
    assert "'new'" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"label": [1]}, "no column of images"),
        ({"img": [{"bytes": b"x"}]}, "no column `label`"),
        ({"img": [{"bytes": b"x"}], "label": [[0]]}, "the column `label` holds lists; an image must have one label"),
        ({"img": [{"bytes": b"x"}], "label": [{"a": 0}]}, "no column `label` of whole numbers"),
        ({"img": [0], "label": [0]}, "no column of images"),
    ],
)
def test_parquet_of_another_layout_is_refused_with_its_columns(tmp_path: Path, table: dict, words: str) -> None:
    pq.write_table(pa.table(table), tmp_path / "mine.parquet")
    message = refusal(tmp_path)
    assert all(part in message for part in ("mine.parquet", words, *table))


def test_names_in_parquet_that_are_not_utf_8_are_refused(tmp_path: Path) -> None:
    names = pa.array([b"caf\xe9", b"tea"]).view(pa.string())
    images = pa.StructArray.from_arrays([pa.array([b"x", b"y"]), names], ["bytes", "path"])
    pq.write_table(pa.table({"image": images, "label": [0, 1]}), tmp_path / "paths.parquet")
    assert "paths.parquet: column `image.path` is damaged" in refusal(tmp_path / "paths.parquet")
    pq.write_table(pa.table({"image": [{"bytes": b"x"}] * 2, "label": names}), tmp_path / "labels.parquet")
    assert "labels.parquet: column `label` is damaged" in refusal(tmp_path / "labels.parquet")


def test_parquet_without_rows_is_refused(tmp_path: Path) -> None:
    pd.DataFrame({"img": [{"bytes": b"x"}], "label": [0]}).iloc[:0].to_parquet(tmp_path / "rows.parquet")
    assert "rows.parquet" in refusal(tmp_path)


def test_what_is_neither_folder_nor_parquet_is_refused(tmp_path: Path) -> None:
    touch(tmp_path / "list.txt", tmp_path / "bad/one.parquet")
    assert "does not exist" in refusal(tmp_path / "none")
    assert "neither an image folder nor Parquet" in refusal(tmp_path / "list.txt")
    assert "one.parquet is not a readable Parquet file" in refusal(tmp_path / "bad")
    (tmp_path / "empty").mkdir()
    assert "has no folders" in refusal(tmp_path / "empty")


def test_of_several_columns_of_images_one_is_read_by_its_name(tmp_path: Path) -> None:
    columns = {"mask": [{"bytes": b"m"}], "image": [{"bytes": b"i"}], "thumb": [b"t"], "label": ["a"]}
    pq.write_table(pa.table(columns), tmp_path / "one.parquet")
    source = open_source(tmp_path)
    assert encoded(source) == [b"i"]
    assert source.notes == ("images are in the column `image`, of several (mask, thumb)",)
    pq.write_table(pa.table({"front": [b"f"], "back": [b"b"], "label": ["a"]}), tmp_path / "one.parquet")
    assert "several columns hold images: front, back; rename the one to use to `image`" in refusal(tmp_path)


def test_class_names_that_differ_among_files_are_matched_by_name(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train-0.parquet", [0, 1], names=["cat", "dog"])
    write_parquet(tmp_path / "train-1.parquet", [0, 1, 2], names=["dog", "cat", "elk"])
    source = open_source(tmp_path)
    assert [source.classes[label] for label in source.table["label"]] == ["cat", "dog", "dog", "cat", "elk"]
    assert source.notes == ("the files list their classes differently; the 3 classes are matched by name",)
    write_parquet(tmp_path / "train-2.parquet", [0, 1])
    assert "train-2.parquet has numbers for labels and no class names in its schema" in refusal(tmp_path)


def test_a_file_without_class_names_takes_those_of_the_others(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train-0.parquet", [1])
    write_parquet(tmp_path / "train-1.parquet", [0], names=["cat", "dog"])
    source = open_source(tmp_path)
    assert [source.classes[label] for label in source.table["label"]] == ["dog", "cat"]


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (pa.array([1.0, 2.0]), ["1", "2"]),
        (pa.array([True, False]), ["False", "True"]),
        (pa.array([b"x", b"y"]), ["x", "y"]),
        (pa.array(["007", "7"]), ["007", "7"]),
        (pa.array(["x", "y"]).dictionary_encode(), ["x", "y"]),
        (pa.array([5, 10**15]), ["5", str(10**15)]),
    ],
)
def test_labels_of_any_type_in_parquet(tmp_path: Path, labels: pa.Array, classes: list[str]) -> None:
    pq.write_table(pa.table({"image": [b"1", b"2"], "label": labels}), tmp_path / "one.parquet")
    assert open_source(tmp_path).classes == classes


@pytest.mark.parametrize("names", [["Train", "TEST"], ["training", "dev"]])
@pytest.mark.parametrize("pattern", ["{}-0.parquet", "data/{}-00000-of-00001.parquet", "default/{}/0000.parquet"])
def test_parquet_tells_its_split_in_any_spelling_and_folder(tmp_path: Path, names: list[str], pattern: str) -> None:
    for name in names:
        write_parquet(tmp_path / pattern.format(name), [0, 1])
    (tmp_path / "README.md").write_text("a clone from the hub")
    source = open_source(tmp_path)
    assert source.classes == ["0", "1"]
    assert all(
        (split == "test") == (names[1] in name)
        for name, split in zip(source.table["id"], source.table["split"], strict=True)
    )
    assert source.table["split"].value_counts().to_dict() == {"train": 2, "test": 2}


def test_a_column_of_parquet_tells_the_split_if_no_name_does(tmp_path: Path) -> None:
    columns = {"image": [b"1", b"2", b"3"], "label": ["a", "a", None], "split": ["Train", "Val", "TEST"]}
    pq.write_table(pa.table(columns), tmp_path / "one.parquet")
    source = open_source(tmp_path, held_out="val")
    assert source.table["split"].tolist() == ["train", "test"]
    assert encoded(source) == [b"1", b"2"]
    assert "splits: Train 1 to choose from; Val 1 held out; TEST 1 not used" in source.notes
    pq.write_table(pa.table(columns | {"split": [0, 0, 1]}), tmp_path / "one.parquet")
    assert "0, 1; prepare.held_out names the one to hold out" in refusal(tmp_path)


def test_a_split_that_is_not_used_needs_no_labels(tmp_path: Path) -> None:
    for name, labels in {"train": [0, 1], "validation": [0, 1], "test": [-1, -1]}.items():
        write_parquet(tmp_path / f"{name}.parquet", labels, names=["a", "b"])
    assert "label -1, outside the 2 classes" in refusal(tmp_path)
    source = open_source(tmp_path, held_out="validation")
    assert source.notes == ("splits: train 2 to choose from; validation 2 held out; test 2 not used",)


def test_more_files_than_may_be_open_are_read_one_after_another(tmp_path: Path) -> None:
    for i in range(80):
        write_parquet(tmp_path / f"train-{i:05d}.parquet", [0])
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 40, before[1]))
    try:
        assert len(encoded(open_source(tmp_path))) == 80
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize(("encoding", "newline"), [("utf-8-sig", "\r\n"), ("utf-16", "\r\n"), ("utf-8", "\n")])
def test_a_list_of_ids_is_read_as_editors_save_it(tmp_path: Path, encoding: str, newline: str) -> None:
    touch(
        tmp_path / "set/cat/0.png", tmp_path / "set/cat/1.png", tmp_path / "set/dog/0.png", tmp_path / "set/dog/1.png"
    )
    text = newline.join(["# held out", "cat/0.png  ", "", "./dog/0.png", "dog\\1.png", ""])
    (tmp_path / "ids.TXT").write_bytes(text.encode(encoding))
    (tmp_path / "set/dog/2.png").write_bytes(b"")
    table = open_source(tmp_path / "set", held_out=str(tmp_path / "ids.TXT")).table
    assert table.loc[table["split"] == "test", "id"].tolist() == ["cat/0.png", "dog/0.png", "dog/1.png"]


@pytest.mark.parametrize("name", ["set.tar.gz", "set.zip", "set.tgz"])
def test_what_is_packed_is_named(tmp_path: Path, name: str) -> None:
    touch(tmp_path / name)
    assert f"holds {name}, which is compressed" in refusal(tmp_path / name)
    assert name in refusal(tmp_path)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (
            {"image": [{"bytes": None, "path": "0.png"}]},
            "the column `image` holds no bytes, so its images lie elsewhere",
        ),
        ({"image": pa.array([{"bytes": None}], pa.struct({"bytes": pa.binary()}))}, "`image` holds no bytes"),
        ({"images": [[{"bytes": b"x"}]]}, "`images` holds lists of images, and a sample has one"),
        ({"image": ["aGVsbG8="], "photo": [b"x"]}, ""),
        ({"url": ["https://host/0.png"]}, "img2dataset writes them as tar shards with --output_format webdataset"),
    ],
)
def test_parquet_without_the_bytes_of_its_images_says_why(tmp_path: Path, columns: dict, words: str) -> None:
    pq.write_table(pa.table(columns | {"label": ["a"]}), tmp_path / "train-0.parquet")
    if words:
        assert words in refusal(tmp_path)
    else:
        assert encoded(open_source(tmp_path)) == [b"x"]


def test_images_as_text_are_no_paths(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": ["A" * 5000], "label": ["a"]}), tmp_path / "one.parquet")
    assert "is no path; a column of paths is needed, or images as bytes" in refusal(tmp_path)


@pytest.mark.parametrize("name", ["train.parquet", "train.tar", "list.csv"])
def test_a_pointer_of_git_lfs_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 1234\n")
    message = refusal(tmp_path / name)
    assert name in message
    assert "it is a Git LFS pointer: run git lfs pull" in message


def test_a_spreadsheet_is_named(tmp_path: Path) -> None:
    touch(tmp_path / "list.xlsx")
    assert "is a spreadsheet, list.xlsx; save it as CSV" in refusal(tmp_path / "list.xlsx")


def test_two_labels_of_one_name_are_refused(tmp_path: Path) -> None:
    write_parquet(tmp_path / "mine.parquet", [0, 1, 2], names=["cat", "dog", "cat"])
    assert "the metadata names two labels 'cat'; each must be unique" in refusal(tmp_path)


def test_metadata_that_cannot_be_read_names_no_class(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "mine.parquet", [0, 1])
    deep = pq.read_table(path).replace_schema_metadata({"huggingface": "[" * 200_000})
    pq.write_table(deep, path)
    assert open_source(path).classes == ["0", "1"]


def test_rows_that_img2dataset_could_not_download_are_passed_over(tmp_path: Path) -> None:
    status = ["success", "failed_to_download", "success"]
    columns = {"jpg": [b"0", None, b"2"], "label": ["a", "b", "b"], "url": ["u"] * 3, "key": ["k"] * 3}
    pq.write_table(pa.table(columns | {"status": status}), tmp_path / "00000.parquet")
    source = open_source(tmp_path)
    assert encoded(source) == [b"0", b"2"]
    assert source.notes == ("1 rows whose `status` is not success, and which have no image: passed over",)


def test_folders_beside_shards_or_parquet_are_said(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.png").write_bytes(name.encode())
    pq.write_table(pa.table({"features": [[0.5], [1.5]]}), tmp_path / "features.parquet")
    source = open_source(tmp_path)
    assert source.classes == ["cat", "dog"]
    assert source.notes[0] == "1 Parquet files beside the folders are passed over; they hold no images and no paths"
    write_parquet(tmp_path / "features.parquet", [0, 1])
    assert "the folders cat, dog beside the files are passed over" in open_source(tmp_path).notes


@pytest.mark.parametrize("source", ["/dev/null", "hf://datasets/mnist"])
def test_what_no_file_system_can_list_is_named(source: str) -> None:
    for opened in (open_source, fingerprint.of):
        with pytest.raises(InputError, match=f"prepare.source: {source} cannot be read"):
            opened(source)


def test_a_link_to_itself_is_named(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat/loop").symlink_to("loop")
    for opened in (open_source, fingerprint.of):
        with pytest.raises(InputError, match=r"cannot be read .*cat/loop"):
            opened(tmp_path if opened is open_source else str(tmp_path))


@pytest.mark.parametrize("name", ["train.parquet", "train.tar", "list.csv", "list.jsonl"])
def test_a_pipe_is_no_source(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    assert f"{name} cannot be read: it is a pipe or a device" in refusal(tmp_path / name)


@pytest.mark.parametrize("name", ["train.parquet", "train.tar"])
def test_a_pipe_in_a_source_is_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    assert "it is not a regular file" in within(20, lambda: refusal(tmp_path))


def test_a_pipe_of_ids_to_hold_out_is_not_waited_for(tmp_path: Path) -> None:
    touch(tmp_path / "set/cat/0.png", tmp_path / "set/dog/0.png")
    os.mkfifo(tmp_path / "ids.txt")
    with pytest.raises(InputError, match=r"ids\.txt cannot be read \(it is not a regular file\)"):
        within(20, lambda: open_source(tmp_path / "set", held_out=str(tmp_path / "ids.txt")))
