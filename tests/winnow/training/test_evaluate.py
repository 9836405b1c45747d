"""Arms are what they say, a finished cell is not made again, and planted faults are counted rightly."""

import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support import write_photos

from winnow import features
from winnow.errors import InputError
from winnow.features import Features
from winnow.files.json_files import read_json, write_json
from winnow.images import dataset, prepare
from winnow.sources import open_source
from winnow.training import cell_runner, classifier, evaluate, shifted_tests
from winnow.training.arms import ARMS, Arm
from winnow.training.classifier import Training
from winnow.training.evaluate import EvaluationJob
from winnow.training.length import Length
from winnow.training.measures import Measures

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


@pytest.fixture
def work(images: Path, subset: Path, workdir: Path) -> EvaluationJob:
    """Cells of 12 pixels, decoded."""
    evaluate.decode(images, 12, workdir / "pixels.npy")
    return EvaluationJob(images, workdir / "embed", subset, workdir / "pixels.npy", {}, QUICK, Length(10, "steps"))


def run(work: EvaluationJob, arm: Arm = "subset", seed: int = 4) -> dict[str, Any]:
    """Run a cell; its row."""
    out = Path(f"{arm}-{seed}.json")
    evaluate.cell(work, arm, seed, out, out.with_suffix(".log"), device="cpu")
    return read_json(out)


