"""The command of those who have features: one table out, or one message and exit code 2."""

import contextlib
import json
import os
import pty
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import Result
from sklearn.metrics import roc_auc_score
from support import ROOT
from typer.testing import CliRunner

from winnow import budget
from winnow.cli.main import app
from winnow.features import Features
from winnow.selection.methods import Balance

WINNOW = Path(sys.executable).with_name("winnow")
SCORES = ["id", "label", "class_name", "alignment", "sas", "sds", "predicted"]
CHOSEN = ["selected", "reason", "evidence"]
NO_PIPELINE = """
import os, pathlib, sys
sys.modules |= dict.fromkeys(["prefect", "mlflow", "dvc"])  # importing one of them fails
pathlib.Path(os.environ["BLOCKED"]).touch()
"""

Write = Callable[..., Path]


def winnow(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def read(out: Path) -> pd.DataFrame:
    return pd.read_csv(out) if out.suffix == ".csv" else pd.read_parquet(out)


def run(*command: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command], env=os.environ | environment, capture_output=True, text=True, check=False
    )


def test_the_command_writes_a_row_a_sample_in_input_order_and_needs_no_prefect_mlflow_or_dvc(
    write_features: Write, planted: Features, tmp_path: Path
) -> None:
    out, blocked = tmp_path / "subset.parquet", tmp_path / "blocked"
    (tmp_path / "sitecustomize.py").write_text(NO_PIPELINE)
    command = [WINNOW, "select", write_features(), "--keep", "0.3", "--out", out]
    done = run(*command, PYTHONPATH=str(tmp_path), BLOCKED=str(blocked))
    assert (done.returncode, done.stderr, blocked.exists()) == (0, "", True)
    assert done.stdout.startswith("kept 90 of 300 samples in 5 classes")
    table = pd.read_parquet(out)
    assert list(table.columns) == [*SCORES, *CHOSEN]
    assert table["id"].tolist() == planted.ids.tolist()
    assert table["label"].tolist() == planted.labels.tolist()
    assert table["class_name"].tolist() == [planted.classes[c] for c in planted.labels]
    assert (table["selected"].dtype, table["selected"].sum()) == (bool, 90)
    assert ((table["reason"] == "") == table["selected"]).all()
    redundant = table[table["reason"] == "redundant"]
    assert len(redundant) > 0
    assert set(redundant["evidence"]) <= set(table.loc[table["selected"], "id"])


def test_help_loads_nothing_heavy() -> None:
    heavy = "{'torch', 'pandas', 'numpy', 'sklearn', 'open_clip', 'prefect', 'mlflow', 'dvc'}"
    code = f"import sys, winnow.cli.main; print(sorted(set(sys.modules) & {heavy}))"
    done = run(sys.executable, "-c", code)
    assert (done.returncode, done.stdout.strip()) == (0, "[]")


def test_bad_input_is_one_message_and_exit_code_2(write_features: Write, planted: Features, tmp_path: Path) -> None:
    image = planted.image.copy()
    image[7] = np.nan
    done = run(WINNOW, "score", write_features(image=image), "--out", tmp_path / "scores.parquet")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("winnow: ")
    assert f"row 7 ({planted.ids[7]})" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "scores.parquet").exists()


@pytest.mark.parametrize("method", ["winnow", "paper"])
@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_scoring_is_the_same_without_choosing(write_features: Write, tmp_path: Path, suffix: str, method: str) -> None:
    folder, scores, subset = write_features(), tmp_path / f"scores{suffix}", tmp_path / f"subset{suffix}"
    assert winnow("score", folder, "--out", scores, "--method", method).exit_code == 0
    assert winnow("select", folder, "--keep", 0.3, "--out", subset, "--method", method).exit_code == 0
    assert list(read(scores).columns) == SCORES
    assert list(read(subset).columns) == [*SCORES, *CHOSEN]
    pd.testing.assert_frame_equal(read(subset)[SCORES], read(scores))


@pytest.mark.parametrize("command", [["score"], ["select", "--keep", 0.3]])
def test_the_published_method_is_used_where_it_is_asked_for(
    write_features: Write, tmp_path: Path, command: list[object]
) -> None:
    folder, tables = write_features(), []
    for name, options in (("default", []), ("winnow", ["--method", "winnow"]), ("paper", ["--method", "paper"])):
        assert winnow(*command, folder, "--out", tmp_path / f"{name}.parquet", *options).exit_code == 0
        tables.append(read(tmp_path / f"{name}.parquet"))
    default, own, published = tables
    pd.testing.assert_frame_equal(default, own)
    assert (published["alignment"] == published["sas"]).all()
    assert (own["alignment"] != own["sas"]).all()


