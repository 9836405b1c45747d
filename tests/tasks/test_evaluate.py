"""Arms are what they say, a finished cell is not made again, and planted faults are counted rightly."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from tasks import evaluate, prepare
from tasks.files import read_json, write_json
from tasks.sources import open_source
from tasks.training import classifier
from tasks.training.classifier import Training

QUICK = Training(width=2, steps=10, batch_size=8, lr=0.01, flip=False)


@pytest.fixture
def images(workdir: Path, image_folder: Path) -> Path:
    """`image_folder`, prepared: 24 images to choose from, 6 held out."""
    prepare.run(
        open_source(image_folder), workdir / "in", test_share=0.2, max_rejected=0, wrong_labels=0, damaged=0, seed=0
    )
    return workdir / "in/images"


@pytest.fixture
def subset(images: Path, workdir: Path) -> Path:
    """A subset of 11 of the 24: 6, 4 and 1 of the classes."""
    pool = pd.read_parquet(images / "index.parquet").query("split == 'train'")
    rank = pool.groupby("label").cumcount()
    table = pool[["id", "label"]].assign(selected=rank < pool["label"].map({0: 6, 1: 4, 2: 1}))
    table.to_parquet(workdir / "subset.parquet")
    return workdir / "subset.parquet"


def test_the_random_arm_is_stratified_and_as_large_as_the_subset(subset: Path) -> None:
    table = pd.read_parquet(subset)
    arms = {arm: evaluate.choose(table, 3, arm, 0) for arm in ("subset", "random", "all")}
    assert (arms["subset"] == table["selected"]).all()
    assert arms["all"].all()
    assert np.bincount(table["label"][arms["random"]]).tolist() == [4, 4, 3]
    assert (arms["random"] == evaluate.choose(table, 3, "random", 0)).all()
    assert (arms["random"] != evaluate.choose(table, 3, "random", 1)).any()


def test_a_cell_trains_on_its_arm_and_is_tested_on_what_was_held_out(
    images: Path, subset: Path, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    judge = SimpleNamespace(accuracy=lambda *args: seen.append(args) or 0.5)
    monkeypatch.setattr(classifier, "fit", lambda *args, **_: seen.append(args) or judge)
    evaluate.decode(images, 12, workdir / "pixels.npy")
    evaluate.cell(images, subset, workdir / "pixels.npy", "subset", 4, workdir / "cell.json", QUICK, "cpu")
    (x, y, training), (test_x, test_y) = seen
    assert (x.shape, np.bincount(y).tolist()) == ((11, 12, 12, 3), [6, 4, 1])
    assert (test_x.shape, np.bincount(test_y).tolist(), training) == ((6, 12, 12, 3), [2, 2, 2], QUICK)
    assert (2 - x.mean((1, 2)).argmax(1) == y).all()  # classes are colours: blue, green, red
    assert read_json(workdir / "cell.json") == {"arm": "subset", "seed": 4, "accuracy": 0.5, "kept": 11}


def test_a_finished_cell_and_decoded_images_are_not_made_again(
    images: Path, subset: Path, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels, cell = workdir / "pixels.npy", workdir / "cell.json"
    evaluate.decode(images, 12, pixels)
    evaluate.cell(images, subset, pixels, "random", 0, cell, QUICK, "cpu")
    before = pixels.stat().st_mtime_ns, cell.read_bytes()
    monkeypatch.setattr(classifier, "fit", lambda *_, **__: pytest.fail("trained again"))
    evaluate.decode(images, 12, pixels)
    evaluate.cell(images, subset, pixels, "random", 0, cell, QUICK, "cpu")
    assert (pixels.stat().st_mtime_ns, cell.read_bytes()) == before


def test_a_failed_cell_leaves_nothing_that_looks_finished(
    images: Path, subset: Path, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate.decode(images, 12, workdir / "pixels.npy")
    monkeypatch.setattr(classifier, "fit", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        evaluate.cell(images, subset, workdir / "pixels.npy", "all", 0, workdir / "cell.json", QUICK, "cpu")
    assert not (workdir / "cell.json").exists()


def test_the_key_changes_with_images_subset_size_and_training(images: Path, subset: Path) -> None:
    keys = {evaluate.key(images, subset, 12, QUICK)}
    keys.add(evaluate.key(images, subset, 13, QUICK))
    keys.add(evaluate.key(images, subset, 12, Training(2, 11, 8, 0.01, False)))
    pd.read_parquet(subset).assign(selected=True).to_parquet(subset)
    keys.add(evaluate.key(images, subset, 12, QUICK))
    pd.read_parquet(images / "index.parquet").iloc[::-1].to_parquet(images / "index.parquet")
    keys.add(evaluate.key(images, subset, 12, QUICK))
    assert len(keys) == 5


def test_the_summary_has_mean_and_deviation_of_each_arm(workdir: Path) -> None:
    accuracies = {"subset": [0.9, 0.8], "random": [0.7, 0.7], "all": [0.95, 0.85]}
    cells = []
    for arm, values in accuracies.items():
        for seed, accuracy in enumerate(values):
            cells.append(workdir / f"{arm}-{seed}.json")
            write_json(cells[-1], {"arm": arm, "seed": seed, "accuracy": accuracy, "kept": 2})
    pd.DataFrame({"id": ["a", "b"], "label": [0, 1], "selected": [True, False]}).to_parquet("subset.parquet")
    pd.DataFrame({"id": [], "true_label": [], "damage": []}).astype({"id": str, "damage": str}).to_parquet(
        "truth.parquet"
    )
    evaluate.summarise(cells, Path("subset.parquet"), Path("truth.parquet"), workdir / "out")
    metrics = read_json(workdir / "out/metrics.json")
    assert set(metrics) == {"accuracy"}  # nothing was planted, nothing is said of faults
    assert metrics["accuracy"]["subset"] == pytest.approx({"mean": 0.85, "std": 0.0707107})
    assert metrics["accuracy"]["random"] == pytest.approx({"mean": 0.7, "std": 0})
    table = pd.read_csv(workdir / "out/accuracy.csv")
    assert list(table.columns) == ["arm", "seed", "accuracy", "kept"]
    assert len(table) == 6


def test_one_seed_has_no_deviation(workdir: Path) -> None:
    cells = [workdir / f"{arm}.json" for arm in ("subset", "random", "all")]
    for cell in cells:
        write_json(cell, {"arm": cell.stem, "seed": 0, "accuracy": 0.5, "kept": 2})
    pd.DataFrame({"id": ["a"], "label": [0], "selected": [True]}).to_parquet("subset.parquet")
    pd.DataFrame({"id": ["a"], "true_label": [1], "damage": [""]}).to_parquet("truth.parquet")
    evaluate.summarise(cells, Path("subset.parquet"), Path("truth.parquet"), workdir / "out")
    assert read_json(workdir / "out/metrics.json")["accuracy"]["all"] == {"mean": 0.5, "std": 0}


def test_planted_faults_are_counted_among_pool_kept_and_dropped() -> None:
    subset = pd.DataFrame({"id": list("abcdefgh"), "label": 0, "selected": [True] * 4 + [False] * 4})
    truth = pd.DataFrame(
        {"id": list("aefgc"), "true_label": [1, 1, 2, 0, 0], "damage": ["", "noise", "", "occlusion", "noise"]}
    )
    assert evaluate.planted(subset, truth) == {
        "wrong_labels": {"planted": 3, "dropped": 2, "share_of_pool": 3 / 8, "share_of_kept": 1 / 4},
        "damaged": {"planted": 3, "dropped": 2, "share_of_pool": 3 / 8, "share_of_kept": 1 / 4},
    }
