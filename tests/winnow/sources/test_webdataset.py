"""Tar shards are listed as webdataset reads them, found by offset, and refused where a member is not honest."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
import webdataset
from support import encoded, refusal

from winnow.sources import open_source


def shard(path: Path, samples: list[dict[str, Any]]) -> Path:
    with webdataset.TarWriter(str(path), encoder=False) as writer:
        for sample in samples:
            writer.write(sample)
    return path


def samples(count: int, start: int = 0) -> list[dict[str, Any]]:
    return [
        {"__key__": f"{i:04d}", "jpg": f"image {i}".encode() * (i + 1), "cls": str(i % 3).encode()}
        for i in range(start, start + count)
    ]


def member(name: str, data: bytes = b"x", **changed: Any) -> tuple[tarfile.TarInfo, io.BytesIO]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in changed.items():
        setattr(info, key, value)
    return info, io.BytesIO(data)


def test_shards_are_what_webdataset_reads(tmp_path: Path) -> None:
    shard(tmp_path / "set-train-000000.tar", samples(5))
    shard(tmp_path / "set-train-000001.tar", samples(4, 5))
    shard(tmp_path / "set-val-000000.tar", samples(3, 9))
    source = open_source(tmp_path)
    paths = sorted(map(str, tmp_path.glob("*.tar")))
    theirs = list(webdataset.WebDataset(paths, shardshuffle=False))
    assert encoded(source) == [sample["jpg"] for sample in theirs]
    assert source.table["label"].tolist() == [int(sample["cls"]) for sample in theirs]
    stems = [Path(sample["__url__"]).stem for sample in theirs]
    assert source.table["id"].tolist() == [f"{s}/{t['__key__']}" for s, t in zip(stems, theirs, strict=True)]
    assert source.table["split"].tolist() == ["train"] * 9 + ["test"] * 3


def test_a_label_is_a_name_or_in_the_json(tmp_path: Path) -> None:
    path = shard(
        tmp_path / "mine.tar",
        [
            {"__key__": "a", "png": b"1", "cls": b"dog\n"},
            {"__key__": "b", "png": b"2", "json": json.dumps({"label": "cat"}).encode()},
        ],
    )
    source = open_source(path)
    assert source.classes == ["cat", "dog"]
    assert source.table["label"].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("info", "words"),
    [
        (member("../evil.jpg"), "the member '../evil.jpg' leads out of its folder"),
        (member("a/../../evil.jpg"), "leads out of its folder"),
        (member("/etc/evil.jpg"), "the member '/etc/evil.jpg' leads out of its folder"),
        (member("link.jpg", type=tarfile.SYMTYPE, linkname="/etc/passwd"), "'link.jpg' is no regular file"),
        (member("hard.jpg", type=tarfile.LNKTYPE, linkname="0000.jpg"), "'hard.jpg' is no regular file"),
        (member("pipe.jpg", type=tarfile.FIFOTYPE), "'pipe.jpg' is no regular file"),
        (member("device.jpg", type=tarfile.CHRTYPE), "'device.jpg' is no regular file"),
    ],
)
def test_a_dishonest_member_is_named(tmp_path: Path, info: tuple[tarfile.TarInfo, io.BytesIO], words: str) -> None:
    with tarfile.open(tmp_path / "bad.tar", "w") as tar:
        tar.addfile(*member("0000.jpg"))
        tar.addfile(*member("0000.cls", b"0"))
        info[1].seek(0)
        tar.addfile(*info)
    message = refusal(tmp_path / "bad.tar")
    assert "bad.tar" in message
    assert words in message


@pytest.mark.parametrize(
    ("sample", "words"),
    [
        ({"cls": b"0"}, "mine.tar: k has no image (members: ['cls'])"),
        ({"jpg": b"x"}, "mine.tar: k has no label"),
        ({"jpg": b"x", "json": b"{}"}, "its json has no `label`; prepare.label names another"),
        ({"jpg": b"x", "json": b"["}, "its json has no `label`"),
        ({"jpg": b"x", "json": b"[" * 100_000}, "its json has no `label`"),
        ({"jpg": b"x", "cls": b"\xff"}, "mine.tar: k has a label that is not UTF-8"),
        ({"jpg": b"x", "cls": b"1" * 2**21}, "mine.tar: k has a label of 2097152 bytes"),
    ],
)
def test_a_sample_that_lacks_a_part_is_named(tmp_path: Path, sample: dict[str, bytes], words: str) -> None:
    assert words in refusal(shard(tmp_path / "mine.tar", [{"__key__": "k"} | sample]))


def test_a_damaged_or_compressed_shard_is_named(tmp_path: Path) -> None:
    path = shard(tmp_path / "mine.tar", samples(5))
    path.write_bytes(path.read_bytes()[:2000])
    assert "mine.tar is no readable tar shard" in refusal(path)
    path.write_bytes(b"\x1f\x8b no tar")
    assert "compressed? (gunzip it)" in refusal(path)
    with tarfile.open(path, "w"):
        pass
    assert "no samples" in refusal(path)


def test_a_key_that_stands_twice_is_named(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "twice.tar", "w") as tar:
        for name in ("a.jpg", "a.jpg", "a.cls"):
            tar.addfile(*member(name, b"0"))
    message = refusal(tmp_path / "twice.tar")
    assert "twice.tar: a.jpg: duplicate file name" in message
    assert "compressed" not in message


def test_a_shard_that_goes_on_after_its_end_is_refused(tmp_path: Path) -> None:
    path = shard(tmp_path / "mine.tar", samples(4))
    whole = path.read_bytes()
    path.write_bytes(whole + bytes(100_000))
    assert len(open_source(path).table) == 4
    path.write_bytes(whole + shard(tmp_path / "more.tar", samples(4, 4)).read_bytes())
    assert "mine.tar goes on after its end, so not all of it would be read" in refusal(path)


@pytest.mark.parametrize("kind", ["jfif", "pgm", "jp2", "HEIC"])
def test_a_kind_of_image_that_is_seldom_is_one_too(tmp_path: Path, kind: str) -> None:
    tar(tmp_path / "mine.tar", (f"a.{kind}", b"image"), ("a.cls", b"x"))
    assert encoded(open_source(tmp_path / "mine.tar")) == [b"image"]


def tar(path: Path, *members: tuple[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in members:
            archive.addfile(*member(name, data))
    return path


def test_members_of_a_sample_may_stand_apart(tmp_path: Path) -> None:
    images = [(f"./{i}.JPG", f"image {i}".encode()) for i in range(3)]
    source = open_source(tar(tmp_path / "mine.tar", *images, *((f"{i}.cls", b"ab"[i % 2 :][:1]) for i in range(3))))
    assert source.table["id"].tolist() == ["mine/./0", "mine/./1", "mine/./2"]
    assert source.table["label"].tolist() == [0, 1, 0]
    assert encoded(source) == [b"image 0", b"image 1", b"image 2"]


@pytest.mark.parametrize(
    ("label", "words"),
    [
        (None, "has no label"),
        (float("nan"), "has no label"),
        (["cat", "dog"], "has the label ['cat', 'dog'], which is not one class"),
        ({"name": "cat"}, "which is not one class"),
        (0.5, "has the label 0.5, which is a measurement"),
        ("", "has no label"),
    ],
)
def test_a_label_in_json_that_is_none_is_named_with_a_count(tmp_path: Path, label: Any, words: str) -> None:
    about = json.dumps({"label": label}).encode()
    path = shard(tmp_path / "mine.tar", [{"__key__": f"{i}", "jpg": b"x", "json": about} for i in range(5)])
    message = refusal(path)
    assert f"has 5 bad samples:\n  mine.tar: 0 {words}" in message or words in message
    assert "and 2 more" in message


def test_a_split_in_json_or_in_a_folder_of_the_shard_is_seen(tmp_path: Path) -> None:
    names = ["Train", "TEST", "train"]
    path = shard(
        tmp_path / "mine.tar",
        [
            {"__key__": f"{i}", "jpg": b"x", "json": json.dumps({"label": "a", "split": name}).encode()}
            for i, name in enumerate(names)
        ],
    )
    assert open_source(path).table["split"].tolist() == ["train", "test", "train"]
    path = tar(
        tmp_path / "mine.tar",
        *((f"{name}/{i}.{kind}", b"a") for i, name in enumerate(names) for kind in ("jpg", "cls")),
    )
    assert open_source(path).table["split"].tolist() == ["train", "test", "train"]


def test_what_is_no_part_of_a_sample_is_passed_over_with_a_count(tmp_path: Path) -> None:
    extra = [("._0.jpg", b"x"), ("__MACOSX/._0.jpg", b"x"), (".DS_Store", b"x"), ("README.md", b"x"), ("LICENSE", b"x")]
    source = open_source(tar(tmp_path / "mine.tar", *extra, ("v1.2/0.jpg", b"x"), ("v1.2/0.cls", b"a")))
    assert source.table["id"].tolist() == ["mine/v1.2/0"]
    assert source.notes == (
        "hidden files, and those of operating systems: 3 passed over",
        "members without a suffix: 1 passed over",
        "members that are no part of a sample: 1 passed over",
    )


def test_of_several_images_one_is_read_by_a_rule(tmp_path: Path) -> None:
    sample = {"__key__": "0", "seg.png": b"mask", "jpg": b"image", "cls": b"1", "json": b'{"label": "a"}', "txt": b"b"}
    source = open_source(shard(tmp_path / "mine.tar", [sample]))
    assert encoded(source) == [b"image"]
    assert source.classes == ["1"]
    assert {
        "1 samples have several images; `jpg` is read",
        "1 samples have `cls` and `json`; `cls` is the label",
    } <= set(source.notes)
    sample = {"__key__": "0", "left.png": b"l", "right.png": b"r", "cls": b"1"}
    assert "several images, and none is called `image`" in refusal(shard(tmp_path / "mine.tar", [sample]))


def test_what_cannot_be_brought_together_is_explained(tmp_path: Path) -> None:
    message = refusal(tar(tmp_path / "mine.tar", ("images/0.jpg", b"x"), ("labels/0.cls", b"a")))
    assert "images/0 and labels/0 look like one sample" in message
    message = refusal(tar(tmp_path / "mine.tar", ("cat/0.jpg", b"x"), ("dog/1.jpg", b"a")))
    assert "if its folders are classes, unpack the tar" in message


def test_names_with_dots_are_explained(tmp_path: Path) -> None:
    members = [(f"v1.{row}.{kind}", b"a") for row in range(2) for kind in ("jpg", "cls")]
    message = refusal(tar(tmp_path / "mine.tar", *members))
    assert "the name of a sample ends at its first dot, so `0.cls` is taken for a kind of member" in message


def test_shards_beside_the_parquet_of_img2dataset_are_read(tmp_path: Path) -> None:
    for k in range(2):
        shard(tmp_path / f"0000{k}.tar", samples(3, 3 * k))
        (tmp_path / f"0000{k}.parquet").write_bytes(b"metadata")
        (tmp_path / f"0000{k}_stats.json").write_text("{}")
    source = open_source(tmp_path)
    assert source.table["id"].tolist() == [f"0000{i // 3}/{i:04d}" for i in range(6)]
    assert source.notes[0] == "2 Parquet files beside the tar shards are passed over"


def test_a_split_of_shards_that_is_not_used_is_said(tmp_path: Path) -> None:
    for name in ("Train", "Test", "val"):
        shard(tmp_path / f"set-{name}-0.tar", samples(3))
    source = open_source(tmp_path)
    assert source.table["split"].tolist() == ["test"] * 3 + ["train"] * 3
    assert source.notes == (
        "splits: train 3 to choose from; test 3 held out; val (1 shards) not used",
        *source.notes[1:],
    )


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE])
@pytest.mark.parametrize("before", [0, 2])
def test_a_name_of_four_gigabytes_is_not_read(tmp_path: Path, kind: bytes, before: int) -> None:
    path = shard(tmp_path / "mine.tar", samples(before))
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = kind, 2**32
    with path.open("r+b") as file:
        file.truncate(before * 4 * 512)  # the members, without the blocks that end an archive
        file.seek(0, io.SEEK_END)
        file.write(info.tobuf(tarfile.GNU_FORMAT))
        file.truncate(2**32 + 2**20)  # which takes no room on the disk
    assert "mine.tar is no readable tar shard (a header of 4,294,967,296 bytes before a member)" in refusal(path)


def test_a_chain_of_names_is_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1
    link = info.tobuf(tarfile.GNU_FORMAT) + b"a".ljust(512, b"\0")
    path = tmp_path / "mine.tar"
    path.write_bytes(link * 5_000 + bytes(1024))
    assert "mine.tar is no readable tar shard" in refusal(path)
