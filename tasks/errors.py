"""What ends a command with a message instead of a traceback: bad input, and work that failed on good input."""

LOGGED = "see "  # begins the note of an error whose traceback is in a log, which it names


class InputError(ValueError):
    """Bad input. The message names the file, row, key or class at fault and the way out; commands exit with 2."""


class WorkError(RuntimeError):
    """Work failed, and the input is not at fault. The message says what, where its log is, and what to do; exit 1."""


class HeldError(WorkError):
    """A release that may not be published without a person: the gate refused it."""

    def __init__(self, reasons: list[str]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons
