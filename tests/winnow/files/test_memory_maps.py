"""Rows have their place on the disk from the start, and give memory back."""

import os
from pathlib import Path

import numpy as np
import pytest
from faulty import mounted

from winnow.files import memory_maps

pytestmark = pytest.mark.usefixtures("workdir")


def test_rows_have_their_room_on_the_disk_from_the_start(workdir: Path) -> None:
    with mounted(workdir / "small", "size=256k"):
        rows = memory_maps.new_rows(Path("small/rows.npy"), (1000, 8))
        assert (rows.shape, rows.dtype) == ((1000, 8), np.float16)
        about = Path("small/rows.npy").stat()
        assert about.st_blocks * 512 >= about.st_size > 16_000
        rows[:] = 1
        rows.flush()
        assert (np.load("small/rows.npy") == 1).all()
        with pytest.raises(OSError, match="No space left"):
            memory_maps.new_rows(Path("small/more.npy"), (100_000, 8))


def test_rows_are_made_where_a_system_reserves_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "posix_fallocate")
    assert memory_maps.new_rows(Path("rows.npy"), (3, 2)).shape == (3, 2)


def test_memory_of_rows_is_given_back_and_they_stay(workdir: Path) -> None:
    rows = memory_maps.new_rows(Path("rows.npy"), (100_000, 8))
    rows[:] = 1
    assert resident(workdir / "rows.npy") > 1_000
    memory_maps.forget(rows)
    assert resident(workdir / "rows.npy") == 0
    assert (rows == 1).all()
    memory_maps.forget(np.ones(3))  # in memory alone


def resident(path: Path) -> int:
    """KiB of a mapped file that this process holds in memory."""
    _, _, after = Path("/proc/self/smaps").read_text().partition(f"{path}\n")
    return int(after.partition("Rss:")[2].split()[0])