def test_alignment_is_higher_where_the_label_is_right(write_features: Write, wrong: np.ndarray, tmp_path: Path) -> None:
    winnow("score", write_features(), "--out", tmp_path / "scores.csv")
    assert roc_auc_score(~wrong, read(tmp_path / "scores.csv")["alignment"]) > 0.99


@pytest.mark.parametrize(
    ("options", "balance"),
    [
        (["--balance", "uniform"], "uniform"),
        (["--balance", "none"], "none"),
        (["--method", "paper", "--solver", "gradient", "--balance", "none"], "none"),
        (["--method", "paper", "--balance", "uniform"], "uniform"),
        (["--method", "paper", "--neighbours", "5", "--seed", "3"], "proportional"),
    ],
)
def test_options_change_how_but_never_how_many(
    write_features: Write, planted: Features, tmp_path: Path, options: list[str], balance: Balance
) -> None:
    result = winnow("select", write_features(), "--keep", 0.5, "--out", tmp_path / "s.parquet", *options)
    assert result.exit_code == 0
    chosen = read(tmp_path / "s.parquet").query("selected")
    assert len(chosen) == 150
    split = [budget.shares(planted.counts, 150, rule).tolist() for rule in ("proportional", "uniform")]
    kept = np.bincount(chosen["label"], minlength=5).tolist()
    assert (kept not in split) if balance == "none" else (kept == split[balance == "uniform"])


@pytest.mark.parametrize("method", ["winnow", "paper"])
def test_the_same_seed_gives_the_same_bytes_and_another_does_not(
    write_features: Write, planted: Features, tmp_path: Path, method: str
) -> None:
    # With prompts as poor as these, the labels teach; with good ones zero-shot is left, which draws nothing.
    poor = planted.text + 2 * np.random.default_rng(2).normal(size=planted.text.shape)
    folder, tables = write_features(text=poor), []
    for i, seed in enumerate((0, 0, 1)):
        winnow("select", folder, "--keep", 0.3, "--seed", seed, "--method", method, "--out", tmp_path / f"{i}.parquet")
        tables.append((tmp_path / f"{i}.parquet").read_bytes())
    assert tables[0] == tables[1]
    assert tables[0] != tables[2]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--keep", "0"], "--keep is 0"),
        (["--keep", "1.2"], "--keep is 1.2"),
        (["--keep", "nan"], "keep is nan"),
        (["--keep", "0.001"], "keeps none"),
        (["--keep", "x"], "--keep"),
        (["--neighbours", "0"], "--neighbours is 0"),
        (["--neighbours", "nan"], "--neighbours is nan"),
        (["--neighbours", "inf"], "--neighbours is inf"),
        (["--balance", "equal"], "--balance"),
        (["--solver", "magic"], "--solver"),
        (["--method", "magic"], "--method"),
        (["--seed", "-1"], "--seed"),
        (["--out", "subset.txt"], "--out subset.txt"),
        (["--out", "none/subset.csv"], "--out none/subset.csv"),
        (["--kep", "0.3"], "--kep"),
    ],
)
def test_bad_options_are_refused_by_name(workdir: Path, write_features: Write, options: list[str], words: str) -> None:
    good = {"--keep": "0.3", "--out": "subset.csv"} | dict([options])
    result = winnow("select", write_features(), *(part for option in good.items() for part in option))
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())
    assert [path.name for path in workdir.iterdir()] == ["features"]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"ids": None, "labels": np.arange(300) % 6}, "row 5 has label 5, outside the 5 classes"),
        ({"text": np.ones((3, 16))}, "text.npy has 3 rows"),
        ({"ids": ["same"] * 300}, "occurs twice"),
        ({"labels": np.arange(300) % 4}, "no image ('elk')"),
        ({"labels": np.zeros(299, int)}, "300 rows"),
    ],
)
def test_bad_features_are_refused_and_an_older_table_is_left(
    write_features: Write, tmp_path: Path, changed: dict[str, object], words: str
) -> None:
    (tmp_path / "subset.csv").write_text("old")
    result = winnow("select", write_features(**changed), "--keep", 0.3, "--out", tmp_path / "subset.csv")
    assert result.exit_code == 2
    assert words in result.stderr
    assert (tmp_path / "subset.csv").read_text() == "old"


