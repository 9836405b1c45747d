"""A message is kept where nothing of ours takes secrets out of it, such as in Prefect's database."""

import pickle

import pytest

from tasks.errors import HeldError, InputError, WorkError


@pytest.mark.parametrize("kind", [InputError, WorkError])
def test_a_message_has_no_secret_and_passes_between_processes(kind: type[InputError] | type[WorkError]) -> None:
    error = kind("http://me:hunter2@host/ does not answer")
    for found in (error, pickle.loads(pickle.dumps(error))):  # noqa: S301 our own
        assert str(found) == "http://***@host/ does not answer"
        assert "hunter2" not in repr(found)


def test_reasons_are_one_message() -> None:
    error = HeldError(["too few", "http://me:hunter2@host/"])
    assert str(error) == "too few; http://***@host/"
