"""A home that cannot be written to stops nothing: what has to be written goes to the project's scratch folder."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import ROOT

NOBODY = 65534
# As root every folder can be written to, so that the question is asked as somebody else.
ASK = f"""
import json, os, sys
from winnow.run import home
if os.geteuid() == 0:
    os.setgid({NOBODY})
    os.setuid({NOBODY})
os.environ |= json.loads(sys.argv[1])
home.ensure()
print(json.dumps(dict(os.environ)))
"""
VARIABLES = ("PREFECT_HOME", "PREFECT_PROFILES_PATH", "MPLCONFIGDIR", "HF_HOME", "TORCH_HOME")


def ensured(home: Path | str, **env: str) -> dict[str, str]:
    """What those variables and HOME are after the question."""
    kept = {name: value for name, value in os.environ.items() if name not in (*VARIABLES, "XDG_CACHE_HOME")}
    command = [sys.executable, "-c", ASK, json.dumps({"HOME": str(home)} | env)]
    done = subprocess.run(command, env=kept | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True)
    return {name: value for name, value in json.loads(done.stdout).items() if name in (*VARIABLES, "HOME")}


@pytest.fixture
def open_room(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory that everybody can write to; pytest's own are root's alone, where root runs the tests."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        monkeypatch.chdir(folder)
        yield Path(folder)
        monkeypatch.undo()


def test_a_home_that_can_be_written_to_is_left_alone(open_room: Path) -> None:
    home = open_room / "home"
    home.mkdir()
    home.chmod(0o777)
    assert ensured(home) == {"HOME": str(home)}
    assert ensured(home, PREFECT_HOME=str(open_room / "mine"))["PREFECT_HOME"] == str(open_room / "mine")
    assert not (open_room / ".winnow").exists()


@pytest.mark.parametrize("home", ["/dev/null/home", "relative"])
def test_a_home_that_is_none_is_replaced(open_room: Path, home: str) -> None:
    assert ensured(home) == {"HOME": str(open_room / ".winnow/home")}


def test_one_that_can_only_be_read_is_still_read(open_room: Path) -> None:
    home = open_room / "home"
    for folder in (".prefect", ".cache/huggingface"):
        (home / folder).mkdir(parents=True)
    (home / ".prefect/profiles.toml").touch()
    for folder in (home, *home.rglob("*")):
        folder.chmod(0o555)
    spare = open_room / ".winnow/home"
    assert ensured(home) == {
        "HOME": str(home),
        "PREFECT_HOME": str(spare / "prefect_home"),
        "PREFECT_PROFILES_PATH": str(home / ".prefect/profiles.toml"),
        "MPLCONFIGDIR": str(spare / "mplconfigdir"),
        "TORCH_HOME": str(spare / "torch_home"),
    }, "weights that were downloaded are found where they are"
    assert (spare / "prefect_home").is_dir()
    for folder in (home / ".cache", home):
        folder.chmod(0o777)  # so that pytest can remove it


def test_a_home_of_prefect_that_does_not_work_is_replaced(open_room: Path) -> None:
    home = open_room / "home"
    home.mkdir()
    home.chmod(0o777)
    found = ensured(home, PREFECT_HOME="/dev/null/prefect")
    assert found == {"HOME": str(home), "PREFECT_HOME": str(open_room / ".winnow/home/prefect_home")}
