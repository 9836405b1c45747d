"""What an argument cannot be is refused at once, with its name, what was given, and what can be."""

from typing import Any

import numpy as np
import pytest

import winnow
from winnow import arguments
from winnow.errors import InputError
from winnow.features import Features


@pytest.mark.parametrize(
    ("argument", "value", "words"),
    [
        ("method", "winow", "method is 'winow': it must be 'winnow' or 'paper'; did you mean 'winnow'?"),
        ("method", "Paper", "did you mean 'paper'?"),
        ("method", None, "method is None: it must be 'winnow' or 'paper'"),
        ("solver", "exakt", "solver is 'exakt': it must be 'exact' or 'gradient'; did you mean 'exact'?"),
        ("balance", "magic", "balance is 'magic': it must be 'none' or 'proportional' or 'uniform'"),
        ("keep", 2, "keep is 2: it must be a number above 0 and at most 1"),
        ("keep", 0, "keep is 0:"),
        ("keep", float("nan"), "keep is nan:"),
        ("keep", "0.3", "keep is '0.3':"),
        ("keep", True, "keep is True:"),
        ("keep", None, "keep is None:"),
        ("keep", 0.001, "keep is 0.001: of 300 samples that keeps none; raise it to 0.0033 or more"),
        ("neighbours", 0, "neighbours is 0: it must be a share of the class, or a number of neighbours, above 0"),
        ("neighbours", float("inf"), "neighbours is inf:"),
        ("near_duplicates", 1.5, "near_duplicates is 1.5: it must be a number above 0 and at most 1"),
        ("drop_near_duplicates", "no", "drop_near_duplicates is 'no': it must be True or False"),
        ("seed", -1, "seed is -1: it must be a whole number from 0 to 2147483647"),
        ("seed", 0.5, "seed is 0.5:"),
        ("seed", 2**31, "seed is 2147483648:"),
        ("device", "gpu", "device is 'gpu', which torch cannot use here"),
        ("device", "meta", "device is 'meta', which torch cannot use here"),
    ],
)
def test_bad_values_are_refused_by_the_name_of_the_argument(
    planted: Features, argument: str, value: Any, words: str
) -> None:
    given: dict[str, Any] = {"keep": 0.3, argument: value}
    with pytest.raises(ValueError, match="^" + argument) as error:
        winnow.select(planted, **given)
    assert words in str(error.value)
    assert isinstance(error.value, InputError)


def test_numbers_of_numpy_are_numbers(planted: Features) -> None:
    table = winnow.select(planted, keep=np.float32(0.3), neighbours=np.int64(5), seed=np.int32(1))  # type: ignore[arg-type]
    assert table["selected"].sum() == 90
    assert arguments.switch("drop", np.bool_(True)) is True
