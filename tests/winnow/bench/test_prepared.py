"""A folder is filled once, and again where some of it was lost with the power."""

from pathlib import Path

import numpy as np
import pytest

from winnow import features
from winnow.bench import prepared
from winnow.bench.prepared import DataOrigin
from winnow.features import Features


@pytest.fixture
def origin(image_folder: Path, workdir: Path) -> DataOrigin:
    """Photos of three colours, and features that know them."""
    ids = [f"{c}/{i}.png" for c in ("blue", "green", "red") for i in range(10)]
    labels = np.repeat(np.arange(3), 10)
    (workdir / "features").mkdir()
    have = Features(np.eye(3)[labels] + 0.1, np.eye(3), labels, ["blue", "green", "red"], np.array(ids))
    features.save(workdir / "features", have)
    return DataOrigin(str(image_folder), workdir / "features", 16)


LOST = ["clean/pixels.npy", "clean/embed/image.npy", "clean/prepare/images/index.parquet", "clean.mark"]


@pytest.mark.parametrize("lost", LOST)
@pytest.mark.parametrize("content", [b"", b"{"])
def test_a_room_of_which_something_was_lost_is_filled_again(
    origin: DataOrigin, workdir: Path, lost: str, content: bytes
) -> None:
    folder = workdir / "prepared/clean"
    prepared.make(origin, folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    (workdir / "prepared" / lost).write_bytes(content)
    prepared.make(origin, folder)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_room_that_is_filled_is_left_as_it_is(
    origin: DataOrigin, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = workdir / "prepared/clean"
    prepared.make(origin, folder)
    monkeypatch.setattr(prepared.prepare, "run", lambda *_, **__: pytest.fail("it is made again"))
    prepared.make(origin, folder)
    assert sorted(path.name for path in folder.parent.iterdir()) == ["clean", "clean.mark"]


def test_prepared_of_two_sources_with_one_name_are_two(origin: DataOrigin, workdir: Path) -> None:
    key = prepared.key(origin)
    assert prepared.key(origin) == key
    next(Path(origin.source).rglob("*.png")).write_bytes(b"other")
    assert prepared.key(origin) != key
    assert not (workdir / ".winnow/bench").exists()
