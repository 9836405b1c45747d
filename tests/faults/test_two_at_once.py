"""Two commands that share a folder: the second waits and says for whom, and both results are right."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from support import ROOT

from winnow.images.dataset import Dataset

SLOWLY = """
import sys, time
from winnow.images import dataset
from winnow.selection import select
from winnow.releases import export_plan
export_plan.SAMPLES = 3
read, scored = dataset.Dataset.read, select.score
dataset.Dataset.read = lambda self, rows: (time.sleep(0.1) or image for image in read(self, rows))
select.score = lambda *what, **how: time.sleep(3) or scored(*what, **how)
from winnow.cli.main import app
sys.argv[0] = "winnow"
app()
"""


def start(*arguments: str) -> subprocess.Popen[str]:
    """Start a command of `winnow` that takes its time."""
    return subprocess.Popen(
        [sys.executable, "-c", SLOWLY, *arguments],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


def both(first: list[str], second: list[str]) -> tuple[list[int], list[str]]:
    """Run two commands at once: the codes they end with, and what each said to the terminal, errors last."""
    running = [start(*first), start(*second)]
    words = [process.communicate(timeout=300) for process in running]
    return [process.returncode for process in running], ["".join(parts) for parts in words]


def waited(words: list[str]) -> bool:
    """One of the two waited for the other."""
    return sum("winnow: waiting for process " in said for said in words) == 1


def checked(out: Path) -> int:
    return subprocess.run(["sha256sum", "--strict", "--quiet", "-c", "SHA256SUMS"], cwd=out, check=False).returncode


@pytest.mark.parametrize("form", ["webdataset", "imagefolder"])
def test_two_exports_to_one_place(released: Path, workdir: Path, form: str) -> None:
    command = ["export", str(released), "--format", form, "--out", "out"]
    codes, words = both(command, command)
    assert codes == [0, 0], words
    assert waited(words)
    assert any("(winnow export), which writes out" in said for said in words)
    assert checked(workdir / "out") == 0
    assert [path.name for path in workdir.iterdir() if path.name.startswith(".out")] == []


def test_two_different_exports_to_one_place(released: Path, workdir: Path) -> None:
    """The second finds the first in its place, and says so."""
    command = ["export", str(released), "--out", "out", "--format"]
    codes, words = both([*command, "webdataset"], [*command, "parquet"])
    assert sorted(codes) == [0, 2], words
    assert "exists and is not this export" in words[codes.index(2)]
    assert waited(words)
    assert checked(workdir / "out") == 0
    assert [path.name for path in workdir.iterdir() if path.name.startswith(".out")] == []


def test_two_selections_into_one_file(write_features: Callable[..., Path], workdir: Path) -> None:
    """The last has the last word, whole."""
    write_features()
    commands = [["select", "features", "--keep", keep, "--out", "out.csv"] for keep in ("0.5", "0.25")]
    codes, words = both(*commands)
    assert codes == [0, 0], words
    assert waited(words)
    last = next(i for i, said in enumerate(words) if "(winnow select), which writes out.csv" in said)
    got = (workdir / "out.csv").read_bytes()
    assert start(*commands[last]).wait(300) == 0
    assert (workdir / "out.csv").read_bytes() == got
    assert sorted(os.listdir()) == ["features", "out.csv"]


def test_two_scores_into_one_file_in_another_folder(write_features: Callable[..., Path], workdir: Path) -> None:
    write_features()
    (workdir / "deep").mkdir()
    codes, words = both(
        ["score", "features", "--out", "deep/out.parquet"],
        ["score", "features", "--out", str(workdir / "deep/../deep/out.parquet")],
    )
    assert codes == [0, 0], words
    assert waited(words)
    assert len(pd.read_parquet("deep/out.parquet")) == 300
    assert os.listdir("deep") == ["out.parquet"]


ENCODING = """
import runpy, sys, time
from winnow.encoders import embed
encode = embed._encode
embed._encode = lambda *what: time.sleep(0.3) or encode(*what)
module, *sys.argv[1:] = sys.argv[1:]
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""
PRESET = """
about: three colours
source: photos
encoder: {model: local-dir, path: encoder, prompts: ["a {}"], batch_size: 2}
image_size: 16
training: {width: 2, batch_size: 8, flip: false}
models: {small: 0.01}
budgets: {steps: 10}
keeps: [0.5]
methods: [all]
seeds: 1
"""


@pytest.mark.slow
def test_a_bench_beside_a_stage(images: Dataset, encoder: Path, workdir: Path, environment: dict[str, str]) -> None:
    """Both encode images: neither takes the rows of the other away."""
    shutil.copytree(encoder, workdir / "encoder")
    (workdir / "data").mkdir()
    (workdir / "in").rename(workdir / "data/prepare")
    (workdir / "params.yaml").write_text("embed: {path: encoder, prompts: ['a {}'], batch_size: 2}\n")
    (workdir / "tiny.yaml").write_text(PRESET)
    env = environment | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}

    def begin(*arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", ENCODING, *arguments],
            env=env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def made() -> list[bytes]:
        (room,) = workdir.glob(".winnow/bench/*/clean")
        return [
            path.read_bytes() for folder in (workdir / "data", room) for path in sorted((folder / "embed").iterdir())
        ]

    running = [begin("flows.embed"), begin("winnow.cli.main", "bench", "tiny.yaml", "--out", "out")]
    words = [process.communicate(timeout=600)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0], words
    assert sum("which encodes images in this project" in said for said in words) == 1, words
    together = made()
    for folder in (".winnow", "data/embed", "out"):
        shutil.rmtree(workdir / folder)
    for command in (["flows.embed"], ["winnow.cli.main", "bench", "tiny.yaml", "--out", "out"]):
        process = begin(*command)
        assert process.communicate(timeout=600)
        assert process.returncode == 0
    assert made() == together


@pytest.mark.slow
def test_two_benches_into_one_folder(
    image_folder: Path, encoder: Path, workdir: Path, environment: dict[str, str]
) -> None:
    """The second finds every cell done."""
    shutil.copytree(encoder, workdir / "encoder")
    (workdir / "tiny.yaml").write_text(PRESET)
    command = [sys.executable, "-m", "winnow.cli.main", "bench", "tiny.yaml", "--out", "out"]
    env = environment | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    running = [
        subprocess.Popen(command, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for _ in range(2)
    ]
    words = [process.communicate(timeout=600)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0], words
    assert waited(words)
    assert sorted("1 of them done" in said for said in words) == [False, True]
    assert pd.read_csv("out/results.csv").shape[0] == 1
