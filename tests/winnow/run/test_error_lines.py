"""What a log says of an error: a line where it is no fault of the program, and its traceback where it is."""

import io
import logging

import pytest

from winnow.errors import InputError, WorkError
from winnow.run import error_lines


def said(error: Exception) -> str:
    """What a logger of Prefect's tasks says when a task has raised `error`."""
    logger, handler = logging.getLogger("prefect.task_runs"), logging.StreamHandler(io.StringIO())
    error_lines.log_errors()
    logger.addHandler(handler)
    try:
        raise error
    except type(error):
        logger.exception("failed with %r", "it")
    finally:
        logger.removeHandler(handler)
    return handler.stream.getvalue().rstrip()


@pytest.mark.parametrize("kind", [InputError, WorkError])
def test_bad_input_and_work_with_a_log_are_a_line(kind: type[Exception]) -> None:
    assert said(kind("embed.path: nowhere does not exist")) == "stopped: embed.path: nowhere does not exist"


def test_a_cell_that_broke_names_its_log() -> None:
    error = ArithmeticError("the loss is nan")
    error.add_note("see logs/subset-0.log")
    assert said(error) == "stopped: ArithmeticError: the loss is nan (see logs/subset-0.log)"


def test_any_other_error_keeps_its_traceback() -> None:
    error = ArithmeticError("a fault of ours")
    error.add_note("a library's own note")
    words = said(error)
    assert words.startswith("failed with 'it'\nTraceback")
    assert words.endswith("ArithmeticError: a fault of ours\na library's own note")


def test_a_password_in_an_address_is_blotted_out() -> None:
    assert "hush" not in said(InputError("https://me:hush@host/it does not answer"))
