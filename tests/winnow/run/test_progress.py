"""Tasks that are waited for: each gives its own error, also where it ends in the very moment that patience does."""

from dataclasses import dataclass

import pytest
from prefect.states import Completed, Failed, Running, State

from winnow.run import progress


@dataclass
class Ending:
    """A future of Prefect's that times out a few times, has ended since the last of them, and then says how."""

    pauses: int
    error: Exception | None

    @property
    def state(self) -> State:
        """Final from the last pause on."""
        return Running() if self.pauses else Failed() if self.error else Completed()

    def result(self, timeout: float | None) -> None:
        """Raise what it ended with, or that it has not ended in time."""
        if self.pauses:
            self.pauses -= 1
            assert timeout is not None, "it would wait for ever, and show nothing"
            raise TimeoutError("not yet")
        if self.error:
            raise self.error


@pytest.mark.parametrize("pauses", [0, 1, 3])
@pytest.mark.parametrize("error", [None, ArithmeticError("the loss is nan"), TimeoutError("a server's")])
def test_what_a_task_raised_is_told_and_not_that_it_was_waited_for(pauses: int, error: Exception | None) -> None:
    ends = progress.settle("cells", [Ending(pauses, error), Ending(0, None)], 2, lambda: 0)
    assert ends == [error, None]
