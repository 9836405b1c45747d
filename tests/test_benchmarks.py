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

from benchmarks import accuracy, baselines, embed, flat, label_noise, scale
from benchmarks.accuracy import Cell, Task
from benchmarks.baselines import Pool
from tasks import budget, features
from tasks.features import Features
from tasks.images import decoding
from tasks.training.classifier import Training


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


@pytest.mark.parametrize("noise", label_noise.NOISES)
def test_planted_noise_is_the_share_it_says(planted: Features, noise: str) -> None:
    given = label_noise.NOISES[noise](planted, np.random.default_rng(0))
    assert (given != planted.labels).mean() == pytest.approx(0.4 if "40" in noise else 0.2)


def test_near_noise_takes_one_of_the_three_nearest_names(planted: Features) -> None:
    given = label_noise.near(planted, np.random.default_rng(0))
    text = features.unit(planted.text)
    for label, wrong in set(zip(planted.labels[given != planted.labels], given[given != planted.labels], strict=True)):
        assert np.argsort(-(text @ text[label]))[1:4].tolist().count(wrong) == 1


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
    assert found["share"] > 0


def test_every_method_meets_every_budget(planted: Features, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 255, (len(planted.labels), 16, 16, 3)).astype(np.uint8)
    pool = Pool(planted, images, Training(4, 10, 16, 0.01, False), 0, tmp_path)
    for keep in (0.05, 0.4, 1.0):
        split = budget.shares(planted.counts, budget.total(keep, len(planted.labels)), "proportional")
        for name, method in baselines.METHODS.items():
            kept = np.bincount(planted.labels[method(pool, split)], minlength=len(split))
            assert kept.sum() == split.sum(), name
            assert name == "paper_unbalanced" or (kept == split).all(), name


def test_herding_and_k_center_choose_by_hand_what_their_papers_say() -> None:
    line = np.array([[1, 0], [0.96, 0.28], [0.6, 0.8], [0, 1]])
    data = Features(line, line[:1], np.zeros(4, np.int64), ["c"], np.array(list("abcd")))
    pool = Pool(data, np.zeros(0), Training(1, 10, 1, 0.1, False), 0, Path())
    # The third is nearest to the mean, and the first is furthest from it.
    assert baselines.k_center(pool, np.array([2])).tolist() == [True, False, True, False]
    assert baselines.herding(pool, np.array([1])).tolist() == [False, False, True, False]
    assert baselines.herding(pool, np.array([4])).all()


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
    room = image_folder.parent
    cells = accuracy.grid(["photos"], ["random", "winnow"], 2)
    assert len(cells) == 2 * 2 * len(accuracy.NOISES)
    rows = [accuracy.run(cell, room) for cell in cells[:3]]
    accuracy.RESULTS.parent.mkdir(parents=True)
    pd.DataFrame(rows)[accuracy.COLUMNS].to_csv(accuracy.RESULTS, index=False)
    assert accuracy.missing(cells) == cells[3:]
    assert accuracy.run(Cell("photos", 0.0, 0.5, "random", 0), room)["kept"] == 12
    assert {row["method"] for row in rows} == {"random", "winnow"}
    table = accuracy.tables(accuracy.finished())
    assert set(table) == {"photos noise 0 keep 0.5", "photos noise 0.2 keep 0.5"}


def test_the_docs_show_what_the_rows_say() -> None:
    rows = pd.read_csv(ROOT / accuracy.RESULTS)
    assert len(rows) == len(accuracy.grid(list(accuracy.TASKS), list(baselines.METHODS), 3))
    table = accuracy.markdown(accuracy.tables(rows), list(baselines.METHODS))
    assert table in (ROOT / "docs/method.md").read_text()
