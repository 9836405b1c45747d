"""A full disk and what the file system refuses are recognised, whichever library says so."""

import errno
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from faulty import mounted
from support import ROOT

from winnow.files import disk_errors

pytestmark = pytest.mark.usefixtures("workdir")


def led_to(error: Exception, first: Exception, *, explicitly: bool) -> Exception:
    """`error`, raised because of `first`, or while `first` was handled."""
    if explicitly:
        error.__cause__ = first
    else:
        error.__context__ = first
    return error


class OwnWordsError(OSError):
    """As some libraries have, which leave the number out of what they say."""

    def __str__(self) -> str:
        return "could not write"


FULL = [
    OwnWordsError(errno.ENOSPC, "No space left on device"),
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.EDQUOT, "Disk quota exceeded"),
    OSError("480000 requested and 65408 written"),  # NumPy
    RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),  # safetensors
    OSError("Error writing bytes to file. Detail: [errno 28] No space left on device"),  # Arrow
    sqlite3.OperationalError("database or disk is full"),
]
NOT_FULL = [
    RuntimeError("the figure could not be written"),
    RuntimeError("10 requested and 4 written by hand"),
    ValueError("of 12 requested and 4 written"),
    OSError(errno.EIO, "Input/output error"),
    OSError("os error 280"),
    RuntimeError("No space left"),
]


@pytest.mark.parametrize("error", FULL, ids=str)
def test_a_full_disk_is_recognised_wherever_it_stands_in_the_chain(error: Exception) -> None:
    assert disk_errors.is_full(error)
    assert disk_errors.is_full(led_to(RuntimeError("unexpected pos 704"), error, explicitly=True))
    later = led_to(AttributeError("no fileno"), error, explicitly=False)
    assert disk_errors.is_full(later)
    assert disk_errors.is_full(led_to(later, ValueError("another"), explicitly=True))
    assert disk_errors.refused(error) == "the disk is full; free some of it, and the same command goes on from here"


@pytest.mark.parametrize("error", NOT_FULL, ids=str)
def test_another_error_is_not_taken_for_a_full_disk(error: Exception) -> None:
    assert not disk_errors.is_full(error)
    assert not disk_errors.is_full(led_to(RuntimeError("later"), error, explicitly=True))
    assert disk_errors.refused(error) is None


@pytest.mark.parametrize("kind", ["npy", "npz", "safetensors", "parquet", "csv", "torch", "png", "sqlite"])
def test_the_libraries_that_write_say_so_when_a_disk_is_full(tmp_path: Path, kind: str) -> None:
    code = WRITES[kind]
    with mounted(tmp_path / "small", "size=64k"):
        done = subprocess.run(
            [sys.executable, "-c", FILLING.format(code=code)],
            cwd=tmp_path / "small",
            check=False,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
    assert done.returncode == 7


FILLING = """
import sys
import numpy as np
from winnow.files import disk_errors
from winnow.files import outputs as files
many = np.random.default_rng(0).integers(0, 255, (400, 400, 3)).astype(np.uint8)
try:
    {code}
except Exception as error:
    sys.exit(7 if disk_errors.is_full(error) else 8)
"""
WRITES = {
    "npy": "np.save(open('a', 'wb'), many)",
    "npz": "np.savez(open('a', 'wb'), many=many)",
    "safetensors": "import safetensors.numpy as st; st.save_file({'a': many}, 'a')",
    "parquet": "import pandas as pd; pd.DataFrame({'a': np.random.random(100_000)}).to_parquet('a')",
    "csv": "import pandas as pd; pd.DataFrame({'a': np.random.random(100_000)}).to_csv('a')",
    "torch": "import torch; torch.save(torch.from_numpy(many), open('a', 'wb'))",
    "png": "from PIL import Image; Image.fromarray(many).save('a.png')",
    "sqlite": "import sqlite3; db = sqlite3.connect('a'); db.execute('create table a(b)'); "
    "db.execute('insert into a values (?)', (many.tobytes(),)); db.commit()",
}


PERMISSIONS = "change its permissions, or name another place"


@pytest.mark.parametrize(
    ("number", "way_out"),
    [
        (errno.EACCES, PERMISSIONS),
        (errno.EPERM, PERMISSIONS),
        (errno.EROFS, "make it writable, or name another place"),
        (errno.ENAMETOOLONG, "choose a shorter name"),
    ],
)
@pytest.mark.parametrize("name", ["some/file", b"some/file", Path("some/file")], ids=type)
def test_a_file_system_that_refuses_is_one_line_with_the_file_and_the_way_out(
    number: int, way_out: str, name: object
) -> None:
    error = led_to(RuntimeError("x"), OSError(number, "Not so", name), explicitly=True)
    assert disk_errors.refused(error) == f"some/file: Not so; {way_out}"
    assert disk_errors.refused(OSError(number, "Not so")) is None, "with no file it may be a socket"
    assert disk_errors.refused(FileNotFoundError(errno.ENOENT, "gone", name)) is None


def test_errors_that_led_to_one_another_are_looked_through_once() -> None:
    one, two = RuntimeError("one"), RuntimeError("two")
    one.__cause__, two.__context__ = two, one
    assert not disk_errors.is_full(one)
