"""Every image is read once; what cannot be read has its reason, and the rest its hash, size and measures."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from winnow.errors import InputError
from winnow.images import decoding, screen


def chunks(folder: Path, names: list[str], damage: str = "") -> list[screen.Screened]:
    table = pd.DataFrame({"file": names, "place": 0, "size": 0, "damage": damage})
    return list(screen.screen(str(folder), table, seed=0))


def test_chunks_come_in_order_whatever_their_number(image_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "CHUNK", 4)
    names = [f"red/{row}.png" for row in range(10)] * 5
    found = pd.concat(chunk.table for chunk in chunks(image_folder, names))
    assert found.index.tolist() == list(range(50))
    assert found["sha256"].tolist() == [
        hashlib.sha256((image_folder / name).read_bytes()).hexdigest() for name in names
    ]
    assert (found["size"] == [(image_folder / name).stat().st_size for name in names]).all()


def test_what_cannot_be_read_has_its_reason(image_folder: Path) -> None:
    red = image_folder / "red"
    (red / "empty.png").write_bytes(b"")
    (red / "cut.png").write_bytes((red / "0.png").read_bytes()[:60])
    Image.new("F", (8, 8)).save(red / "float.tif")
    (found,) = chunks(red, ["gone.png", "empty.png", "cut.png", "float.tif", ".", "0.png"])
    reasons = found.table["reason"].tolist()
    assert reasons[:2] == ["missing", "empty"]
    assert "truncated" in reasons[2]
    assert "no range that says what is white" in reasons[3]
    assert reasons[4:] == ["unreadable: not a regular file", ""]
    assert np.isnan(found.measures[:5]).all()
    assert np.isfinite(found.measures[5]).all()


def test_damage_depends_on_the_place_in_the_source_and_the_seed_alone(
    image_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"red/{row}.png" for row in range(6)]
    (whole,) = chunks(image_folder, names, "noise")
    monkeypatch.setattr(screen, "CHUNK", 2)
    parts: dict[int, bytes] = {}
    for chunk in chunks(image_folder, names, "noise"):
        parts |= chunk.damaged
    assert parts == whole.damaged
    assert [hashlib.sha256(data).hexdigest() for data in parts.values()] == whole.table["sha256"].tolist()


def test_a_worker_that_ends_is_told(image_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from concurrent.futures.process import BrokenProcessPool

    def broken(*_: object) -> screen.Screened:
        raise BrokenProcessPool

    monkeypatch.setattr(screen, "_screen", broken)
    with pytest.raises(InputError, match="a process that decodes images was ended"):
        chunks(image_folder, ["red/0.png"])


def die(*_: object) -> None:
    os._exit(9)


def test_a_process_that_dies_is_told_and_the_next_run_has_others(
    image_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "FEW", 0)
    with monkeypatch.context() as patch:
        patch.setattr(screen, "_screen", die)
        with pytest.raises(InputError, match="a process that decodes images was ended"):
            chunks(image_folder, ["red/0.png"])
    (found,) = chunks(image_folder, ["red/0.png"])
    assert found.table["reason"].tolist() == [""]
