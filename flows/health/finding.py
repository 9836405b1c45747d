"""What a check found, and what to do about it."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

State = Literal["ok", "warning", "wrong"]
T = TypeVar("T")


@dataclass(frozen=True)
class Finding:
    """What was found.

    Attributes:
        what: was looked at.
        state: `wrong` stops work or breaks a promise, `warning` may be meant.
        found: in words.
        cure: what to do; empty where nothing is.
    """

    what: str
    state: State
    found: str
    cure: str = ""


def within(seconds: float, do: Callable[[], T]) -> T:
    """What `do` returns or raises.

    Raises:
        TimeoutError: it takes longer; it is left to itself then.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(do())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise TimeoutError(f"no answer within {seconds:.0f} seconds")
    return results[0]
