"""Large images are decoded one at a time, small ones at the same time."""

import io
import os
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from winnow.errors import InputError
from winnow.images import decoding, flaws, memory, screen
from winnow.images.decoding import Batch

SIZE = (30, 20)
NEED = 30 * 20 * memory.OTHERS


def png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", SIZE, "red").save(file, "PNG")
    return file.getvalue()


def slow(folder: Path, image: Image.Image) -> Image.Image:
    """Note when this image was in use."""
    begin = time.monotonic()
    time.sleep(0.2)
    (folder / f"{begin}").write_text(f"{time.monotonic()}")
    return image


def who(_: int) -> tuple[int, int]:
    """The worker that this runs in."""
    time.sleep(0.05)
    return os.getpid(), threading.get_ident()


def most(folder: Path) -> int:
    """How many images were in use at the same time."""
    spans = [(float(path.name), float(path.read_text())) for path in folder.iterdir()]
    assert len(spans) == 4
    return max(sum(begin <= at < end for begin, end in spans) for at, _ in spans)


@pytest.fixture(autouse=True)
def _two_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "workers", lambda: 2)
    monkeypatch.setattr(decoding, "PIECE", 1)
    monkeypatch.setattr(screen, "CHUNK", 1)
    monkeypatch.setattr(memory, "_budget", memory._budget)


@pytest.mark.parametrize(
    ("kind", "free", "together"),
    [
        ("threads", 1.2, 1),  # an image needs more than there is for large ones
        ("threads", 3, 1),  # or more than half of it
        ("threads", 5, 2),  # or less
        ("threads", 8, 2),  # or no more than the share of each worker
        ("processes", 3, 1),
    ],
)
def test_large_images_are_decoded_one_at_a_time(
    kind: str, free: float, together: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available", lambda: int(free * NEED))
    pool = decoding.start(threads=kind == "threads")
    with pool:
        started: set[tuple[int, int]] = set()
        while len(started) < 2:
            started |= set(pool.map(who, range(4)))
        batch = Batch("0", 0, [png()] * 4)
        ((_, found),) = decoding.batches(iter([batch]), partial(slow, tmp_path), pool)
    assert found.shape == (4, 20, 30, 3)
    assert most(tmp_path) == together


@pytest.mark.parametrize(("free", "together"), [(3, 1), (5, 2)])
def test_large_images_are_screened_one_at_a_time(
    free: float, together: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = flaws.measure
    measure(Image.new("RGB", SIZE))  # imports take their time
    (tmp_path / "images").mkdir()
    (tmp_path / "spans").mkdir()
    for name in range(4):
        (tmp_path / f"images/{name}.png").write_bytes(png())
    monkeypatch.setattr(memory, "available", lambda: int(free * NEED))
    monkeypatch.setattr(flaws, "measure", lambda image: measure(slow(tmp_path / "spans", image)))
    table = pd.DataFrame({"file": [f"{name}.png" for name in range(4)], "place": 0, "size": 0, "damage": ""})
    assert len(list(screen.screen(str(tmp_path / "images"), table, seed=0))) == 4
    assert most(tmp_path / "spans") == together


SCREEN = """
import re, sys
from pathlib import Path
import pandas as pd
from PIL import Image
from winnow.images import decoding, flaws, memory, screen

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])


flaws.measure(Image.new("RGB", (50, 50)))
decoding.workers, screen.CHUNK = lambda: 4, 1
memory.available = lambda: int(sys.argv[2])
before = peak()
table = pd.DataFrame({"file": ["large.png"] * 4, "place": 0, "size": 0, "damage": ""})
assert not any((found.table["reason"] != "").any() for found in screen.screen(sys.argv[1], table, 0))
print((peak() - before) // 2**10)
"""


def test_four_workers_need_the_memory_of_one_large_image(tmp_path: Path) -> None:
    Image.new("1", (6000, 6000)).save(tmp_path / "large.png")  # 172 MiB when it is decoded
    peaks = [
        int(subprocess.run([sys.executable, "-c", SCREEN, tmp_path, free], check=True, capture_output=True).stdout)
        for free in ("500000000", "100000000000")
    ]
    assert peaks[0] < 260
    assert peaks[1] > 400, "or this test would show nothing"


def test_an_image_that_cannot_be_read_gives_its_turn_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available", lambda: 0)
    cut = png()[:50]
    for _ in range(3):
        with (
            decoding.start(threads=True) as pool,
            pytest.raises(InputError, match="cannot be read any more"),
        ):
            list(decoding.batches(iter([Batch("0", 0, [png(), cut, cut, png()])]), Image.Image.copy, pool))


def test_a_control_group_bounds_what_is_free(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("1:name=systemd:/\n0::/outer/inner\n")
    for name, most in (("outer", "1000"), ("outer/inner", "max")):
        group = tmp_path / "groups" / name
        group.mkdir(parents=True)
        (group / "memory.max").write_text(f"{most}\n")
        (group / "memory.current").write_text("700\n")
        (group / "memory.stat").write_text("anon 500\ninactive_file 150\n")
    assert list(memory._left_in_groups(tmp_path / "groups", own)) == [450]
    assert list(memory._left_in_groups(tmp_path / "none", own)) == []
    assert list(memory._left_in_groups(tmp_path / "groups", tmp_path / "none")) == []


def test_workers_share_the_memory_that_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 2**20 < memory.available() < 2**46
    monkeypatch.setattr(memory, "available", lambda: 8 * 2**30)
    budget = memory.share(4, threading)
    assert (budget.small, budget.part * memory.PARTS) == (2**29, 4 * 2**30)


def test_a_format_that_needs_more_memory_claims_more(monkeypatch: pytest.MonkeyPatch) -> None:
    budget = memory.MemoryBudget(0, 100, threading.Lock(), threading.Semaphore(memory.PARTS))
    monkeypatch.setattr(memory, "_budget", budget)
    for kind, parts in (("PNG", 13), ("WEBP", 18), ("JPEG2000", 25)):
        with memory.turn() as claim:
            claim(kind, 100)
            assert budget.parts._value == memory.PARTS - parts
        assert budget.parts._value == memory.PARTS
