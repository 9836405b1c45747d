"""Answers become a bound that holds, verdicts that are recalibrated, and a subset that meets a limit."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from winnow import corrections, features
from winnow.checking import results, sampling
from winnow.checking.results import Answers
from winnow.features import Features
from winnow.files.json_files import read_json
from winnow.selection import answered, optimize

CLASSES = ["ant", "bee", "cat"]
SIZE, SEED = 120, 0


def scores(n: int = 900, seed: int = 0) -> pd.DataFrame:
    """Scores with log odds that say too little doubt, and whether each label is wrong."""
    rng = np.random.default_rng(seed)
    label, alignment = rng.integers(0, 3, n), rng.normal(6, 3, n).astype(np.float32)
    wrong = rng.random(n) > expit(alignment - 2.5)
    ids = [f"{i:04d}.png" for i in rng.permutation(n)]
    doubted = (label + (alignment < 4)) % 3
    keys = {"id": ids, "label": label, "class_name": np.array(CLASSES, object)[label], "alignment": alignment}
    return pd.DataFrame(keys | {"sas": 0.2, "sds": 1.0, "predicted": doubted, "damaged": False, "wrong": wrong})


def data(table: pd.DataFrame) -> Features:
    image = np.random.default_rng(1).normal(0.5, 1, (len(table), 6)).astype(np.float32)
    return Features(
        image, np.eye(3, 6, dtype=np.float32), table["label"].to_numpy(), CLASSES, table["id"].to_numpy(str)
    )


def chosen(table: pd.DataFrame, answers: Answers | None = None, max_wrong: float | None = None) -> pd.DataFrame:
    found = optimize.select(
        table.drop(columns="wrong"),
        data(table),
        keep=0.6,
        method="winnow",
        solver="exact",
        balance="proportional",
        device="cpu",
        answers=answers,
        max_wrong=max_wrong,
    )
    return found.assign(wrong=table["wrong"])


def rows(table: pd.DataFrame, size: int = SIZE, seed: int = SEED) -> pd.DataFrame:
    """What a person answers to a sample who makes no mistake, as rows of corrections.csv."""
    drawn = table.iloc[sampling.draw(chosen(table), size, seed).rows]
    said = np.where(drawn["wrong"], "wrong", "right")
    name = results.name(size, seed)
    return pd.DataFrame(
        {"id": drawn["id"], "decision": said, "label": "", "given": drawn["class_name"], "sample": name}
    ).reset_index(drop=True)


def test_the_bound_is_of_what_is_kept_without_answers_and_what_is_found_wrong_leaves() -> None:
    table = scores()
    before, made = chosen(table), rows(table)
    answers = results.read(made, table)
    after = chosen(table, answers)
    found = results.find(after, answers)
    assert found
    assert (found.kept == before["selected"]).all()
    true = before.loc[before["selected"], "wrong"].mean()
    assert found.wrong < found.at_most
    assert true <= found.at_most
    assert found.pool == pytest.approx(table["wrong"].mean(), abs=0.1)
    assert not after["selected"][answers.said == "wrong"].any()
    assert after["selected"].sum() == before["selected"].sum()
    assert after["selected"].groupby(table["label"]).sum().equals(before["selected"].groupby(table["label"]).sum())
    left = before["selected"] & (answers.said != "wrong")
    assert after["selected"][left].all(), "nothing else changes"
    replaced = int((after["selected"] & ~before["selected"]).sum())
    assert after.loc[after["selected"], "wrong"].sum() <= found.at_most * found.kept.sum()
    assert replaced == (before["selected"] & (answers.said == "wrong")).sum() > 0


def test_of_many_samples_the_bound_of_what_is_kept_holds_in_its_share() -> None:
    table, held = scores(600, 3), []
    before = chosen(table)
    true = before.loc[before["selected"], "wrong"].mean()
    for seed in range(300):
        rng = np.random.default_rng(seed)
        sample = sampling.draw(before, 100, seed)
        said = np.full(len(table), "", dtype="<U6")
        said[sample.rows] = np.where(table["wrong"].to_numpy()[sample.rows], "wrong", "right")
        unsure = sample.rows[rng.random(len(sample.rows)) < 0.05]
        said[unsure] = "unsure"
        found = results.find(before, Answers(said, [(100, seed)], []))
        assert found
        held.append(found.at_most >= true - 1e-12)
    assert np.mean(held) >= 0.95


def test_unsure_counts_as_wrong_in_the_bound_and_not_in_the_estimate_or_the_calibration() -> None:
    table = scores()
    made = rows(table)
    clear = results.find(chosen(table), results.read(made, table))
    kept = chosen(table).set_index("id")["selected"]
    first = made.index[(made["decision"] == "right") & made["id"].map(kept)][:4]
    made.loc[first, "decision"] = "unsure"
    answers = results.read(made, table)
    unsure = results.find(chosen(table), answers)
    assert clear
    assert unsure
    assert unsure.wrong == clear.wrong
    assert unsure.at_most > clear.at_most
    fitted, without = results.calibrate(table, answers), results.calibrate(table, results.read(made.drop(first), table))
    assert fitted == without


def test_recalibrated_verdicts_find_what_the_old_ones_missed() -> None:
    table = scores(3000, 5)
    made = rows(table, 200)
    before, after = chosen(table), chosen(table, results.read(made, table))

    def f1(found: pd.DataFrame) -> float:
        doubted = found["reason"] == "suspected label"
        wrong = table["wrong"] & ~found["selected"]
        return float(2 * (doubted & wrong).sum() / (doubted.sum() + wrong.sum()))

    assert f1(after) > f1(before) + 0.1
    answer = pd.Series(results.read(made, table).said)
    assert after.loc[answer == "wrong", "reason"].eq("suspected label").all(), "a person has the last word"
    assert not after.loc[answer == "right", "doubted"].any()
    assert (np.diff(after.sort_values("alignment")["recalibrated"]) >= 0).all(), "the order stays"


def test_a_sample_that_lacks_an_answer_or_was_repaired_has_no_bound() -> None:
    table = scores()
    made = rows(table)
    whole, lacking = results.read(made, table), results.read(made[1:], table)
    assert results.find(chosen(table), whole)
    assert results.find(chosen(table), lacking) is None
    renamed = made.assign(given=lambda known: known["given"].where(known.index > 0, "another label"))
    assert results.find(chosen(table), results.read(renamed, table)) is None, "about a label that it has no more"
    repair = made[:1].assign(decision="relabel", label="bee", sample="")
    spent = results.read(pd.concat([made, repair]), table)
    assert (spent.samples, spent.spent) == ([], [(SIZE, SEED)])
    assert results.find(chosen(table), spent) is None
    other = table.assign(alignment=table["alignment"] * np.linspace(1, -1, len(table)))
    assert results.find(chosen(other), whole) is None, "other images belong to the sample now"


def test_the_largest_sample_that_is_answered_counts() -> None:
    table = scores()
    both = pd.concat([rows(table, 60, 4), rows(table, 120, 2)]).drop_duplicates("id", keep="last")
    for made, size in ((both, 120), (rows(table, 60, 4), 60)):
        answers = results.read(made, table)
        found = results.find(chosen(table), answers)
        assert (found.size if found else 0) == size


def test_less_is_kept_where_a_share_of_wrong_labels_is_asked_for() -> None:
    table = scores(3000, 2)
    answers = results.read(rows(table, 400), table)
    every = chosen(table, answers)
    (free, tight) = (results.find(every, answers, limit) for limit in (0.5, 0.04))
    assert free
    assert tight
    assert free.kept.sum() == every["selected"].sum()
    assert tight.at_most <= 0.04
    assert 0.69 < tight.kept.sum() / free.kept.sum() < 1
    cut = chosen(table, answers, 0.04)
    assert not cut["selected"][~tight.kept].any()
    assert cut["wrong"][cut["selected"]].mean() <= 0.04
    assert (cut["reason"] == "uncertain").sum() > 0
    counts = cut[cut["selected"]].groupby("label").size() / every[every["selected"]].groupby("label").size()
    assert counts.max() - counts.min() < 0.02, "of each class alike"
    hopeless = results.find(every, answers, 0.001)
    assert hopeless
    assert hopeless.at_most > 0.001
    assert hopeless.kept.sum() == free.kept.sum(), "it is left, and the gate refuses it"
    assert free.confidence == pytest.approx(0.95), "all of the error was handed on to the whole"
    assert hopeless.confidence == pytest.approx(0.975), "half of it is lost with the smallest part"


def test_the_part_that_is_chosen_meets_the_limit_with_its_confidence() -> None:
    """Over many samples: a part with more wrong labels than asked for is chosen in at most 5%."""
    table = scores(1500, 8)
    table["wrong"] = table["wrong"].to_numpy() | (np.random.default_rng(0).random(1500) < 0.02)
    before = chosen(table)
    wrong = table["wrong"].to_numpy()
    limit = 0.98 * wrong[before["selected"]].mean()  # so that keeping all would be wrong, and little tells
    missed = []
    for seed in range(300):
        sample = sampling.draw(before, 300, seed)
        said = np.full(len(table), "", dtype="<U6")
        said[sample.rows] = np.where(wrong[sample.rows], "wrong", "right")
        found = results.find(before, Answers(said, [(300, seed)], []), limit)
        assert found
        missed.append(found.at_most <= limit and wrong[found.kept].mean() > limit)
    assert np.mean(missed) <= 0.05


def test_what_is_wrong_stays_only_where_a_class_has_nothing_else() -> None:
    table = pd.DataFrame({"id": list("abcd"), "label": [0, 0, 1, 1], "alignment": [3.0, 2, 3, 2]})
    wrong, turn = np.array([True, False, True, True]), np.zeros(4, np.int64)
    kept = answered.exchange(table, np.array([True, False, True, False]), wrong, turn)
    assert kept.tolist() == [False, True, True, False]


@pytest.mark.usefixtures("workdir")
def test_the_stage_writes_what_answers_say_and_without_any_the_same_bytes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = scores()
    (tmp_path / "embed").mkdir()
    features.save(tmp_path / "embed", data(table))
    table.drop(columns="wrong").to_parquet(tmp_path / "scores.parquet", index=False)

    def run(name: str, made: pd.DataFrame, max_wrong: float | None = None) -> dict[str, float]:
        made.to_parquet(tmp_path / "made.parquet", index=False)
        how = {"method": "winnow", "solver": "exact", "balance": "proportional", "drop_near_duplicates": False}
        where = tmp_path, tmp_path / "embed", tmp_path / "made.parquet", tmp_path / name
        optimize.run(*where, keep=0.6, device="cpu", max_wrong=max_wrong, **how)  # type: ignore[arg-type]
        return dict(read_json(tmp_path / name / "metrics.json"))

    none = pd.DataFrame(columns=[*corrections.COLUMNS, "was"], dtype=str)
    gone = rows(table)[:3].assign(given="another label")
    assert "answers_right" not in run("none", none)
    assert run("gone", gone) == run("none", none)
    assert (tmp_path / "none/subset.parquet").read_bytes() == (tmp_path / "gone/subset.parquet").read_bytes()
    drawn = pd.read_parquet(tmp_path / "none/subset.parquet").assign(wrong=table["wrong"])
    monkeypatch.setitem(globals(), "chosen", lambda _: drawn)
    found = run("all", rows(table))
    assert found["checked"] == SIZE
    assert 0 < found["wrong_kept"] < found["wrong_kept_at_most"] < 1
    assert found["answers_right"] + found["answers_wrong"] == SIZE
    assert found["calibration_offset"] < 0 < found["calibration_slope"]
    assert run("again", rows(table)) == found
    with caplog.at_level(logging.WARNING):
        run("unknown", none, 0.01)
        run("unmet", rows(table), 0.001)
    assert "optimize.max_wrong is 0.01: no sample was answered in full" in caplog.text
    assert "optimize.max_wrong is 0.001: at most" in caplog.text
