"""Arguments of the public functions: refused with the name of the argument, what was given, and what can be.

Nothing here loads NumPy or torch, so that what is wrong is said at once.
"""

import difflib
import math
import os
from numbers import Integral, Real
from pathlib import Path
from typing import Any, get_args

from winnow.errors import ArgumentError
from winnow.selection import methods

LONGEST = 100  # characters of a value that a message repeats


def choice(argument: str, value: object, allowed: Any) -> None:
    """Refuse what is not a value of the Literal `allowed`.

    Raises:
        ArgumentError: with the values that are, and the one that is nearest.
    """
    values = get_args(allowed)
    if isinstance(value, str) and value in values:
        return
    near = difflib.get_close_matches(str(value).lower(), values, n=1)
    meant = f"; did you mean {near[0]!r}?" if near else ""
    raise ArgumentError(argument, f"is {value!r}: it must be {' or '.join(map(repr, values))}{meant}")


def share(argument: str, value: object) -> float:
    """A number above 0 and at most 1.

    Raises:
        ArgumentError: it is none.
    """
    if (number := _number(value)) is None or not 0 < number <= 1:
        raise ArgumentError(argument, f"is {_shown(value)}: it must be a number above 0 and at most 1")
    return number


def neighbours(value: object) -> float:
    """How many neighbours count: a share of the class below 1, else a number of them.

    Raises:
        ArgumentError: it is neither.
    """
    if (number := _number(value)) is None or not 0 < number < math.inf:
        words = "it must be a share of the class, or a number of neighbours, above 0"
        raise ArgumentError("neighbours", f"is {_shown(value)}: {words}")
    return number


def seed(value: object) -> int:
    """A seed of every random choice.

    Raises:
        ArgumentError: it is no whole number, or out of range.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or not 0 <= int(value) < methods.SEEDS:
        words = f"it must be a whole number from 0 to {methods.SEEDS - 1}"
        raise ArgumentError("seed", f"is {_shown(value)}: {words}")
    return int(value)


def switch(argument: str, value: object) -> bool:
    """True or False.

    Raises:
        ArgumentError: it is neither.
    """
    if type(value).__name__ not in ("bool", "bool_"):  # of Python, or of NumPy
        raise ArgumentError(argument, f"is {_shown(value)}: it must be True or False")
    return bool(value)


def folder(argument: str, value: object) -> Path:
    """The path of a folder.

    Raises:
        ArgumentError: it is no path.
    """
    if not isinstance(value, str | os.PathLike):
        raise ArgumentError(argument, f"is {_shown(value)}: it must be a path")
    return Path(value)


def device(value: object) -> str:
    """The device to compute on; where it is None, the GPU if there is one.

    Raises:
        ArgumentError: there is no such device here.
    """
    import torch

    from winnow.compute.device import best

    if value is None:
        return best()
    try:
        torch.zeros(1, device=value).tolist()  # type: ignore[call-overload]
    except Exception as error:  # torch raises several kinds for names and for devices that are not there
        words = f"is {_shown(value)}, which torch cannot use here ({str(error).splitlines()[0]}); leave it out"
        raise ArgumentError("device", words) from error
    return str(value)


def _number(value: object) -> float | None:
    return None if isinstance(value, bool) or not isinstance(value, Real) else float(value)


def _shown(value: object) -> str:
    """A value as its argument would be written; numbers of NumPy as numbers."""
    return str(value) if isinstance(value, Real) else repr(value)[:LONGEST]
