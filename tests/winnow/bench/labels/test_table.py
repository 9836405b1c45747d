"""The summary compares ours with the best rival of each row; the table has every score."""

import pytest

from winnow.bench.labels import table
from winnow.bench.labels.measures import Measures


def scores(wrong: float = 0.2, **auroc: float | None) -> dict[str, Measures]:
    return {
        name: dict.fromkeys(table.COLUMNS, 0.25) | {"auroc": value, "f1": value, "wrong": wrong, "seconds": 2.0}
        for name, value in auroc.items()
    }


ROWS = {
    "one": scores(winnow=0.9, knn_10=0.8, knn_20=0.85),
    "two": scores(winnow=0.7, knn_10=0.8, knn_20=0.6),
    "clean": scores(wrong=0, winnow=None, knn_10=None, knn_20=None),
}


def test_gaps_are_to_the_best_rival_of_a_row() -> None:
    found = table.summary(ROWS)
    assert found["auroc"] == found["f1"]
    assert found["auroc"] == {
        "worst_gap": -0.1,
        "worst_row": "two",
        "mean_gap": pytest.approx(-0.025),
        "rows": 2,
        "below": {"two": -0.1},
    }
    assert found["belief_error"] == pytest.approx((0.05 + 0.05 + 0.25) / 3, abs=1e-5)
    assert found["share_of_time"] == {"knn_10": 1.0, "knn_20": 1.0}


def test_a_score_without_a_measure_is_no_rival_in_it() -> None:
    row = scores(winnow=0.9, paper=0.95)
    row["paper"]["f1"] = None
    assert table.summary({"row": row})["f1"] == {"rows": 0}
    assert "f1 0.9000 (no rival)" in table.line("row", row)


def test_a_row_is_a_line_while_others_go_on() -> None:
    assert table.line("one", ROWS["one"]) == "one: auroc 0.9000 (knn_20 0.8500), f1 0.9000 (knn_20 0.8500)"
    assert table.line("clean", ROWS["clean"]) == "clean: false alarms 25.00%"


def test_the_table_has_a_line_a_score_and_keeps_names_whole(capsys: pytest.CaptureFixture[str]) -> None:
    table.show({"caltech101/clip-vit-b-32 shuffled symmetric": ROWS["two"], "[red]x": ROWS["clean"]})
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split()[:4] == ["caltech101/clip-vit-b-32", "shuffled", "symmetric", "20.0%"] for line in lines)
    assert any(line.split()[:3] == ["knn_20", "0.6000", "0.250"] for line in lines)
    assert any("[red]x" in line for line in lines)
