"""New labels are offered where they are sure enough, are right as often as stated, and are never silent."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from winnow import corrections, features
from winnow.features import Features
from winnow.files.json_files import read_json
from winnow.selection import adapt, optimize, relabel, score
from winnow.selection.methods import Recipe


def crowd(n: int, rate: float, seed: int = 0) -> tuple[Features, np.ndarray]:
    """Five overlapping classes around their prompts, a share `rate` of labels wrong; and the truth."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 5, n)
    text = rng.normal(size=(5, 16))
    image = text[truth] + 1.1 * rng.normal(size=(n, 16))
    labels = np.where(rng.random(n) < rate, (truth + rng.integers(1, 5, n)) % 5, truth)
    ids = np.array([f"{i:05d}" for i in range(n)])
    return Features(image.astype(np.float32), text.astype(np.float32), labels, list("abcde"), ids), truth


@pytest.mark.parametrize(("agrees", "right"), [(0.72, 0.9), (0.54, 0.6), (0.8, 1.0)])
def test_the_chance_follows_from_how_often_labels_agree(agrees: float, right: float) -> None:
    """Of the surest, as many labels are right as agree; of the others, a / r of the predictions."""
    n, rng = 40_000, np.random.default_rng(0)
    sure = np.arange(n) < n / 2
    agree = rng.random(n) < np.where(sure, right, agrees)
    found = relabel.chance(np.where(sure, 0.99, 0.6), agree)
    expected = 1 - (1 - agrees / right) / (1 - agrees)
    assert found[~sure] == pytest.approx(expected, abs=0.02)
    assert right == 1 or found[sure] == pytest.approx(1, abs=0.02)


def test_suspects_alone_whose_class_is_sure_enough_get_it() -> None:
    data, _ = crowd(8, 0)
    certainty = np.array([[0.5, 0.95], [0.5, 0.94], [0.5, 0.99], [0.5, 0.99], [0.9, 0.99], [0.5, 0.99]])
    table = pd.DataFrame(
        {"label": 0, "predicted": [1, 1, 1, 1, 0, 1], "alignment": np.float32([-1, -1, 1, -1, -1, -1])}
    )
    table = table.assign(damaged=[False, False, False, True, False, False], class_name="a", sas=np.float32(0))
    data = replace(data, image=data.image[:6], labels=np.zeros(6, np.int64), ids=data.ids[:6])
    changed, _ = relabel.apply(table, data, certainty, np.arange(6) == 5)
    assert changed["label"].tolist() == [1, 0, 0, 0, 0, 0], "unsure, trusted, damaged, alike, settled"
    assert changed["alignment"].tolist() == pytest.approx([np.log(19), -1, 1, -1, -1, -1])


@pytest.mark.parametrize("rate", [0.0, 0.2, 0.4])
def test_new_labels_are_right_as_often_as_stated(rate: float) -> None:
    data, truth = crowd(4000, rate)
    adapted = adapt.adapt(data, "winnow", Recipe(), seed=0, device="cpu")
    table = score.score(data, adapted, neighbours=0.1, device="cpu")
    settled = np.arange(4000) < 400
    changed, taught = relabel.apply(table, data, adapted.certainty, settled)  # type: ignore[union-attr, arg-type]
    new = (changed["label"] != changed["given_label"]).to_numpy()
    assert not new[settled].any(), "a person has the last word"
    assert (changed["given_label"] == data.labels).all()
    assert (taught.labels == changed["label"]).all()
    assert (changed.loc[~new, table.columns] == table[~new]).all(axis=None)
    assert (new.sum() > 0.1 * rate * 4000) if rate else not new.any()
    if rate:
        assert (taught.labels == truth)[new].mean() >= relabel.PRECISION
        assert (changed.loc[new, "alignment"] > 0).all()
        assert (changed.loc[new, "class_name"] == np.array(data.classes)[taught.labels[new]]).all()
        cosine = (features.unit(data.image) * features.unit(data.text)[taught.labels]).sum(1)  # type: ignore[arg-type]
        assert changed["sas"].to_numpy() == pytest.approx(cosine, abs=1e-5)


@pytest.fixture
def stages(workdir: Path) -> Path:
    """What the stages before optimize leave of a crowd with 30% of wrong labels."""
    data, _ = crowd(2000, 0.3)
    features.save(workdir, data)
    adapt.run(workdir, workdir / "adapt", Recipe(), method="winnow", seed=0, device="cpu")
    score.run(workdir, workdir / "adapt", workdir / "score", neighbours=0.1, device="cpu")
    pd.DataFrame(columns=corrections.COLUMNS, dtype=str).to_parquet(workdir / "corrections.parquet")
    return workdir


def chosen(stages: Path, out: str, *, on: bool) -> pd.DataFrame:
    optimize.run(
        stages / "score",
        stages,
        stages / "corrections.parquet",
        stages / out,
        keep=0.9,
        method="winnow",
        solver="exact",
        balance="proportional",
        drop_near_duplicates=False,
        relabel=on,
        device="cpu",
    )
    return pd.read_parquet(stages / out / "subset.parquet")


def test_the_stage_says_which_labels_it_changed(stages: Path) -> None:
    plain, table = chosen(stages, "plain", on=False), chosen(stages, "changed", on=True)
    assert "given_label" not in plain
    new = table["label"] != table["given_label"]
    assert (table["given_label"] == plain["label"]).all()
    assert table["selected"].sum() == plain["selected"].sum() == 1800
    kept = table["reason"] == "relabelled"
    assert (kept == (new & table["selected"])).all()
    assert (table.loc[kept, "evidence"] == np.array(list("abcde"))[table.loc[kept, "given_label"]]).all()
    assert plain.loc[new & ~plain["selected"], "reason"].eq("suspected label").all()
    metrics = read_json(stages / "changed/metrics.json")
    assert (metrics["relabelled_offered"], metrics["relabelled"]) == (new.sum(), kept.sum())
    assert kept.sum() > 20
    assert not any(key.startswith("relabelled") for key in read_json(stages / "plain/metrics.json"))
    counts = np.bincount(table["label"])
    assert (np.abs(np.bincount(table.loc[table["selected"], "label"]) - counts * 0.9) < 1).all(), (
        "budgets follow new labels"
    )


def test_what_a_person_decided_about_keeps_its_label(stages: Path) -> None:
    table = chosen(stages, "before", on=True)
    first = table.loc[table["reason"] == "relabelled", "id"].iloc[0]
    rows = pd.DataFrame({"id": [first], "decision": ["keep"]}).reindex(columns=corrections.COLUMNS, fill_value="")
    rows.to_parquet(stages / "corrections.parquet")
    after = chosen(stages, "after", on=True).set_index("id").loc[first]
    assert (after["label"], after["selected"], after["reason"]) == (after["given_label"], True, "")
