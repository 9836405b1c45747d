"""One rule for names: each is one line of text that shows what it is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow import names
from winnow.errors import InputError

REAL = [
    "cat/00.png",
    "Screenshot 3.00\u202fPM.png",
    "a b/\u00a0c.png",
    "caf\u00e9",
    "cafe\u0301",
    "\u05d0\u05d1",
    "~x",
    "a\\b",
    "\U0001f468\u200d\U0001f469",
    "\u0915\u094d\u200d\u0937",
    "<script>",
    "x" * 1024,
]
CONTROLS = [*range(32), *range(0x7F, 0xA0), 0x2028, 0x2029, 0x202E, 0x2067, 0xFEFF, 0xD800, 0xDFFF]


def test_names_of_real_files_are_taken() -> None:
    names.check_names(REAL, "here")
    assert [names.fault(name) for name in REAL] == [None] * len(REAL)


@given(st.text())
def test_every_line_break_that_python_splits_at_is_refused(text: str) -> None:
    if len(f"{text}x".splitlines()) > 1:
        assert names.fault(text)


@pytest.mark.parametrize("number", CONTROLS)
def test_what_a_terminal_obeys_or_no_file_can_hold_is_refused(number: int) -> None:
    with pytest.raises(InputError) as error:
        names.check_names(["fine", f"a{chr(number)}b"], "prepare.source")
    assert str(error.value).startswith("prepare.source: the name 'a")
    assert str(error.value).endswith("; rename it")
    assert str(error.value).isprintable()


def test_a_long_name_is_refused_and_shown_in_part() -> None:
    with pytest.raises(InputError, match="is longer than 1,024 bytes; rename it") as error:
        names.check_names(["\u00e9" * 513], "ids.txt")
    assert len(str(error.value)) < 200


@pytest.mark.parametrize(
    ("two", "words"),
    [
        (["a", "a"], "the class name 'a' occurs twice"),
        (["a b", "a\u00a0 b"], "are the same text, in other Unicode forms or spaces"),
        (["ab", "a\u200bb"], "are the same text"),
        (["a", "\u200b"], "it is blank"),
        (["a", ""], "'' is no name for a class: it is blank"),
    ],
)
def test_classes_that_cannot_be_told_apart_are_refused(two: list[str], words: str) -> None:
    with pytest.raises(InputError) as error:
        names.check_classes(two, "prepare.source")
    assert words in str(error.value)


def test_a_name_from_an_array_is_shown_as_text() -> None:
    assert names.quoted(np.array(["a"])[0]) == "'a'"


@given(st.lists(st.text(st.characters(exclude_characters="\r\n\ufeff", exclude_categories=["Cs"]))))
def test_lines_are_those_that_were_written(texts: list[str]) -> None:
    for mark in (b"", b"\xef\xbb\xbf"):
        for end in ("\n", "\r\n"):
            assert names.lines(mark + "".join(f"{text}{end}" for text in texts).encode()) == texts
