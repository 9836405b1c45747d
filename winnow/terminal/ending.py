"""End every command with an exit code and, on failure, one message that says why and what to do."""

import io
import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from winnow.errors import InputError, WorkError
from winnow.files import disk_errors
from winnow.terminal import bars
from winnow.terminal.say import say


@contextmanager
def ended(*, quiet: bool = False) -> Iterator[None]:
    """Run a command, and exit as its error asks.

    2: the input is at fault. 1: work failed although it is not, the file system refused, or the program has a fault,
    which alone shows a traceback. 130: interrupted. One that is `quiet` shows no warnings and no progress.
    """
    logging.basicConfig(format="winnow: %(levelname)s: %(message)s", level=logging.ERROR if quiet else logging.WARNING)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal need not know every character
    try:
        with bars.silenced(quiet):
            yield
    except (InputError, WorkError) as error:
        fail(str(error), 2 if isinstance(error, InputError) else 1)
    except BrokenPipeError:  # whoever reads the output has enough
        raise
    except KeyboardInterrupt:
        fail("interrupted", 130)
    except Exception as error:
        if words := disk_errors.refused(error):
            fail(words, 1)
        say(traceback.format_exc().rstrip(), error=True)
        sys.exit(1)


def fail(words: str, code: int) -> None:
    """Say what went wrong, and exit."""
    say(f"winnow: {words}", error=True)
    sys.exit(code)
