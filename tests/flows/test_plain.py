"""What a log says of an error: a line where it is no fault of the program, and its traceback where it is."""

import logging

import pytest

from flows import plain
from tasks.errors import InputError, WorkError


def said(error: Exception) -> str:
    """What a logger of Prefect's tasks says when a task has raised `error`."""
    logger, lines = logging.getLogger("prefect.task_runs"), list[str]()
    handler = logging.Handler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    handler.emit = lambda record: lines.append(handler.format(record))  # type: ignore[method-assign]
    plain.words()
    logger.addHandler(handler)
    try:
        raise error
    except type(error):
        logger.exception("failed with %r", "it")
    finally:
        logger.removeHandler(handler)
    return lines[0]


@pytest.mark.parametrize("kind", [InputError, WorkError])
def test_bad_input_and_work_with_a_log_are_a_line(kind: type[Exception]) -> None:
    assert said(kind("embed.path: nowhere does not exist")) == "stopped: embed.path: nowhere does not exist"


def test_a_cell_that_broke_names_its_log() -> None:
    error = ArithmeticError("the loss is nan")
    error.add_note("see logs/subset-0.log")
    assert said(error) == "stopped: ArithmeticError: the loss is nan (see logs/subset-0.log)"


def test_any_other_error_keeps_its_traceback() -> None:
    words = said(ArithmeticError("a fault of ours"))
    assert words.startswith("failed with 'it'\nTraceback")
    assert words.endswith("ArithmeticError: a fault of ours")


def test_a_password_in_an_address_is_blotted_out() -> None:
    assert "hush" not in said(InputError("https://me:hush@host/it does not answer"))
