"""A command ends with one message and a code that says whose fault it was; only a fault of ours has a traceback."""

import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from winnow.errors import HeldError, InputError, WorkError
from winnow.terminal.ending import ended

COMMANDS = [["flows.prepare"], ["flows.source"], ["winnow.cli.main", "up"], ["winnow.cli.main", "ui"]]


def end(error: BaseException, capsys: pytest.CaptureFixture[str]) -> tuple[object, str]:
    """The exit code of a command in which an error is raised, and what it says."""
    with pytest.raises(SystemExit) as exit_, ended():
        raise error
    out, said = capsys.readouterr()
    assert out == ""
    return exit_.value.code, said


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (InputError("optimize.keep is 2"), 2, "winnow: optimize.keep is 2\n"),
        (WorkError("a cell broke"), 1, "winnow: a cell broke\n"),
        (HeldError(["too few", "too many"]), 1, "winnow: too few; too many\n"),
        (KeyboardInterrupt(), 130, "winnow: interrupted\n"),
        (
            InputError("the class '\x1b[2J' of http://me:hunter2@h/"),
            2,
            "winnow: the class '\\x1b[2J' of http://***@h/\n",
        ),
        (
            OSError(errno.EROFS, "Read-only file system", "out/a"),
            1,
            "winnow: out/a: Read-only file system; make it writable, or name another place\n",
        ),
    ],
)
def test_an_expected_end_is_one_message(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert end(error, capsys) == (code, said)


def test_a_full_disk_is_one_message(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = end(OSError(errno.ENOSPC, "No space left on device"), capsys)
    assert code == 1
    assert said.startswith("winnow: the disk is full; ")


def test_a_fault_of_ours_has_a_traceback_without_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = end(KeyError("http://me:hunter2@host/\x1b[2J"), capsys)
    assert code == 1
    assert said.startswith("Traceback (most recent call last)")
    assert "http://***@host/" in said
    assert "hunter2" not in said
    assert "\x1b" not in said


def test_an_exit_inside_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert end(SystemExit(7), capsys) == (7, "")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_ends_so(command: list[str], tmp_path: Path) -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    arguments = {
        "up": ["--prefect", str(taken.getsockname()[1])],
        "ui": ["--host", "0.0.0.0"],  # noqa: S104 it is refused
    }.get(command[-1], [])
    (tmp_path / "params.yaml").write_text('prepare: {sauce: "\x85"}\nrefresh: {sauce: 1}\n', encoding="utf-8")
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    env.pop("PREFECT_API_URL", None)  # else it is asked for the server of that name
    with taken:
        whole = [sys.executable, "-m", *command, *arguments]
        done = subprocess.run(whole, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("Traceback")) == (2, 0), done.stderr
    assert "winnow: " in done.stderr
    assert "\x85" not in done.stderr
