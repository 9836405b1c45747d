"""Decisions of a person change what they name, keep their provenance, and are refused where they cannot be meant."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from winnow import corrections
from winnow.errors import InputError

CLASSES = ["ant", "bee", 'cat, "big"']
TABLE = pd.DataFrame({"id": ["a", "b", "c", "001"], "label": [0, 1, 2, 0], "split": "train"})
HEADER = "id,decision,label,given,by,on,release\n"


def applied(tmp_path: Path, text: str) -> corrections.Corrected:
    path = tmp_path / "corrections.csv"
    path.write_text(text, encoding="utf-8")
    return corrections.apply(TABLE, CLASSES, path)


def test_decisions_change_what_they_name_and_nothing_else(tmp_path: Path) -> None:
    rows = ['"b","drop","","bee","Ada","2026-01-02","r:1"', 'a,relabel,"cat, ""big""",,,,', "001,keep,,,,,"]
    done = applied(tmp_path, HEADER + "\r\n".join(rows))
    assert done.table["id"].tolist() == ["a", "b", "c", "001"]
    assert done.table["label"].tolist() == [2, 1, 2, 0]
    assert done.table["label"].dtype == TABLE["label"].dtype
    assert done.dropped.tolist() == [False, True, False, False]
    assert done.relabelled.tolist() == [True, False, False, False]
    assert done.kept.tolist() == [False, False, False, True]
    done.applied.to_parquet(tmp_path / "corrections.parquet")
    assert corrections.kept(tmp_path / "corrections.parquet", np.array(["001", "a", "x"])).tolist() == [
        True,
        False,
        False,
    ]


def test_a_file_without_decisions_and_no_file_change_nothing(tmp_path: Path) -> None:
    for done in (applied(tmp_path, HEADER), corrections.apply(TABLE, CLASSES, None)):
        pd.testing.assert_frame_equal(done.table, TABLE)
        assert (done.dropped.any(), done.relabelled.any(), len(done.applied)) == (False, False, 0)
        assert list(done.applied) == [*corrections.COLUMNS, "was"]


def test_each_decision_keeps_who_made_it_when_and_on_what(tmp_path: Path) -> None:
    done = applied(tmp_path, HEADER + "b,relabel,ant,bee,Ada,2026-01-02,photos:1234\n")
    assert done.applied.to_dict("records") == [
        {
            "id": "b",
            "decision": "relabel",
            "label": "ant",
            "given": "bee",
            "by": "Ada",
            "on": "2026-01-02",
            "release": "photos:1234",
            "was": "bee",
        }
    ]


def test_three_columns_and_a_spreadsheets_mark_are_enough(tmp_path: Path) -> None:
    assert applied(tmp_path, "\ufeffid,decision,label\nb,drop,\n").dropped.tolist() == [False, True, False, False]


def test_the_same_decision_twice_is_one(tmp_path: Path) -> None:
    assert len(applied(tmp_path, "id,decision,label\nb,drop,\nb,drop,\n").applied) == 1


