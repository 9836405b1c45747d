"""A place that cannot be written is refused before the work, with the option that named it."""

import os
from pathlib import Path

import pytest
from faulty import mounted
from typer.testing import CliRunner

from winnow.cli import places
from winnow.cli.main import app
from winnow.errors import InputError

pytestmark = pytest.mark.usefixtures("workdir")


def refusal(place: Path) -> str:
    with pytest.raises(InputError) as error, places.reserved("--out", place):
        pytest.fail("the work begins")
    return str(error.value)


def test_a_place_is_kept_for_one_command_whether_or_not_it_is_there() -> None:
    Path("there").mkdir()
    for place in (Path("there"), Path("not/yet/there"), Path("/tmp/elsewhere")):  # noqa: S108 nothing is written
        with places.reserved("--out", place):
            pass
    assert sorted(os.listdir()) == ["there"]


def test_a_name_that_is_too_long() -> None:
    for place in (Path("x" * 300), Path("x" * 300, "out"), Path("a/" * 3000)):
        assert refusal(place) == f"--out {place}: File name too long; name another place"


def test_a_file_where_a_folder_has_to_be() -> None:
    Path("file").touch()
    assert "/file is a file, not a folder" in refusal(Path("file/out"))
    assert "/file is a file, not a folder" in refusal(Path("file/deep/out"))


def test_a_file_system_that_is_read_only(workdir: Path) -> None:
    with mounted(workdir / "disk", "size=1m") as remount:
        remount("ro")
        assert f"--out disk/out: {workdir}/disk cannot be written" in refusal(Path("disk/out"))
        assert "cannot be written" in refusal(Path("disk/deep/out"))


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="no /proc")
def test_a_file_system_of_the_kernel() -> None:
    """Where root may write as far as permissions say, and nobody can make a file."""
    for place in (Path("/proc/out.csv"), Path("/proc/deep/out.csv"), Path("/proc/self/out.csv")):
        assert refusal(place).startswith(f"--out {place}: /proc")
        assert " cannot be written" in refusal(place)
    done = CliRunner().invoke(app, ["select", "features", "--keep", "0.5", "--out", "/proc/out.csv"])
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1), done.output


def test_a_full_disk_is_not_taken_for_a_closed_one(workdir: Path) -> None:
    with mounted(workdir / "disk", "nr_inodes=2"):
        Path("disk/a").touch()
        with pytest.raises(OSError, match="No space left"):
            places.check("--out", Path("disk/out"))


@pytest.mark.parametrize(
    "command",
    [
        ["select", "features", "--keep", "0.5", "--out"],
        ["score", "features", "--out"],
        ["export", "release", "--format", "ids", "--out"],
        ["bench", "digits", "--out"],
        ["release", "diff", "a", "b", "--page"],
    ],
)
def test_every_command_that_writes_looks_first(command: list[str]) -> None:
    Path("file").touch()
    done = CliRunner().invoke(app, [*command, "file/out.csv"])
    assert (done.exit_code, "/file is a file, not a folder" in done.stderr) == (2, True), done.output
    assert f"winnow: {command[-1]} file/out.csv: " in done.stderr
    done = CliRunner().invoke(app, [*command, "x" * 300 + ".csv"])
    assert (done.exit_code, "File name too long" in done.stderr) == (2, True), done.output
