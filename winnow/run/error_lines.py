"""Log one line instead of a traceback for errors that are not bugs: bad input, and work that has its own log.

Prefect's loggers print a traceback for everything that a flow or task raises. For bad input it helps nobody: the fault
is in the input, not where the program noticed it.
"""

import logging

from winnow.errors import LOGGED, InputError, WorkError

LOGGERS = "prefect.flow_runs", "prefect.task_runs"


def log_errors() -> None:
    """Have Prefect's loggers of this process do so too."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_plainly)


def _plainly(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    logs = [note for note in getattr(error, "__notes__", []) if note.startswith(LOGGED)]
    if isinstance(error, InputError | WorkError):
        said = str(error)
    elif logs:
        said = f"{type(error).__name__}: {error} ({'; '.join(logs)})"
    else:
        return True
    record.msg, record.args = "stopped: %s", (said,)
    record.exc_info, record.exc_text = None, None
    return True
