"""What tests of faults share: a project whose last stages have not run yet, and what must hold when they have."""

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from processes import Processes, tree, until
from ruamel.yaml import YAML
from support import Project, checkout, write_photos

from winnow.run import stage_lock

COMMAND = ("dvc", "repro", "release")
STAGES = ["evaluate", "release"]  # what it runs in such a project
MODULE = ["-m", "flows.evaluate"]
SMALL = {
    "prepare": {"source": "photos", "wrong_labels": 0.0, "damaged": 0.0},
    "embed": {"path": "encoder", "prompts": ["a photo of {}."]},
    "adapt": {"epochs": 2},
    "optimize": {"keep": 0.5},
    "evaluate": {"steps": 10, "seeds": 2, "image_size": 16},
    "release": {"name": "photos"},
}


def small(folder: Path, env: dict[str, str], encoder: Path) -> Project:
    """Make a small project: 30 photographs, an encoder hardly trained, few trainings."""
    made = checkout(folder, env)
    write_photos(made.folder / "photos")
    shutil.copytree(encoder, made.folder / "encoder")
    made.set(**SMALL)
    return made


def unfinished(whole: Project, folder: Path) -> Project:
    """Copy a project to a new folder, in which the last stages have never run."""
    made = Project(Path(shutil.copytree(whole.folder, folder, symlinks=True)), whole.env)
    yaml, lock = YAML(), made.folder / "dvc.lock"
    known = yaml.load(lock)
    for stage in STAGES:
        del known["stages"][stage]
        shutil.rmtree(made.folder / "data" / stage)
    yaml.dump(known, lock)
    shutil.rmtree(made.folder / ".dvc/cache/runs")
    shutil.rmtree(made.folder / ".winnow")
    return made


def halted(processes: Processes) -> psutil.Process:
    """Wait until the stage that trains is in its flow, in what was started last, and halt it."""
    above = processes.started[-1]
    until(lambda: "for flow 'evaluate'" in processes.words() or above.poll() is not None)
    (found,) = (p for p in map(psutil.Process, tree(above.pid)) if p.cmdline()[1:] == MODULE)
    found.suspend()
    return found


def check(made: Project, whole: Project) -> None:
    """The results are those of a run without a fault, nothing is left to do, and no lock is left."""
    ours, theirs = made.results(), whole.results()
    assert sorted(ours) == sorted(theirs)
    assert [name for name in ours if ours[name] != theirs[name]] == []
    assert made.repro("release") == []
    assert holders(made) == []
    assert not (made.folder / stage_lock.PLACE).exists()


def holders(made: Project) -> list[int]:
    """The processes that hold a lock of DVC's; entries of those that are gone it drops where they are in the way."""
    named = re.findall(r'"pid": (\d+)', (made.folder / ".dvc/tmp/rwlock").read_text())
    return [int(pid) for pid in named if psutil.pid_exists(int(pid))]


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[Callable[..., None]]:
    """A file system of its own in `folder`; gives what changes its options."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here: that takes root, outside most containers")
    try:
        yield lambda *changed: subprocess.run(["mount", "-o", ",".join(("remount", *changed)), str(folder)], check=True)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
