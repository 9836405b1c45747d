"""The one place that prints and logs for people: without secrets and without control sequences.

Strangers may have named files, classes and keys of a manifest. An escape sequence in such a name could erase or forge a
line, so control characters are shown as Python writes them, such as `\\x1b`.
"""

import logging
import re
import sys
import traceback
import warnings
from typing import Any

from winnow.terminal.redact import redact

# Controls except line breaks and tabs; other line breaks; characters that turn the direction of text; and halves of
# surrogate pairs, which stand for bytes that are not UTF-8, and cannot be printed.
UNSHOWN = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def clean(text: str) -> str:
    """Text without secrets, and with control characters spelled out; line breaks and tabs stay."""
    return UNSHOWN.sub(lambda found: found[0].encode("unicode_escape").decode(), redact(text))


def one_line(value: object) -> str:
    """A name or value from elsewhere as one line: it may not begin another, which would read as ours."""
    return clean(str(value)).replace("\n", "\\n").replace("\t", "\\t")


def say(text: str = "", *, error: bool = False) -> None:
    """Print text at once, to the standard output or that for errors; a flow that logs its prints logs it instead."""
    print(clean(text), file=sys.stderr if error else None, flush=True)


class Record(logging.LogRecord):
    """A log record whose message and traceback are clean, whatever handler formats it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.exc_info and self.exc_info[1]:
            self.exc_text = clean("".join(traceback.format_exception(self.exc_info[1])).rstrip())

    def getMessage(self) -> str:  # noqa: N802 as logging calls it
        """The message with its arguments."""
        return clean(super().getMessage())


def guard_logs() -> None:
    """Clean what the loggers and warnings of this process say from now on."""
    logging.setLogRecordFactory(Record)
    warnings.formatwarning = _warning


def _warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    return clean(f"{filename}:{lineno}: {category.__name__}: {message}\n")
