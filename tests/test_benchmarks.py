"""Each benchmark runs, on small data, and its last line is one JSON object; a grid goes on where it was cut short."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import open_clip
import pandas as pd
import pytest
import typer
from support import ROOT
from typer.testing import CliRunner

from benchmarks import accuracy, embed, flat, label_noise, scale, train
from benchmarks.accuracy import Cell, Task
from winnow import features
from winnow.bench import baselines, tables
from winnow.features import Features
from winnow.images import decoding


def last_line(main: Callable[..., None], *arguments: object) -> dict[str, float]:
    app = typer.Typer()
    app.command()(main)
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert done.exit_code == 0
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_label_noise_compares_ours_with_its_rivals(write_features: Callable[..., Path], planted: Features) -> None:
    truth = features.unit(planted.image) @ features.unit(planted.text).T
    folder = write_features(labels=truth.argmax(1))
    found = last_line(label_noise.main, folder, "--seeds", 1, "--without", "paper")
    assert set(found) == {"rows", "worst_gap", "mean_gap", "largest_share_of_cleanlab_time"}
    assert len(found["rows"]) == 3
    for row in found["rows"].values():
        assert set(row) == {label_noise.OURS, *label_noise.RIVALS}
        assert row["ours"][0] > 0.8


def test_scale_reports_what_it_promises(tmp_path: Path) -> None:
    found = last_line(scale.main, "--n", 2000, "--classes", 20, "--folder", tmp_path)
    assert {"scores_seconds", "default_seconds", "peak_gib", "matmul_share", "n"} <= set(found)
    assert found["n"] == 2000
    assert 0 < found["peak_gib"] < 8


def test_embed_reports_what_it_promises(workdir: Path, image_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (workdir / "winnow-flat.json").write_text(json.dumps(flat.TINY))
    open_clip.add_model_config(workdir / "winnow-flat.json")
    monkeypatch.setattr(decoding, "FEW", decoding.FEW)  # which the benchmark changes
    found = last_line(embed.main, "--images", image_folder, "--n", 10, "--rounds", 1, "--model", "winnow-flat")
    assert {"images_per_second", "bare_images_per_second", "share", "processor_share", "n", "model"} <= set(found)
    assert found["share"] == pytest.approx(found["images_per_second"] / found["bare_images_per_second"], abs=0.01)
    assert found["n"] == 10


def test_train_reports_what_it_promises() -> None:
    found = last_line(train.main, "--n", 64, "--steps", 10, "--side", 16, "--batch-size", 8, "--rounds", 1)
    assert {"images_per_second", "bare_images_per_second", "share", "model", "device", "n"} == set(found)
    assert found["share"] == pytest.approx(found["images_per_second"] / found["bare_images_per_second"])
    assert found["n"] == 64


def test_a_grid_goes_on_where_it_was_cut_short(
    workdir: Path, image_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [f"{c}/{i}.png" for c in ("blue", "green", "red") for i in range(10)]
    labels = np.repeat(np.arange(3), 10)
    have = Features(np.eye(3)[labels] + 0.1, np.eye(3), labels, ["blue", "green", "red"], np.array(ids))
    (workdir / "features").mkdir()
    features.save(workdir / "features", have)
    tiny = Task(image_folder.name, "features", 16, 4, 10, 8, 0.01, (0.5,))
    monkeypatch.setattr(accuracy, "TASKS", {"photos": tiny})
    accuracy.prepare("photos", image_folder.parent)
    cells = accuracy.grid(["photos"], ["random", "winnow"], 2)
    assert len(cells) == 2 * 2 * len(accuracy.NOISES)
    rows = [accuracy.run(cell) for cell in cells[:3]]
    accuracy.RESULTS.parent.mkdir(parents=True)
    pd.DataFrame(rows)[accuracy.COLUMNS].to_csv(accuracy.RESULTS, index=False)
    assert accuracy.missing(cells) == cells[3:]
    assert accuracy.run(Cell("photos", 0.0, 0.5, "random", 0))["kept"] == 12
    assert {row["method"] for row in rows} == {"random", "winnow"}
    table = accuracy.tables(accuracy.finished())
    assert set(table) == {"photos noise 0 keep 0.5", "photos noise 0.2 keep 0.5"}


def test_the_docs_show_what_the_rows_say() -> None:
    rows = pd.read_csv(ROOT / accuracy.RESULTS)
    assert len(rows) == len(accuracy.grid(list(accuracy.TASKS), list(baselines.METHODS), 3))
    table = accuracy.markdown(accuracy.tables(rows), list(baselines.METHODS))
    assert table in (ROOT / "docs/method.md").read_text()


@pytest.mark.parametrize(("preset", "seeds"), [("digits", 4), ("cifar10-small", 2), ("caltech101-small", 2)])
def test_the_docs_show_what_the_rows_of_a_preset_say(preset: str, seeds: int) -> None:
    rows = pd.read_csv(ROOT / f"docs/results/{preset}.csv")
    grid: tables.Grid = {}
    for (*setting, method), some in rows.groupby([*tables.SETTING, "method"], sort=False):
        assert len(some) == seeds
        grid.setdefault(tuple(setting), {})[method] = tables.Entry(some.to_dict("records"), 0, seeds)
    assert tables.markdown(grid, tables.MEASURES[0]) in (ROOT / "docs/results.md").read_text()
