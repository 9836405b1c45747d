"""Sets of torchvision are read by name, and a file that is not the one torchvision knows is never unpickled."""

import hashlib
import io
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torchvision
from PIL import Image
from support import encoded

from winnow.errors import InputError
from winnow.images import dataset, prepare
from winnow.sources import open_source


def test_fake_data_by_name_is_copied(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision.datasets.FakeData.__init__, "__defaults__", (40, (3, 8, 8), 4, None, None, 0))
    source = open_source("torchvision:FakeData")
    assert source.table["id"].iloc[-1] == "train/00000039"
    prepare.run(source, workdir / "out", test_share=0.2, max_rejected=0, wrong_labels=0, damaged=0, seed=0)
    data = dataset.load(workdir / "out/images")
    theirs = torchvision.datasets.FakeData()
    for (image, label), ours, index in zip(theirs, data.all_images(), data.index["label"], strict=False):
        assert np.array_equal(np.asarray(image), np.asarray(ours))
        assert int(label) == index
    assert data.index["copied"].all()


@pytest.fixture
def cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """CIFAR-10's own files with two images each, and their MD5s as torchvision's."""
    rng, folder, sums = np.random.default_rng(0), tmp_path / "cifar-10-batches-py", {}
    folder.mkdir()
    kind = torchvision.datasets.CIFAR10
    for name in [*(name for name, _ in kind.train_list), "test_batch"]:
        data = {"data": rng.integers(0, 256, (2, 3072)).astype(np.uint8), "labels": [0, 1]}
        (folder / name).write_bytes(pickle.dumps(data))
        sums[name] = hashlib.md5((folder / name).read_bytes()).hexdigest()  # noqa: S324
    meta = pickle.dumps({"label_names": ["plane", "car"]})
    (folder / "batches.meta").write_bytes(meta)
    monkeypatch.setattr(kind, "train_list", [[name, sums[name]] for name, _ in kind.train_list])
    monkeypatch.setattr(kind, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(kind, "meta", kind.meta | {"md5": hashlib.md5(meta).hexdigest()})  # noqa: S324
    monkeypatch.setattr(kind, "url", (tmp_path / "no-network.tar.gz").as_uri())
    return tmp_path


def test_a_set_that_is_there_has_its_classes_and_its_splits(cifar: Path) -> None:
    source = open_source(f"torchvision:CIFAR10:{cifar}")
    assert source.classes == ["plane", "car"]
    assert source.table["split"].tolist() == ["train"] * 10 + ["test"] * 2
    first = torchvision.datasets.CIFAR10(str(cifar))[0][0]
    assert Image.open(io.BytesIO(encoded(source)[0])).tobytes() == first.tobytes()


def test_a_file_that_torchvision_does_not_know_is_not_unpickled(cifar: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (cifar / "ran",)  # type: ignore[return-value]

    (cifar / "cifar-10-batches-py/data_batch_3").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(InputError, match="torchvision's CIFAR10 could not be opened"):
        open_source(f"torchvision:CIFAR10:{cifar}")
    assert not (cifar / "ran").exists()


@pytest.mark.parametrize("name", ["Nonsense", "LSUNClass", "ImageFolder", "utils", "__doc__"])
def test_a_name_that_is_no_data_set_is_refused_with_those_there_are(name: str) -> None:
    with pytest.raises(InputError, match=rf"has no data set '{name}'; it has .*CIFAR100"):
        open_source(f"torchvision:{name}")


def test_a_set_whose_labels_are_not_classes_is_refused(workdir: Path) -> None:
    with pytest.raises(InputError, match="torchvision's CocoDetection could not be opened"):
        open_source("torchvision:CocoDetection")


def test_an_archive_that_leads_out_of_its_folder_is_not_unpacked(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a set that torchvision unpacks itself; its MD5 is that of the archive made here."""
    archive = workdir / "sets/imagenette2.tgz"
    archive.parent.mkdir()
    (workdir / "file").write_text("evil")
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(workdir / "file", "imagenette2/../../outside")
    known = {"full": (archive.as_uri(), hashlib.md5(archive.read_bytes(), usedforsecurity=False).hexdigest())}
    monkeypatch.setattr(torchvision.datasets.Imagenette, "_ARCHIVES", known)
    with pytest.raises(InputError, match="outside"):
        open_source("torchvision:Imagenette:sets")
    assert not list(workdir.rglob("outside"))
