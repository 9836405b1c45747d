"""Output paths: refuse those that cannot be written before work starts, and let one command at a time write to each."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from winnow.errors import InputError
from winnow.files.locks import locked, of


@contextmanager
def reserved(option: str, place: Path) -> Iterator[None]:
    """Keep a place for this command; another that is to write there waits.

    Args:
        option: that named it, for the message.
        place: a file or folder, there or not.

    Raises:
        InputError: it cannot be written.
    """
    check(option, place)
    with locked(of(place), f"writes {place}"):
        yield


def check(option: str, place: Path) -> None:
    """Refuse a place that cannot be written.

    Raises:
        InputError: its name is too long, or the folder that is to hold it is none or takes no files from this user.
    """
    try:
        place.exists()
        above = next(folder for folder in place.absolute().parents if folder.exists())
    except OSError as error:
        raise InputError(f"{option} {place}: {error.strerror}; name another place") from error
    if not above.is_dir():
        raise InputError(f"{option} {place}: {above} is a file, not a folder; name another place")
    if not os.access(above, os.W_OK | os.X_OK):
        raise InputError(f"{option} {place}: {above} cannot be written; change its permissions, or name another place")
    try:
        with tempfile.TemporaryFile(dir=above):  # root passes every check of permissions, in /proc too
            pass
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise  # a full disk has a message of its own
        raise InputError(
            f"{option} {place}: {above} cannot be written ({error.strerror}); name another place"
        ) from error
