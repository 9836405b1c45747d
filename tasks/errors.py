"""What ends a command with a message instead of a traceback: bad input, and work that failed on good input.

A message is kept in more places than are ours, such as the pages of a flow run in Prefect. So it loses its secrets when
the error is made.
"""

from tasks.redact import redact

LOGGED = "see "  # begins the note of an error whose traceback is in a log, which it names


class InputError(ValueError):
    """Bad input. The message names the file, row, key or class at fault and the way out; commands exit with 2."""

    def __init__(self, message: object = "") -> None:
        super().__init__(redact(str(message)))


class WorkError(RuntimeError):
    """Work failed, and the input is not at fault. The message says what, where its log is, and what to do; exit 1."""

    def __init__(self, message: object = "") -> None:
        super().__init__(redact(str(message)))


class HeldError(WorkError):
    """A release that may not be published without a person: the gate refused it."""

    def __init__(self, reasons: list[str]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons
