"""Tar shards are listed as webdataset reads them, found by offset, and refused where a member is not honest."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
import webdataset
from support import encoded, refusal

from tasks.sources import open_source


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
    path = shard(tmp_path / "mine.tar", [{"__key__": "a", "png": b"1", "cls": b"dog\n"}, {"__key__": "b", "png": b"2",
                                          "json": json.dumps({"label": "cat"}).encode()}])  # fmt: skip
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
    assert "a.jpg: duplicate file name" in refusal(tmp_path / "twice.tar")
