"""Recognize errors of the file system, such as a full disk or a missing permission."""

import errno
import os
import re
from collections.abc import Iterator

FULL = (errno.ENOSPC, errno.EDQUOT)
# NumPy, Rust's and Arrow's libraries, and SQLite raise errors without a number.
FULL_IN_WORDS = re.compile(
    r"^\d+ requested and \d+ written$|\b(os error|errno) ({}|{})\b|database or disk is full".format(*FULL),
    re.IGNORECASE,
)
WAYS_OUT = {
    errno.EACCES: "change its permissions, or name another place",
    errno.EPERM: "change its permissions, or name another place",
    errno.EROFS: "make it writable, or name another place",
    errno.ENAMETOOLONG: "choose a shorter name",
}


def is_full(error: BaseException) -> bool:
    """Whether a full disk, or a quota that is used up, is at fault, in `error` or in what led to it."""
    return any(
        getattr(each, "errno", None) in FULL or FULL_IN_WORDS.search(str(each)) is not None for each in _chain(error)
    )


def refused(error: BaseException) -> str | None:
    """Say what the file system refused and the way out, in one line; None if something else is at fault.

    A command that ends with such an error shows this instead of a traceback, and exits with 1.
    """
    if is_full(error):
        return "the disk is full; free some of it, and the same command goes on from here"
    for each in _chain(error):
        if isinstance(each, OSError) and each.errno in WAYS_OUT and each.filename is not None:
            name = os.fsdecode(each.filename) if isinstance(each.filename, str | bytes) else str(each.filename)
            return f"{name}: {each.strerror}; {WAYS_OUT[each.errno]}"
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Give the error and every one that led to it."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            yield each
            waiting += [each.__context__, each.__cause__]