@pytest.mark.parametrize("method", ["winnow", "paper"])
def test_features_without_text_are_selected_from(write_features: Write, tmp_path: Path, method: str) -> None:
    out = tmp_path / "subset.csv"
    done = winnow("select", write_features(text=None), "--keep", 0.3, "--method", method, "--out", out)
    assert done.exit_code == 0
    assert "in 5 classes, known by their means, as there is no text.npy" in done.stdout
    assert int(pd.read_csv(out)["selected"].sum()) == 90


def test_a_folder_without_a_release_is_refused(tmp_path: Path) -> None:
    result = winnow("show", tmp_path)
    assert result.exit_code == 2
    assert "holds no release" in result.stderr


def test_two_arms_are_compared_seed_by_seed(tmp_path: Path) -> None:
    table = tmp_path / "accuracy.csv"
    table.write_text("arm,seed,accuracy,kept\nsubset,0,0.9,5\nsubset,1,0.8,5\nrandom,0,0.88,5\nrandom,1,0.77,5\n")
    done = winnow("compare", "subset", "random", "--table", table)
    assert done.exit_code == 0
    assert done.stdout.split("\n")[1].split() == ["2", "85.00%", "82.50%", "+2.50", "+2.00", "to", "+3.00", "3"]


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "does not exist"), ("", "is not a table in CSV"), ("arm,seed,accuracy\nsubset,0,0.9\n", "'random'")],
)
def test_results_that_cannot_be_compared_are_refused(content: str | None, message: str, tmp_path: Path) -> None:
    table = tmp_path / "accuracy.csv"
    if content is not None:
        table.write_text(content)
    done = run(WINNOW, "compare", "subset", "random", "--table", table)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr


def test_the_version_is_that_of_the_package() -> None:
    import winnow as package

    for command in (["--version"], ["select", "--help"], ["release", "verify", "-h"]):
        assert winnow(*command).exit_code == 0
    assert winnow("--version").stdout == f"winnow {package.__version__}\n"
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dynamic"] == ["version"]


@pytest.mark.parametrize("command", [[], ["select"], ["release"], ["release", "verify"], ["doctor"]])
def test_help_has_a_short_name_everywhere(command: list[str]) -> None:
    short, long = winnow(*command, "-h"), winnow(*command, "--help")
    assert (short.exit_code, short.stdout) == (0, long.stdout)
    assert "Usage" in short.stdout


def test_shells_can_complete_the_command() -> None:
    done = run(WINNOW, _WINNOW_COMPLETE="complete_bash", COMP_WORDS="winnow sel", COMP_CWORD="1")
    assert (done.returncode, done.stdout.split()) == (0, ["select"])


def test_json_is_all_that_is_on_standard_output(write_features: Write, tmp_path: Path) -> None:
    folder, out = write_features(), tmp_path / "subset.csv"
    done = run(WINNOW, "select", folder, "--keep", 0.3, "--out", out, "--json")
    table = pd.read_csv(out, keep_default_na=False)
    dropped = {reason: n for reason, n in table["reason"].value_counts().items() if reason}
    found = {"samples": 300, "kept": 90, "classes": 5, "dropped": dropped, "table": str(out)}
    assert json.loads(done.stdout) == found
    assert sum(dropped.values()) == 210
    assert json.loads(winnow("score", folder, "--out", out, "--json").stdout) == {
        "samples": 300,
        "classes": 5,
        "table": str(out),
    }
    refused = run(WINNOW, "select", folder, "--keep", 2, "--out", out, "--json")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("winnow: --keep is 2.0: ")


def test_a_quiet_command_prints_errors_alone(write_features: Write, planted: Features, tmp_path: Path) -> None:
    labels = np.where(planted.labels == 4, 3, planted.labels)
    labels[9] = 4
    command = ["select", write_features(labels=labels), "--keep", 0.3, "--out", tmp_path / "subset.csv"]
    assert "single image" in run(WINNOW, *command).stderr
    quiet = run(WINNOW, *command, "--quiet")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    assert "keep is 2" in run(WINNOW, *command, "--quiet", "--keep", 2).stderr


