"""Progress bars: shown on a terminal, unless a command was asked to be quiet."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_quiet = False


def hidden() -> bool:
    """Whether no progress bar is to be shown."""
    return _quiet or not sys.stderr.isatty()


@contextmanager
def silenced(quiet: bool) -> Iterator[None]:
    """Show no progress bars in the block, if `quiet`."""
    global _quiet  # noqa: PLW0603 threads and the library's functions are not told otherwise
    before, _quiet = _quiet, quiet
    try:
        yield
    finally:
        _quiet = before
