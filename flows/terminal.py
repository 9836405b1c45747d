"""How a command ends: bad input is one message and exit code 2, never a traceback."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from tasks.errors import InputError
from tasks.redact import redact


@contextmanager
def clear_errors() -> Iterator[None]:
    """Turn bad input into one clear message and exit code 2."""
    logging.basicConfig(format="winnow: %(levelname)s: %(message)s", level=logging.WARNING)
    try:
        yield
    except InputError as error:
        print(f"winnow: {redact(str(error))}", file=sys.stderr)
        raise typer.Exit(2) from error
