"""A grid goes on where it was cut short, runs only what is new, and never hides or averages in a cell that broke."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from PIL import Image
from ruamel.yaml import YAML
from support import ROOT, write_photos

from winnow import features
from winnow.features import Features
from winnow.files.json_files import read_json

TINY = {
    "about": "three colours",
    "source": "photos",
    "features": "features",
    "image_size": 16,
    "training": {"width": 2, "batch_size": 8, "flip": False},
    "models": {"small": 0.01},
    "budgets": {"steps": 12, "epochs": 4},
    "noises": [{"kind": "symmetric", "share": 0.25}],
    "keeps": [0.5],
    "methods": ["random", "winnow", "all"],
    "seeds": 1,
}
CELLS = 2 * 2 * 3


@dataclass(frozen=True)
class Room:
    """A folder in which `winnow bench` runs on presets of its own."""

    folder: Path
    env: dict[str, str]

    def preset(self, name: str, **changed: object) -> None:
        """Write a preset: TINY, but for what is changed."""
        with (self.folder / f"{name}.yaml").open("w") as file:
            YAML().dump(TINY | changed, file)

    def start(self, *arguments: str, **more: str) -> subprocess.Popen[str]:
        """Start `winnow bench`."""
        command = [sys.executable, "-m", "winnow.cli.main", "bench", *arguments]
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.env | more,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def bench(self, *arguments: str, code: int = 0) -> str:
        """Run `winnow bench` to its end; what it said."""
        process = self.start(*arguments)
        words = process.communicate(timeout=600)[0]
        assert process.returncode == code, words
        return words

    def cells(self, name: str) -> dict[str, int]:
        """Every cell that has a result, and when it was written."""
        return {path.name: path.stat().st_mtime_ns for path in (self.folder / "bench" / name / "cells").glob("*.json")}

    def table(self, name: str) -> str:
        """The table that a run left."""
        return (self.folder / "bench" / name / "table.md").read_text()


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Room:
    """Photos of three colours, and features that know them."""
    folder = tmp_path_factory.mktemp("bench")
    write_photos(folder / "photos")
    ids = [f"{c}/{i}.png" for c in ("blue", "green", "red") for i in range(10)]
    labels = np.repeat(np.arange(3), 10)
    have = Features(np.eye(3)[labels] + 0.1, np.eye(3), labels, ["blue", "green", "red"], np.array(ids))
    (folder / "features").mkdir()
    features.save(folder / "features", have)
    made = Room(folder, environment | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"})
    made.preset("tiny")
    made.bench("tiny.yaml")
    return made


def test_a_run_leaves_its_cells_tables_and_pictures(room: Room) -> None:
    out = room.folder / "bench/tiny"
    assert len(room.cells("tiny")) == CELLS
    table = pd.read_csv(out / "results.csv")
    assert set(table["noise"]) == {"clean", "symmetric 0.25"}
    assert set(table["budget"]) == {"12 steps", "4 epochs"}
    kept = table.set_index(["method", "budget"])["kept"]
    assert set(kept["random"]) == {12}
    assert set(kept["all"]) == {24}
    seen = table.set_index(["method", "budget"])["samples_seen"]
    assert set(seen["random", "12 steps"]) == set(seen["all", "12 steps"]) == {96}
    assert set(seen["random", "4 epochs"]) == {80}  # ten steps at least
    assert set(seen["all", "4 epochs"]) == {96}
    noisy = table[table["noise"] != "clean"]
    assert set(noisy.loc[noisy["method"] == "all", "wrong_left"]) == {0.25}
    words = room.table("tiny")
    assert "| symmetric 0.25 | 0 | small | 12 steps | 0.5 |" in words
    for title in ("Test accuracy in %", "worst class", "calibration", "Wrong labels", "Images seen"):
        assert title in words
    assert "Damaged" not in words
    for name in ("accuracy", "wrong_left"):
        with Image.open(out / f"{name}.png") as picture:
            assert picture.format == "PNG"
    assert len(read_json(out / "table.json")) == 2 * 2 * 2
    assert not list(out.glob("logs/*"))


def test_a_second_run_does_nothing_and_says_the_same(room: Room) -> None:
    cells = room.cells("tiny")
    before = {path.name: path.read_bytes() for path in (room.folder / "bench/tiny").glob("*.*")}
    assert f"{CELLS} cells, {CELLS} of them done" in room.bench("tiny.yaml")
    assert room.cells("tiny") == cells
    assert {path.name: path.read_bytes() for path in (room.folder / "bench/tiny").glob("*.*")} == before


def test_another_seed_or_ratio_runs_the_new_cells_alone(room: Room) -> None:
    old = room.cells("tiny")
    room.bench("tiny.yaml", "--seeds", "2", "--only", "method=random", "--only", "noise=clean")
    new = room.cells("tiny")
    assert {name: new[name] for name in old} == old
    assert len(new) == CELLS + 2
    assert "1 of 2)" in room.table("tiny")  # not yet run: told, not passed over
    room.preset("tiny", keeps=[0.5, 0.25])
    room.bench("tiny.yaml", "--only", "method=random", "--only", "budget=12 steps")
    assert {name: room.cells("tiny")[name] for name in new} == new
    assert len(room.cells("tiny")) == CELLS + 2 + 2
    room.preset("tiny")


def test_a_killed_run_goes_on_with_what_is_missing(room: Room) -> None:
    process = room.start("tiny.yaml", "--out", "killed")
    folder = room.folder / "killed/cells"
    while len(list(folder.glob("*.json"))) < 3:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    done = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.json")}
    assert 3 <= len(done) < CELLS
    room.bench("tiny.yaml", "--out", "killed")
    after = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.json")}
    assert len(after) == CELLS
    assert {name: after[name] for name in done} == done
    accuracy = ["noise", "keep", "method", "model", "budget", "seed", "accuracy", "wrong_left"]
    tables = [pd.read_csv(room.folder / name / "results.csv")[accuracy] for name in ("killed", "bench/tiny")]
    merged = tables[0].merge(tables[1].drop_duplicates(), how="left", indicator=True)
    assert (merged["_merge"] == "both").all()  # the same accuracies as in a run that was not killed


def test_a_cell_that_breaks_is_shown_as_that_and_tried_again(room: Room) -> None:
    room.preset("wild", models={"small": 0.01, "resnet18": 1e30}, budgets={"steps": 10}, noises=[])
    words = room.bench("wild.yaml", code=1)
    logs = sorted((room.folder / "bench/wild/logs").glob("*.log"))
    assert len(logs) == 3
    for log in logs:
        assert "DivergenceError: the loss is nan after 10 steps" in log.read_text()
        assert f"winnow: broken: bench/wild/logs/{log.name}" in words
        assert log.name in room.table("wild")
    assert len(room.cells("wild")) == 3
    table = pd.read_csv(room.folder / "bench/wild/results.csv")
    assert set(table["model"]) == {"small"}
    assert (
        room.table("wild")
        .splitlines()
        .count("| clean | 0 | resnet18 | 10 steps | 0.5 | (**1 of 1 broken**) | (**1 of 1 broken**) |  |")
        >= 1
    )
    assert "3 of them done" in room.bench("wild.yaml", code=1)
    room.preset("wild", models={"small": 0.01, "resnet18": 0.01}, budgets={"steps": 10}, noises=[])
    room.bench("wild.yaml")
    assert len(room.cells("wild")) == 6
    assert "broken" not in room.table("wild")


def test_images_are_damaged_before_the_encoder_sees_them(room: Room, encoder: Path) -> None:
    room.preset(
        "dirty",
        features=None,
        encoder={"model": "local-dir", "path": str(encoder), "prompts": ["a {}"]},
        damages=[0.25],
        noises=[],
        clean=False,
        budgets={"steps": 10},
        methods=["winnow", "all"],
    )
    room.bench("dirty.yaml")
    table = pd.read_csv(room.folder / "bench/dirty/results.csv")
    assert set(table["damage"]) == {0.25}
    assert set(table.loc[table["method"] == "all", "damaged_left"]) == {0.25}
    (damaged,) = room.folder.glob(".winnow/bench/*/damage-0.25-0")
    rooms = [damaged.with_name("clean"), damaged]
    images = [np.load(place / "embed/image.npy") for place in rooms]
    index = [pd.read_parquet(place / "prepare/images/index.parquet") for place in rooms]
    assert (index[0][["id", "split"]] == index[1][["id", "split"]]).all(axis=None)
    truth = pd.read_parquet(rooms[1] / "prepare/truth.parquet")
    pool = index[0]["id"][index[0]["split"] == "train"]
    changed = (images[0] != images[1]).any(axis=1)
    assert changed[pool.isin(truth["id"]).to_numpy()].all()
    assert len(truth) == 6


@pytest.mark.slow
def test_a_worker_that_dies_takes_its_cells_along_and_no_other(room: Room) -> None:
    (room.folder / "params.yaml").write_text("runtime: {runner: dask}\n")
    room.preset("lost", budgets={"steps": 1500}, noises=[], methods=["random"], seeds=4)
    process = room.start("lost.yaml", DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="0")
    while not room.cells("lost"):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)
    workers = [
        child
        for child in psutil.Process(process.pid).children(recursive=True)
        if "spawn_main" in " ".join(child.cmdline())
    ]
    workers[0].kill()
    words = process.communicate(timeout=600)[0]
    assert process.returncode == 1, words
    logs = [log.read_text() for log in (room.folder / "bench/lost/logs").glob("*.log")]
    assert len(logs) in (1, 2), logs  # the cell that it ran, and one that it may have been given next
    assert all("KilledWorker" in log for log in logs)
    assert len(room.cells("lost")) == 4 - len(logs)
    assert f"(**{len(logs)} of 4 broken**)" in room.table("lost")
    (room.folder / "params.yaml").unlink()
    room.bench("lost.yaml")
    assert len(room.cells("lost")) == 4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonsense"], ["there is no preset 'nonsense'", "caltech101-small", "cifar10", "digits", "imagenet-1k"]),
        (["cifar10"], ["bench cifar10 needs a GPU"]),
        (["cifar10-small"], ["--data FOLDER"]),
        (["cifar10-small", "--data", "nowhere"], ["--data nowhere is not a folder"]),
        (["digits", "--only", "method"], ["--only method", "method=winnow,random"]),
        (["digits", "--only", "method=magic"], ["no 'magic'", "winnow, random"]),
        (["digits", "--only", "metod=winnow"], ["no 'metod'", "noise, damage, keep, method"]),
    ],
)
def test_what_cannot_be_run_is_refused_at_once(
    room: Room, arguments: list[str], words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner

    from winnow.cli.main import app
    from winnow.compute import device

    monkeypatch.setattr(device, "best", lambda: "cpu")
    monkeypatch.chdir(room.folder)
    done = CliRunner().invoke(app, ["bench", *arguments])
    assert done.exit_code == 2
    assert [word for word in words if word not in done.stderr] == []
