"""Every kind of source is the same at a URL as on this machine; what goes wrong there is told as clearly."""

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pandas as pd
import pytest
import webdataset
from support import encoded

from winnow.errors import InputError
from winnow.images import dataset, prepare
from winnow.sources import open_source

KINDS = ["folder", "parquet", "table/list.csv", "shards", "shards/*-000000.tar"]


@pytest.fixture
def everything(tmp_path: Path, image_folder: Path) -> Path:
    """The same 30 images as an image folder, Parquet, a table and tar shards."""
    folder = tmp_path / "all"
    images = sorted(image_folder.rglob("*.png"))
    names = [path.relative_to(image_folder).as_posix() for path in images]
    for name in ("parquet", "table", "shards"):
        (folder / name).mkdir(parents=True)
    image_folder.rename(folder / "folder")
    data = [(folder / "folder" / name).read_bytes() for name in names]
    labels = [name.split("/")[0] for name in names]
    pd.DataFrame({"image": data, "label": labels}).to_parquet(folder / "parquet/train.parquet")
    for name, image in zip(names, data, strict=True):
        (folder / "table" / name).parent.mkdir(exist_ok=True)
        (folder / "table" / name).write_bytes(image)
    pd.DataFrame({"path": names, "label": labels}).to_csv(folder / "table/list.csv", index=False)
    with webdataset.TarWriter(str(folder / "shards/train-000000.tar"), encoder=False) as writer:
        for row, (image, label) in enumerate(zip(data, labels, strict=True)):
            writer.write({"__key__": f"{row:03d}", "png": image, "cls": label.encode()})
    return folder


@pytest.fixture
def memory(everything: Path) -> Iterator[str]:
    """The same at memory://."""
    files = fsspec.filesystem("memory")
    files.put(str(everything), "/all", recursive=True)
    yield "memory://all"
    files.rm("/all", recursive=True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_source_is_the_same_at_a_url(everything: Path, memory: str, kind: str) -> None:
    here = open_source(everything / kind)
    images = encoded(here)
    for url in (f"{everything.as_uri()}/{kind}", f"{memory}/{kind}"):
        there = open_source(url)
        assert there.classes == here.classes == ["blue", "green", "red"]
        pd.testing.assert_frame_equal(there.table, here.table)
        assert encoded(there) == images


@pytest.mark.parametrize("kind", KINDS)
def test_a_url_is_prepared_and_read_in_place(workdir: Path, everything: Path, memory: str, kind: str) -> None:
    run(f"{memory}/{kind}", workdir / "out")
    run(str(everything / kind), workdir / "local")
    there, here = (dataset.load(workdir / name / "images") for name in ("out", "local"))
    pd.testing.assert_frame_equal(there.index, here.index)
    assert not there.index["copied"].any()
    assert [list(there.encoded(shard)) for shard in there.shards] == [list(here.read(here.index))]


def run(source: str, out: Path) -> None:
    prepare.run(open_source(source), out, test_share=0.2, max_rejected=0, wrong_labels=0, damaged=0, seed=0)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("memory://nothing", "memory://nothing does not exist"),
        ("memory://nothing/*.tar", "no file matches"),
        ("nonsense://x", "nonsense://x cannot be opened"),
    ],
)
def test_what_cannot_be_found_is_named(url: str, words: str) -> None:
    with pytest.raises(InputError, match=r"prepare\.source: ") as error:
        open_source(url)
    assert words in str(error.value)


def test_an_image_that_went_or_changed_is_named(workdir: Path, memory: str) -> None:
    run(f"{memory}/folder", workdir / "out")
    data = dataset.load(workdir / "out/images")
    files = fsspec.filesystem("memory")
    files.pipe_file("/all/folder/blue/0.png", files.cat_file("/all/folder/blue/1.png"))
    with pytest.raises(InputError, match=r"folder: the image blue/0\.png has changed since it was prepared"):
        list(data.encoded(data.shards[0]))
    files.rm("/all/folder/blue/0.png")
    with pytest.raises(InputError, match=r"the image blue/0\.png cannot be read any more .*run dvc repro"):
        list(data.encoded(data.shards[0]))