def test_a_sample_that_has_gone_is_said_and_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        done = applied(tmp_path, "id,decision,label\nnone,drop,\nb,drop,\n")
    assert "decisions are about 1 ids that are not there, 'none' first" in caplog.text
    assert done.applied["id"].tolist() == ["b"]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("id,label\na,ant\n", "no column 'decision'"),
        ("id,decision,label\na,delete,\n", "line 2, a: the decision 'delete' is none of"),
        ("id,decision,label\nb,keep,\na,relabel,dog\n", "line 3, a: there is no class 'dog'"),
        ("id,decision,label\na,relabel,\n", "no class ''"),
        ("id,decision,label\na,drop,bee\n", "drop takes no label"),
        ("id,decision,label\na,drop,\na,keep,\n", "different decisions"),
        ("", "not a readable CSV"),
        ("id,decision,label\na,drop,,x\n", "rows with more values than its header has columns"),
        ("id,decision,label\na,drop,,x,y\n", "rows with more values than its header has columns"),
        ("ID ,id,decision,label\na,b,drop,\n", "the column 'id' twice"),
        ('id,decision,label\n"a\nwinnow: all is well",delete,\n', r"line 2, a\\nwinnow: all is well: the decision"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_line(tmp_path: Path, text: str, word: str) -> None:
    with pytest.raises(InputError, match=word):
        applied(tmp_path, text)


def test_bytes_that_are_no_text_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        corrections.apply(TABLE, CLASSES, tmp_path / "none.csv")
    (tmp_path / "bytes.csv").write_bytes(b"id,decision,label\n\xff\xfe,drop,\n")
    with pytest.raises(InputError, match="not a readable CSV"):
        corrections.apply(TABLE, CLASSES, tmp_path / "bytes.csv")


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("id;decision;label\r\nb;drop;\r\n", "utf-8-sig"),
        ("id\tdecision\tlabel\r\nb\tdrop\t\r\n", "utf-16"),
        ("ID, Decision ,Label\n b ,Drop,\n,,\n\n,,\n", "utf-8"),
        ("id,decision,label\n./b,drop,\n", "utf-8"),
        ("id,decision,label\nb,drop\n", "utf-8"),
    ],
)
def test_decisions_are_read_as_spreadsheets_save_them(tmp_path: Path, text: str, encoding: str) -> None:
    path = tmp_path / "corrections.csv"
    path.write_bytes(text.encode(encoding))
    assert corrections.apply(TABLE, CLASSES, path).dropped.tolist() == [False, True, False, False]


def test_a_line_is_counted_as_an_editor_counts_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="line 4, a: the decision 'delete'"):
        applied(tmp_path, "id,decision,label\n\nb,drop,\na,delete,\n")


def test_a_class_whose_name_has_blanks_around_it_can_be_meant(tmp_path: Path) -> None:
    path = tmp_path / "corrections.csv"
    path.write_text("id,decision,label\nb,relabel, ant\nc,relabel, bee \n")
    assert corrections.apply(TABLE, ["ant", " ant", "bee"], path).table["label"].tolist() == [0, 1, 2, 0]


@pytest.mark.parametrize(("here", "typed"), [("caf\u00e9", "cafe\u0301"), ("cafe\u0301", "caf\u00e9")])
def test_names_with_accents_are_found_in_either_unicode_form(tmp_path: Path, here: str, typed: str) -> None:
    table = pd.DataFrame({"id": [f"{here}/1.png", "b"], "label": [0, 1]})
    path = tmp_path / "corrections.csv"
    path.write_text(f"id,decision,label\nb,relabel,{typed}\n{typed}/1.png,drop,\n", encoding="utf-8")
    done = corrections.apply(table, [here, "dog"], path)
    assert (done.table["label"].tolist(), done.dropped.tolist()) == ([0, 0], [True, False])


ANSWERED = "id,decision,label,given,by,on,release,sample\n"


def test_answers_change_nothing_and_the_last_one_about_an_image_counts(tmp_path: Path) -> None:
    rows = "a,right,,ant,Ada,,,100-0\nb,wrong,ant,bee,Ada,,,100-0\na,unsure,,ant,Bob,,,100-0\nb,drop,,,,,,\n"
    done = applied(tmp_path, ANSWERED + rows)
    pd.testing.assert_frame_equal(done.table, TABLE)
    assert done.dropped.tolist() == [False, True, False, False], "a decision holds beside an answer"
    assert (done.kept.any(), done.relabelled.any()) == (False, False)
    made = done.applied[["id", "decision", "label", "by", "sample"]].to_numpy().tolist()
    assert made == [
        ["b", "wrong", "ant", "Ada", "100-0"],
        ["a", "unsure", "", "Bob", "100-0"],
        ["b", "drop", "", "", ""],
    ]


@pytest.mark.parametrize(
    ("row", "word"),
    [
        ("a,right,bee,,,,,", "right takes no label"),
        ("a,wrong,dog,,,,,", "no class 'dog', which is said to be right"),
        ("a,right,,,,,,all", "its sample is none"),
        ("a,perhaps,,,,,,", "none of keep, drop, relabel, right, wrong and unsure"),
    ],
)
def test_answers_that_cannot_be_meant_are_refused(tmp_path: Path, row: str, word: str) -> None:
    with pytest.raises(InputError, match=word):
        applied(tmp_path, ANSWERED + row + "\n")
