"""A label is text as it stands in the source, or a fault with a name; it is never made up."""

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from winnow.errors import InputError
from winnow.sources import labels


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("cat", "cat"),
        (" cat\n", "cat"),
        (b"caf\xc3\xa9", "café"),
        (7, "7"),
        ("007", "007"),
        (1.0, "1"),
        (True, "True"),
        (np.int64(3), "3"),
        (np.float32(2), "2"),
        (Decimal("4.0"), "4"),
        (-1, "-1"),
        (10**30, str(10**30)),
        ("NA", "NA"),
        ("None", "None"),
        ("null", "null"),
    ],
)
def test_a_label_is_text(value: Any, said: str) -> None:
    assert labels.text(value) == (said, "")


@pytest.mark.parametrize("value", [None, float("nan"), np.nan, pd.NaT, pd.NA, "", "  ", "nan", "NaN", b""])
def test_a_missing_label_is_none(value: Any) -> None:
    assert labels.text(value) == (None, "no label")


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (b"\xff", "a label that is not UTF-8"),
        (0.5, "the label 0.5, which is a measurement and no class"),
        (float("inf"), "the label inf, which is a measurement and no class"),
        ([1, 2], "the label [1, 2], which is not one class"),
        ({"a": 1}, "the label {'a': 1}, which is not one class"),
        ("['cat', 'dog']", "the label ['cat', 'dog'], which is not one class"),
    ],
)
def test_what_is_no_label_is_named(value: Any, why: str) -> None:
    assert labels.text(value) == (None, why)


@pytest.mark.parametrize(
    "column",
    [
        pa.chunked_array([["b", None], ["a"]]),
        pa.chunked_array([pa.array(["b", None, "a"]).dictionary_encode()]),
        pa.chunked_array([pa.array(["b", None]).dictionary_encode(), pa.array(["a"]).dictionary_encode()]),
        pa.chunked_array([pa.array([b"b", None, b"a"])]),
        ["b", None, "a"],
    ],
)
def test_columns_of_any_type_are_read_alike(column: Any) -> None:
    said, wrong = labels.column(column)
    assert said.tolist() == ["b", None, "a"]
    assert wrong.tolist() == ["", "no label", ""]


def test_numbers_with_missing_rows_are_whole_again() -> None:
    said, wrong = labels.column(pa.chunked_array([pa.array([1.0, None, 2.0, float("nan"), 2.5])]))
    assert said.tolist() == ["1", None, "2", None, None]
    assert wrong[4] == "the label 2.5, which is a measurement and no class"


@pytest.mark.parametrize(
    ("given", "classes"),
    [
        (["2", "10", "1"], ["1", "2", "10"]),
        (["007", "7", "10"], ["007", "10", "7"]),
        (["b", "2", "10"], ["10", "2", "b"]),
        (["1.0", "2.0", "10"], ["1", "2", "10"]),
        (["-1", "1"], ["-1", "1"]),
        ([], []),
    ],
)
def test_whole_numbers_are_in_their_order_and_all_else_is_text(given: list[str], classes: list[str]) -> None:
    names, codes, _ = labels.classes(given, "list.csv")
    assert names == classes
    assert [names[code].partition(".")[0] for code in codes] == [label.partition(".")[0] for label in given]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["0.5", "1.25", "2"], r"list\.csv: labels such as 0\.5 are measurements, not classes; prepare\.label names"),
        (["0,5", "1,5", "2"], r"labels such as 0,5 are measurements or lists, not classes"),
        (["0", "1", "-1", "-1"], r"list\.csv: 2 labels are negative \(-1 first\), as those of samples without a label"),
    ],
)
def test_numbers_that_are_no_classes_are_refused(given: list[str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        labels.classes(given, "list.csv")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["NA", "DE"], "label 'NA' is read as the name of a class"),
        (["1", "2"], "labels are 2 numbers from 1 to 2; classes have these names"),
        (["0", "7"], "labels are 2 numbers from 0 to 7; classes have"),
        (["cat", "dog", "cat, dog", "dog|cat"], "2 labels such as 'cat, dog' look like lists of other classes"),
        (["07", "7"], "differ only in leading zeros"),
        (["1.0", "2.0"], "labels such as 1.0 are read as whole numbers"),
        ([str(row) for row in range(30)], "30 images have 30 classes; does prepare.label name the right column?"),
    ],
)
def test_what_is_odd_is_said(given: list[str], words: str) -> None:
    assert any(words in note for note in labels.classes(given, "list.csv")[2])


def test_plain_labels_need_no_word() -> None:
    assert labels.classes(["0", "1", "2"] * 10, "list.csv")[2] == []
    assert labels.classes(["bear", "polar bear"], "list.csv")[2] == []
