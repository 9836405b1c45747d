"""Errors that end a command with a message instead of a traceback: bad input, and work that failed on good input.

Other programs keep these messages too, such as Prefect on the page of a flow run. So secrets are removed from a message
when the error is made, and from any other error where it leaves a flow or task (`redacted`).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

from winnow.terminal.redact import redact

P = ParamSpec("P")
R = TypeVar("R")

LOGGED = "see "  # begins the note of an error whose traceback is in a log, which it names


class InputError(ValueError):
    """Bad input. The message names the file, row, key or class at fault and the way out; commands exit with 2."""

    def __init__(self, message: object = "") -> None:
        super().__init__(redact(str(message)))


class ArgumentError(InputError):
    """An argument has a value that it cannot have. The message begins with its name, as Python calls it.

    Who was given the value by another name, such as an option or a key of params.yaml, says that name (`named`).
    """

    def __init__(self, argument: str, words: str) -> None:
        super().__init__(f"{argument} {words}")
        self.argument, self.words = argument, words

    def __reduce__(self) -> tuple[type["ArgumentError"], tuple[str, str]]:
        return type(self), (self.argument, self.words)


@contextmanager
def named(name: Callable[[str], str]) -> Iterator[None]:
    """Let an `ArgumentError` in the block name its argument as `name` does.

    Raises:
        InputError: with that name.
    """
    try:
        yield
    except ArgumentError as error:
        raise InputError(f"{name(error.argument)} {error.words}") from error


class WorkError(RuntimeError):
    """Work failed, and the input is not at fault. The message says what, where its log is, and what to do; exit 1."""

    def __init__(self, message: object = "") -> None:
        super().__init__(redact(str(message)))


class HeldError(WorkError):
    """A release that may not be published without a person: the gate refused it."""

    def __init__(self, reasons: list[str]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons


class RedactedError(RuntimeError):
    """Stands for another error, whose message holds a secret; that one is its cause."""


def redacted(work: Callable[P, R]) -> Callable[P, R]:
    """Decorate a flow or task, so that what it raises has no secret in its message, which Prefect keeps and shows.

    Raises:
        RedactedError: an error was raised whose message holds a secret. Any other error passes as it is.
    """

    @wraps(work)
    def without_secrets(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return work(*args, **kwargs)
        except Exception as error:
            said = str(error)
            if redact(said) == said:
                raise
            shown = RedactedError(f"{type(error).__name__}: {redact(said)}")
            for note in getattr(error, "__notes__", []):
                shown.add_note(redact(note))
            raise shown from error

    return without_secrets
