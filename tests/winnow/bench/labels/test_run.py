"""`winnow bench labels` as people call it: a table, one JSON object, and nothing measured twice."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from winnow.bench.labels import cells, methods, rivals, rows
from winnow.bench.labels.judgement import Judgements
from winnow.bench.labels.methods import METHODS, Method
from winnow.bench.labels.noises import NOISES
from winnow.cli.main import app
from winnow.features import Features
from winnow.run import closure

Write = Callable[..., Path]


def bench(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["bench", "labels", *map(str, arguments)])


@pytest.fixture
def folder(write_features: Write, true: Features, workdir: Path) -> Path:
    return write_features(
        "set/encoder", image=true.image, text=true.text, labels=true.labels, classes=true.classes, ids=true.ids
    )


@pytest.fixture
def given(workdir: Path, true: Features) -> Path:
    (workdir / "given").mkdir()
    np.save(workdir / "given/people.npy", np.where(np.arange(len(true.labels)) % 9, true.labels, 0).astype(np.int8))
    return workdir / "given"


def read(done: Result) -> dict[str, Any]:
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_a_kind_of_noise_and_a_file_of_labels_have_a_row_each_in_their_order(folder: Path, given: Path) -> None:
    kinds = ["clean", "near 20%", "open near", "tail near", "people"]
    done = bench(folder, "--noise", given, "--only", ",".join(reversed(kinds)), "--seeds", 1, "--rivals", "zero_shot")
    found = read(done)
    assert list(found["rows"]) == [f"set/encoder {kind}" for kind in kinds]
    for row in found["rows"].values():
        assert list(row) == ["winnow", "zero_shot", "zero_shot margin"]
    assert found["rows"]["set/encoder near 20%"]["winnow"]["auroc"] > 0.9
    assert found["summary"]["auroc"]["rows"] == len(kinds) - 1, "all but the clean one"
    assert len(done.stderr.splitlines()) == len(kinds)


def test_all_kinds_are_wanted_where_none_is_named(folder: Path) -> None:
    assert [row.kind for row in rows.of([folder], None, ())] == list(NOISES)


def test_every_rival_but_a_slow_one_is_in_a_row(folder: Path) -> None:
    done = bench(folder, "--only", "tail near", "--seeds", 1)
    scores = read(done)["rows"]["set/encoder tail near"]
    assert {name.split()[0] for name in scores} == {*methods.RIVALS, "winnow", "knn_10", "knn_20"} - {"knn"}
    assert [name for name in scores if name not in done.stdout.partition("{")[0]] == []


def test_what_was_measured_is_kept_until_the_method_changes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = (folder, "--only", "near 20%,clean", "--rivals", "knn,zero_shot", "--seeds", 2)
    first = read(bench(*arguments))
    times = {path: path.stat().st_mtime_ns for path in cells.FOLDER.glob("*.json")}
    assert len(times) == 3 * (2 + 1), "three methods; two draws, and clean labels once"
    assert read(bench(*arguments)) == first
    monkeypatch.setattr(cells, "_code", lambda module: "changed" if module.endswith("ours") else before(module))
    read(bench(*arguments))
    after = {path: path.stat().st_mtime_ns for path in cells.FOLDER.glob("*.json")}
    assert after.items() > times.items()
    assert len(after) == len(times) + 3


before = cells._code


def test_a_method_does_not_depend_on_the_code_of_another() -> None:
    def reached(module: str) -> set[str]:
        return set(closure.reached(f"winnow/bench/labels/{module}.py"))

    assert "winnow/selection/alignment.py" in reached("ours")
    for module in ("rivals", "noises", "measures"):
        assert not {name for name in reached(module) if name.startswith("winnow/selection/")}
    assert "winnow/bench/labels/rivals.py" not in reached("ours") | reached("noises") | reached("measures")


def test_folders_whose_last_names_agree_are_told_apart_by_their_paths(write_features: Write) -> None:
    one, other = write_features("one/set/encoder"), write_features("two/set/encoder")
    names = [row.name for row in rows.of([one, other, one / "../encoder"], None, ["clean"])]
    assert names == [f"{one} clean", f"{other} clean"]


def test_another_seed_row_or_folder_is_another_cell(folder: Path, true: Features, write_features: Write) -> None:
    parts = {name: getattr(true, name) for name in ("image", "labels", "classes", "ids")}
    other = write_features("set/other", text=-true.text, **parts)
    for arguments in ((folder,), (folder, "--seeds", 2), (folder, "--most", 100), (other,)):
        count = len(list(cells.FOLDER.glob("*.json")))
        read(bench("--only", "near 20%", "--rivals", "knn", "--seeds", 1, *arguments))
        assert len(list(cells.FOLDER.glob("*.json"))) == count + 2


def test_at_most_so_many_images_are_judged_of_every_class(
    folder: Path, monkeypatch: pytest.MonkeyPatch, true: Features
) -> None:
    seen = []

    def judge(data: Features, seed: int) -> Judgements:
        seen.append(data)
        return rivals.knn(data, seed)

    monkeypatch.setitem(METHODS, "knn", Method(judge))
    methods.warm_up("knn")
    seen.clear()
    read(bench(folder, "--only", "clean", "--rivals", "knn", "--most", 100))
    assert len(seen[0].labels) == 100
    assert (seen[0].counts > 0).all()
    assert (seen[0].image == true.image[np.searchsorted(true.ids, seen[0].ids)]).all()


def test_json_and_quiet_print_what_they_say(folder: Path) -> None:
    arguments = (folder, "--only", "clean", "--rivals", "knn")
    done = bench(*arguments, "--json")
    assert set(json.loads(done.stdout)) == {"rows", "summary"}
    done = bench(*arguments, "--quiet")
    assert (done.exit_code, done.output) == (0, "")


def test_what_a_folder_is_too_small_for_is_said(
    write_features: Write, true: Features, workdir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    two = np.flatnonzero(true.labels < 2)
    folder = write_features(
        image=true.image[two], text=true.text[:2], labels=true.labels[two], classes=["a", "b"], ids=None
    )
    done = bench(folder, "--only", "near 20%,two classes,open near", "--rivals", "knn", "--seeds", 1)
    assert len(read(done)["rows"]) == 1
    assert "has too few classes or no text, so it has no row for: two classes, open near" in caplog.text


def test_without_text_the_rivals_that_need_none_remain(
    write_features: Write, true: Features, workdir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    parts = {name: getattr(true, name) for name in ("image", "labels", "classes", "ids")}
    done = bench(write_features(text=None, **parts), "--only", "near 20%,shuffled near", "--seeds", 1)
    ((name, scores),) = read(done)["rows"].items()
    assert name.endswith("features near 20%")
    assert {score.split()[0] for score in scores} == {
        "winnow",
        "cleanlab_1",
        "cleanlab_10",
        "knn_10",
        "knn_20",
        "simifeat",
    }
    assert scores["winnow"]["auroc"] > 0.8
    assert "no row for: shuffled near" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--only", "near 21%"], ["--only: there is no 'near 21%'", "near 20%", "people"]),
        (["--rivals", "magic"], ["--rivals: there is no 'magic'", "zero_shot"]),
        (["--noise", "nowhere"], ["--noise nowhere", "no label file"]),
        (["--noise", "short"], ["short/few.npy has 7 labels"]),
        (["--noise", "outside"], ["outside/far.npy", "row 3 has label 99"]),
        (["--noise", "named"], ["named/clean.npy", "another name"]),
    ],
)
def test_what_cannot_be_run_is_refused_at_once(
    folder: Path, given: Path, true: Features, arguments: list[str], words: list[str]
) -> None:
    far = true.labels.copy()
    far[3] = 99
    for place, labels in (("short/few", far[:7]), ("outside/far", far), ("named/clean", true.labels)):
        Path(place).parent.mkdir()
        np.save(f"{place}.npy", labels)
    done = bench(folder, *([] if "--noise" in arguments else ["--noise", given]), *arguments)
    assert done.exit_code == 2
    assert [word for word in words if word not in done.stderr] == []
    assert not cells.FOLDER.exists()


def test_a_missing_folder_is_named(workdir: Path) -> None:
    done = bench("nowhere")
    assert done.exit_code == 2
    assert "nowhere is not a folder" in done.stderr


def test_a_preset_needs_no_command_and_labels_is_one() -> None:
    for words in (["bench", "--list"], ["bench", "preset", "--list"], ["bench"]):
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0
        assert "caltech101-small" in done.output
    for words in (["bench", "nonsense"], ["bench", "preset", "nonsense"]):
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 2
        assert "there is no preset 'nonsense'" in done.stderr
    assert "labels" in CliRunner().invoke(app, ["bench", "--help"]).output
