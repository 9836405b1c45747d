"""A stage on a cluster of two workers, one of which is killed half way, leaves the bytes of a run in one process."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from processes import free_port
from support import ROOT

from winnow.images import prepare
from winnow.sources import open_source

pytestmark = pytest.mark.slow

CLASSES, IMAGES, ROW = 3, 400, 2 * 64  # of each class, and bytes of a row
PARAMETERS = {
    "prepare": {"source": "photos"},
    "embed": {"batch_size": 8, "prompts": "a {}"},
    "evaluate": {"steps": 10, "image_size": 16, "seeds": 2},
}


@pytest.fixture
def room(workdir: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in which the images are prepared, in many shards."""
    rng = np.random.default_rng(0)
    for c in range(CLASSES):
        (workdir / f"photos/{c}").mkdir(parents=True)
        for i in range(IMAGES):
            pixels = rng.integers(0, 256, (64, 64, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(workdir / f"photos/{c}/{i}.jpg")
    monkeypatch.setattr(prepare, "SHARD", 256)
    prepare.run(
        open_source(workdir / "photos"),
        workdir / "data/prepare",
        test_share=0.2,
        max_rejected=0,
        wrong_labels=0,
        damaged=0,
        seed=0,
    )
    shutil.copytree(encoder, workdir / "data/pretrain")
    return workdir


@pytest.fixture
def start(
    environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a Python module as a user does; it is gone after the test."""
    elsewhere, started = tmp_path_factory.mktemp("elsewhere"), []
    environment = environment | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}

    def run(*command: str, folder: Path = elsewhere) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=folder,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def cluster(start: Callable[..., subprocess.Popen[str]]) -> tuple[str, list[subprocess.Popen[str]]]:
    """Give the address of a scheduler, and its two workers."""
    port = str(free_port())
    address = f"tcp://127.0.0.1:{port}"
    start("distributed.cli.dask_scheduler", "--port", port, "--no-dashboard", "--host", "127.0.0.1")
    worker = ("distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard")
    return address, [start(*worker) for _ in range(2)]


def written(room: Path, stage: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (room / "data" / stage).iterdir()}


def begin(stage: str, room: Path, start: Callable[..., subprocess.Popen[str]], **runtime: str) -> subprocess.Popen[str]:
    """Begin a stage with nothing known from before."""
    for old in (".winnow", f"data/{stage}"):
        shutil.rmtree(room / old, ignore_errors=True)
    (room / "params.yaml").write_text(json.dumps(PARAMETERS | {"runtime": runtime}))
    return start(f"flows.{stage}", folder=room)


def finish(process: subprocess.Popen[str]) -> str:
    words = process.communicate(timeout=300)[0]
    assert process.returncode == 0, words
    return words


def done(room: Path) -> int:
    """Images that have features by now."""
    return sum(path.stat().st_size for path in room.glob(".winnow/embed/*/*/*.rows")) // ROW


def test_a_lost_worker_changes_nothing(
    room: Path,
    start: Callable[..., subprocess.Popen[str]],
    cluster: tuple[str, list[subprocess.Popen[str]]],
) -> None:
    address, workers = cluster
    words = finish(begin("embed", room, start))
    assert f"{CLASSES * IMAGES:,} of {CLASSES * IMAGES:,} images to encode: about" in words
    expected = written(room, "embed")
    spread = begin("embed", room, start, runner="dask", address=address)
    while done(room) < CLASSES * IMAGES // 4:
        assert spread.poll() is None, spread.communicate()[0]
        time.sleep(0.005)
    workers[0].send_signal(signal.SIGKILL)
    assert done(room) < CLASSES * IMAGES
    finish(spread)
    assert written(room, "embed") == expected


def test_scores_and_cells_are_the_same_on_a_cluster(
    room: Path,
    start: Callable[..., subprocess.Popen[str]],
    cluster: tuple[str, list[subprocess.Popen[str]]],
) -> None:
    address, _ = cluster
    for stage in ("source", "embed", "adapt", "score", "optimize", "evaluate"):
        finish(begin(stage, room, start))
    for stage in ("score", "evaluate"):
        expected = written(room, stage)
        finish(begin(stage, room, start, runner="dask", address=address))
        assert written(room, stage) == expected


def test_a_scheduler_that_is_not_there_is_named(room: Path, start: Callable[..., subprocess.Popen[str]]) -> None:
    process = begin("embed", room, start, runner="dask", address="tcp://127.0.0.1:9")
    words = process.communicate(timeout=300)[0]
    assert process.returncode == 2
    assert "runtime.address: no Dask scheduler answers at 'tcp://127.0.0.1:9'" in words
    assert "Traceback" not in words