def test_a_cell_trains_on_its_arm_and_is_tested_on_what_was_held_out(
    work: EvaluationJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, found = [], np.array([True, False, True, True, False, False])
    judge = SimpleNamespace(
        measure=lambda *args: seen.append(args) or Measures(0.5, [0.0, 1.0, None], 0.0, 0.25, found)
    )
    monkeypatch.setattr(classifier, "fit", lambda *args, **_: seen.append(args) or judge)
    start = time.perf_counter()
    row = run(work)
    elapsed = time.perf_counter() - start
    (x, y, training), (test_x, test_y) = seen
    assert (x.shape, np.bincount(y).tolist()) == ((11, 12, 12, 3), [6, 4, 1])
    assert (test_x.shape, np.bincount(test_y).tolist(), training) == ((6, 12, 12, 3), [2, 2, 2], QUICK)
    assert (2 - x.mean((1, 2)).argmax(1) == y).all()  # classes are colours: blue, green, red
    assert 0 <= row.pop("seconds") <= round(elapsed, 3)
    assert row == {
        "arm": "subset",
        "seed": 4,
        "budget": "10 steps",
        "accuracy": 0.5,
        "worst_class": 0,
        "calibration_error": 0.25,
        "kept": 11,
        "samples_seen": 80,
        "by_class": [0, 1, None],
    }
    suspected = dataset.load(work.images).split("test")["id"].iloc[[1, 2, 5]]
    table = pd.DataFrame({"id": [*suspected, "gone"], "reason": ["suspected label", "damaged", "", "damaged"]})
    table.to_parquet("held_out.parquet")
    Path("subset-4.json").unlink()
    judged = run(replace(work, held_out=Path("held_out.parquet")))
    del judged["seconds"]
    assert judged == row | {"trusted_accuracy": 0.5}, "rows 0, 3, 4 and 5"
    table.iloc[:0].to_parquet("held_out.parquet")
    Path("subset-4.json").unlink()
    assert "trusted_accuracy" not in run(replace(work, held_out=Path("held_out.parquet"))), "nothing was judged"


def test_only_the_subset_is_taught_new_labels(
    work: EvaluationJob, subset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pd.read_parquet(subset)
    table["given_label"] = table["label"]
    changed = table.index[table["selected"] & (table["label"] == 0)][:2]
    table.loc[changed, "label"] = 2
    table.to_parquet(subset)
    seen: list[np.ndarray] = []
    judge = SimpleNamespace(measure=lambda *_: Measures(0.5, [0.0, 1.0, None], 0.0, 0.25, np.ones(6, bool)))
    monkeypatch.setattr(classifier, "fit", lambda _, labels, *__, **___: seen.append(labels) or judge)
    for arm in ARMS:
        run(work, arm)
    assert [np.bincount(labels).tolist() for labels in seen] == [[4, 4, 3], [4, 4, 3], [8, 8, 8]]
    truth = table.loc[changed[:1], ["id"]].assign(true_label=[2], damage="")
    found = evaluate.planted(table, truth)["wrong_labels"]
    assert (found["planted"], found["dropped"]) == (1, 0)
    assert found["share_of_kept"] == pytest.approx(1 / 11), "one was set right, the other wrong"


def test_epochs_are_a_budget_by_which_a_smaller_subset_costs_less(work: EvaluationJob) -> None:
    rows = [run(replace(work, length=Length(7, "epochs")), arm) for arm in ("subset", "all")]
    assert [row["budget"] for row in rows] == ["7 epochs"] * 2
    assert [row["samples_seen"] for row in rows] == [7 * 2 * 8, 7 * 3 * 8]


def test_a_network_is_measured_on_shifted_test_sets_too(work: EvaluationJob, workdir: Path) -> None:
    write_photos(workdir / "elsewhere")
    shifted_tests.decode("twin", "elsewhere", ["blue", "green", "red"], 12, workdir / "twin")
    row = run(replace(work, tests={"twin": workdir / "twin"}, length=Length(60, "steps")))
    assert row["accuracy_twin"] == row["accuracy"] == 1


def test_a_probe_is_fitted_to_features_and_draws_nothing(work: EvaluationJob, workdir: Path) -> None:
    probing = replace(work, training=replace(QUICK, model="probe"))
    labels = dataset.load(work.images).split("train")["label"].to_numpy()
    have = Features(np.eye(3)[labels], np.eye(3), labels, list("abc"), np.arange(24).astype(str))
    work.embed.mkdir()
    features.save(work.embed, have)
    with pytest.raises(InputError, match=r"evaluate.model: a probe is measured on features of held-out images"):
        evaluate.check(probing, 12, {})
    np.save("embed/test.npy", np.eye(3, dtype=np.float16)[[0, 1, 2, 0]])
    np.save("embed/test_labels.npy", [0, 1, 2, 1])
    evaluate.check(probing, 12, {})
    row = run(probing)
    assert (row["accuracy"], row["by_class"], row["budget"], row["kept"]) == (0.75, [1, 0.5, 1], "convergence", 11)
    assert row["samples_seen"] % 11 == 0
    pd.DataFrame({"id": list("wxyz"), "reason": ["", "", "", "suspected label"]}).to_parquet("held_out.parquet")
    judged = run(replace(probing, held_out=Path("held_out.parquet")), seed=6)
    assert (judged["accuracy"], judged["trusted_accuracy"]) == (0.75, 1)
    again = run(probing, seed=5)
    assert {**again, "seed": 4, "seconds": row["seconds"]} == row


def test_what_would_break_every_cell_is_refused_before(work: EvaluationJob, workdir: Path) -> None:
    evaluate.check(work, 12, {"twin": "photos"})
    with pytest.raises(InputError, match=r"evaluate.checkpoint: nothing.pt does not exist"):
        evaluate.check(replace(work, training=replace(QUICK, checkpoint=Path("nothing.pt"))), 12, {})
    with pytest.raises(InputError, match=r"evaluate.tests.twin: nowhere"):
        evaluate.check(work, 12, {"twin": "nowhere"})


def test_a_finished_cell_and_decoded_images_are_not_made_again(
    work: EvaluationJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(work, "random")
    cell = Path("random-4.json")
    before = work.pixels.stat().st_mtime_ns, cell.read_bytes()
    monkeypatch.setattr(classifier, "fit", lambda *_, **__: pytest.fail("trained again"))
    evaluate.decode(work.images, 12, work.pixels)
    run(work, "random")
    assert (work.pixels.stat().st_mtime_ns, cell.read_bytes()) == before


@pytest.mark.parametrize("content", [b"", b'{"accuracy": 0.5', b"null", b"[1]", b"{}", bytes(100)])
def test_a_result_that_was_lost_is_made_again(work: EvaluationJob, content: bytes) -> None:
    """As when power was lost before a cell was on the disk."""
    row = run(work, "random")
    cell, pixels = Path("random-4.json"), work.pixels.read_bytes()
    for path in (cell, work.pixels):
        path.write_bytes(content)
    assert cell_runner.result(cell) is None
    evaluate.decode(work.images, 12, work.pixels)
    assert work.pixels.read_bytes() == pixels
    again = run(work, "random")
    assert again | {"seconds": 0} == row | {"seconds": 0}


def test_a_failed_cell_leaves_a_log_and_nothing_that_looks_finished(
    work: EvaluationJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(classifier, "fit", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(work, "all")
    assert not Path("all-4.json").exists()
    assert Path("all-4.log").read_text().startswith("all, seed 4\n\nTraceback")
    run(work, "all")
    assert not Path("all-4.log").exists()


def test_the_key_changes_with_whatever_changes_a_result(images: Path, subset: Path, workdir: Path) -> None:
    outside = workdir / "evaluate.json"
    outside.write_text("1")
    keys = {evaluate.key(images, subset, outside, QUICK)}
    keys.add(evaluate.key(images, subset, outside, replace(QUICK, steps=11)))
    pd.read_parquet(subset).assign(selected=True).to_parquet(subset)
    keys.add(evaluate.key(images, subset, outside, QUICK))
    pd.read_parquet(images / "index.parquet").iloc[::-1].to_parquet(images / "index.parquet")
    keys.add(evaluate.key(images, subset, outside, QUICK))
    outside.write_text("2")
    keys.add(evaluate.key(images, subset, outside, QUICK))
    keys.add(evaluate.key(images, subset, outside, QUICK, held_out=subset))
    assert len(keys) == 6


def summary(images: Path, accuracies: dict[str, list[float]], **more: float) -> dict[str, Any]:
    """Gather cells of such accuracies into `out`; its metrics."""
    cells = []
    for arm, values in accuracies.items():
        for seed, accuracy in enumerate(values):
            cells.append(Path(f"{arm}-{seed}.json"))
            row = {
                "arm": arm,
                "seed": seed,
                "budget": "5 steps",
                "accuracy": accuracy,
                "worst_class": accuracy / 2,
                "calibration_error": 0.1,
                "kept": 2,
                "samples_seen": 40,
                "seconds": 1.5,
            }
            write_json(cells[-1], row | {"by_class": [accuracy, accuracy / 2, None]} | more)
    pd.DataFrame({"id": ["a", "b"], "label": [0, 1], "selected": [True, False]}).to_parquet("subset.parquet")
    truth = pd.DataFrame({"id": [], "true_label": [], "damage": []}).astype({"id": str, "damage": str})
    truth.to_parquet("truth.parquet")
    evaluate.summarise(cells, images, Path("subset.parquet"), Path("truth.parquet"), Path("out"))
    return read_json(Path("out/metrics.json"))


def test_the_summary_has_mean_and_deviation_of_each_arm(images: Path) -> None:
    metrics = summary(images, {"subset": [0.9, 0.8], "random": [0.7, 0.7], "all": [0.95, 0.85]}, accuracy_twin=0.5)
    measures = {"accuracy", "worst_class", "calibration_error", "shifted"}
    assert set(metrics) == measures | {"budget", "samples_seen"}  # nothing was planted, nothing is said of faults
    assert metrics["accuracy"]["subset"] == pytest.approx({"mean": 0.85, "std": 0.0707107})
    assert metrics["worst_class"]["random"] == pytest.approx({"mean": 0.35, "std": 0})
    assert metrics["shifted"] == {"twin": {arm: {"mean": 0.5, "std": 0} for arm in ARMS}}
    assert (metrics["budget"], metrics["samples_seen"]["all"]) == ("5 steps", 40)
    table = pd.read_csv("out/accuracy.csv")
    assert list(table.columns) == [
        "arm",
        "seed",
        "budget",
        "accuracy",
        "worst_class",
        "calibration_error",
        "accuracy_twin",
        "kept",
        "samples_seen",
    ]
    assert len(table) == 6
    classes = pd.read_csv("out/classes.csv").set_index("class_name")
    assert classes["held_out"].tolist() == [2, 2, 2]
    assert classes.loc["green"].to_dict() == pytest.approx(
        {"held_out": 2, "subset": 0.425, "random": 0.35, "all": 0.45}
    )
    assert classes.loc["red", ["subset", "random", "all"]].isna().all()


def test_accuracy_where_labels_are_trusted_is_one_more_measure(images: Path) -> None:
    found = {arm: [0.5, 0.75] for arm in ARMS}
    plain, metrics = summary(images, found), summary(images, found, trusted_accuracy=0.875)
    assert metrics == plain | {"trusted_accuracy": {arm: {"mean": 0.875, "std": 0} for arm in ARMS}}
    assert pd.read_csv("out/accuracy.csv")["trusted_accuracy"].tolist() == [0.875] * 6


def test_one_seed_has_no_deviation(images: Path) -> None:
    metrics = summary(images, {arm: [0.5] for arm in ARMS})
    assert metrics["accuracy"]["all"] == {"mean": 0.5, "std": 0}


def test_planted_faults_are_counted_among_pool_kept_and_dropped() -> None:
    subset = pd.DataFrame({"id": list("abcdefgh"), "label": 0, "selected": [True] * 4 + [False] * 4})
    truth = pd.DataFrame(
        {"id": list("aefgc"), "true_label": [1, 1, 2, 0, 0], "damage": ["", "noise", "", "occlusion", "noise"]}
    )
    assert evaluate.planted(subset, truth) == {
        "wrong_labels": {"planted": 3, "dropped": 2, "share_of_pool": 3 / 8, "share_of_kept": 1 / 4},
        "damaged": {"planted": 3, "dropped": 2, "share_of_pool": 3 / 8, "share_of_kept": 1 / 4},
    }