def test_differences_between_arms_as_json(tmp_path: Path) -> None:
    table = tmp_path / "accuracy.csv"
    table.write_text("arm,seed,accuracy,size,budget\nsubset,0,0.9,5,\nrandom,0,0.8,5,\n")
    found = json.loads(winnow("compare", "subset", "random", "--table", table, "--json").stdout)
    [row] = found.pop("differences")
    assert found == {"a": "subset", "b": "random", "measure": "accuracy"}
    assert row.pop("mean") == pytest.approx(0.1)
    setting = {"size": 5, "budget": None}
    assert row == {"setting": setting, "seeds": 1, "a": 0.9, "b": 0.8, "low": None, "high": None, "needed": None}


def test_a_release_as_json_and_in_words(released: Path) -> None:
    found = json.loads(winnow("show", released, "--json").stdout)
    assert (found["name"], found["pool"], found["kept"], found["classes"]) == ("photos", 24, 16, 3)
    assert found["dropped"]["redundant"] == 5
    assert found["accuracy"]["subset"] == {"mean": 0.5, "std": 0.125}
    said = winnow("show", released).stdout
    assert "prepare   24 images to choose from, in 3 classes (blue: 8, green: 8, red: 8)" in said
    assert "dropped: 1 suspected labels, 2 damaged, 5 redundant" in said
    assert all(line in said for line in found["prepared"])


def test_verify_as_json_and_quietly(released: Path) -> None:
    found = json.loads(winnow("release", "verify", released, "--json").stdout)
    assert (found["whole"], found["faults"], found["release"]) == (True, [], str(released))
    assert found["images"].endswith("prepare/images")
    assert winnow("release", "verify", released, "--quiet").stdout == ""
    (released / "card.md").write_text("other")
    done = winnow("release", "verify", released, "--json")
    assert done.exit_code == 1
    assert [fault["where"] for fault in json.loads(done.stdout)["faults"]] == ["card.md"]
    quiet = winnow("release", "verify", released, "--quiet")
    assert (quiet.exit_code, quiet.stdout.count("\n")) == (1, 1)
    assert "card.md: is not the file that was released" in quiet.stdout


def test_quiet_commands_that_only_read_say_nothing_but_what_json_asks_for(released: Path, tmp_path: Path) -> None:
    table = tmp_path / "accuracy.csv"
    table.write_text("arm,seed,accuracy\nsubset,0,0.9\nrandom,0,0.8\n")
    for command in (
        ["show", released],
        ["compare", "subset", "random", "--table", table],
        ["release", "diff", released, released],
    ):
        said, quiet = winnow(*command), winnow(*command, "-q")
        assert (said.exit_code, quiet.exit_code, quiet.output) == (0, 0, ""), quiet.output
        assert said.stdout.strip()
        assert json.loads(winnow(*command, "-q", "--json").stdout) == json.loads(winnow(*command, "--json").stdout)
    refused = winnow("show", tmp_path, "--quiet")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "holds no release" in refused.stderr


@pytest.mark.parametrize("command", [["select"], ["score"], ["show"], ["compare"], ["release", "verify"]])
def test_shells_complete_the_options_that_every_reading_command_has(command: list[str]) -> None:
    words = ["winnow", *command, "--"]
    done = run(WINNOW, _WINNOW_COMPLETE="complete_bash", COMP_WORDS=" ".join(words), COMP_CWORD=str(len(words) - 1))
    assert done.returncode == 0, done.stderr
    assert {"--json", "--quiet", "--help"} <= set(done.stdout.split())


@pytest.mark.parametrize("quiet", [False, True])
def test_a_quiet_command_shows_no_progress_on_a_terminal(write_features: Write, tmp_path: Path, quiet: bool) -> None:
    ours, theirs = pty.openpty()
    command = [WINNOW, "select", write_features(), "--keep", "0.3", "--out", tmp_path / "subset.csv"]
    command += ["--quiet"] if quiet else []
    with subprocess.Popen([str(part) for part in command], stderr=theirs, stdout=subprocess.DEVNULL) as process:
        assert process.wait(300) == 0
    os.set_blocking(ours, False)
    with contextlib.suppress(BlockingIOError):
        assert (b"score" in os.read(ours, 2**16)) != quiet
    os.close(ours)
    os.close(theirs)
