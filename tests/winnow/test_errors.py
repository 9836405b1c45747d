"""A message is kept where nothing of ours takes secrets out of it, such as in Prefect's database."""

import pickle

import pytest

from winnow.errors import ArgumentError, HeldError, InputError, RedactedError, WorkError, named, redacted


@pytest.mark.parametrize("kind", [InputError, WorkError])
def test_a_message_has_no_secret_and_passes_between_processes(kind: type[InputError] | type[WorkError]) -> None:
    error = kind("http://me:hunter2@host/ does not answer")
    for found in (error, pickle.loads(pickle.dumps(error))):  # noqa: S301 our own
        assert str(found) == "http://***@host/ does not answer"
        assert "hunter2" not in repr(found)


def test_reasons_are_one_message() -> None:
    error = HeldError(["too few", "http://me:hunter2@host/"])
    assert str(error) == "too few; http://***@host/"


ADDRESS = "http://me:hunter2@host/x"
ERRORS = [OSError(5, "cannot be read", ADDRESS), KeyError(ADDRESS), ValueError("a", {"at": ADDRESS})]


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_what_leaves_a_flow_or_task_has_no_secret_in_its_message(error: Exception) -> None:
    @redacted
    def work() -> None:
        error.add_note(f"see {ADDRESS}")
        raise error

    with pytest.raises(RedactedError) as raised:
        work()
    assert str(raised.value).startswith(f"{type(error).__name__}: ")
    assert "http://***@host/x" in str(raised.value)
    assert raised.value.__notes__ == ["see http://***@host/x"]
    assert raised.value.__cause__ is error


@pytest.mark.parametrize(
    "error", [OSError(5, "no"), InputError("\x1b"), WorkError(ADDRESS), KeyboardInterrupt(ADDRESS)]
)
def test_what_has_none_passes_as_it_is(error: BaseException) -> None:
    @redacted
    def work() -> None:
        raise error

    with pytest.raises(type(error)) as raised:
        work()
    assert raised.value is error


def test_an_argument_is_called_what_its_giver_calls_it() -> None:
    with pytest.raises(InputError, match=r"^--keep is 2: at most 1$"), named("--{}".format):
        raise ArgumentError("keep", "is 2: at most 1")
    with pytest.raises(InputError, match=r"^other$"), named("--{}".format):
        raise InputError("other")
    carried = pickle.loads(pickle.dumps(ArgumentError("keep", "is 2")))  # noqa: S301 as Dask carries it
    assert (str(carried), carried.argument, carried.words) == ("keep is 2", "keep", "is 2")
