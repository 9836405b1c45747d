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
from support import ROOT

from tasks import prepare
from tasks.sources import open_source

pytestmark = pytest.mark.slow

CLASSES, IMAGES, ROW = 3, 400, 2 * 64  # of each class, and bytes of a row
PARAMETERS = {"embed": {"batch_size": 8, "prompts": "a {}"}}


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
    prepare.run(open_source(workdir / "photos"), workdir / "data/prepare", test_share=0.2, max_rejected=0,
                wrong_labels=0, damaged=0, seed=0)  # fmt: skip
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
        process = subprocess.Popen([sys.executable, "-m", *command], cwd=folder, env=environment, text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()


def features(room: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (room / "data/embed").iterdir()}


def embed(room: Path, start: Callable[..., subprocess.Popen[str]], **runtime: str) -> subprocess.Popen[str]:
    """Begin the stage with no feature known from before."""
    for old in (".winnow", "data/embed"):
        shutil.rmtree(room / old, ignore_errors=True)
    (room / "params.yaml").write_text(json.dumps(PARAMETERS | {"runtime": runtime}))
    return start("flows.embed", folder=room)


def done(room: Path) -> int:
    """Images that have features by now."""
    return sum(path.stat().st_size for path in room.glob(".winnow/embed/*/*/*.rows")) // ROW


def test_a_lost_worker_changes_nothing(room: Path, start: Callable[..., subprocess.Popen[str]]) -> None:
    address = f"tcp://127.0.0.1:{18786}"
    start("distributed.cli.dask_scheduler", "--port", "18786", "--no-dashboard", "--host", "127.0.0.1")
    workers = [
        start("distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard")
        for _ in range(2)
    ]
    local = embed(room, start)
    words = local.communicate(timeout=300)[0]
    assert local.returncode == 0, words
    assert f"{CLASSES * IMAGES:,} of {CLASSES * IMAGES:,} images to encode: about" in words
    expected = features(room)
    cluster = embed(room, start, runner="dask", address=address)
    while done(room) < CLASSES * IMAGES // 4:
        assert cluster.poll() is None, cluster.communicate()[0]
        time.sleep(0.005)
    workers[0].send_signal(signal.SIGKILL)
    assert done(room) < CLASSES * IMAGES
    words = cluster.communicate(timeout=300)[0]
    assert cluster.returncode == 0, words
    assert features(room) == expected


def test_a_scheduler_that_is_not_there_is_named(room: Path, start: Callable[..., subprocess.Popen[str]]) -> None:
    process = embed(room, start, runner="dask", address="tcp://127.0.0.1:9")
    words = process.communicate(timeout=300)[0]
    assert process.returncode == 2
    assert "runtime.address: no Dask scheduler answers at 'tcp://127.0.0.1:9'" in words
    assert "Traceback" not in words
