"""Held-out labels are judged by what was fitted to the pool alone, and a person has the last word."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from winnow import features
from winnow.features import Features
from winnow.selection import adapt, held_out
from winnow.selection import judge as judging
from winnow.selection.methods import Method, Recipe

POOL, REST = slice(200), slice(200, 300)


def part(data: Features, rows: slice) -> Features:
    return replace(data, image=data.image[rows], labels=data.labels[rows], ids=data.ids[rows])


def judge(planted: Features, method: Method = "winnow") -> pd.DataFrame:
    """What is thought of the last 100 of the planted samples, by what was fitted to the others."""
    pool = part(planted, POOL)
    adapted = adapt.adapt(pool, method, Recipe(epochs=20, lr=1e-3), seed=0, device="cpu")
    return judging.judge(pool, part(planted, REST), adapted, 0.97, "cpu")


def test_wrong_labels_of_held_out_images_are_found(planted: Features, wrong: np.ndarray) -> None:
    table = judge(planted)
    assert table["id"].tolist() == planted.ids[REST].tolist()
    assert ((table["alignment"] < 0) == wrong[REST]).mean() > 0.96
    assert (table["predicted"] != table["label"])[wrong[REST]].all()
    assert (table["class_name"] == np.array(planted.classes)[table["label"]]).all()
    assert table["of"].eq("").all()
    assert table["cosine"].isna().all()


def test_the_published_scores_judge_them_too(planted: Features, wrong: np.ndarray) -> None:
    table = judge(planted, "paper")
    assert ((table["predicted"] != table["label"]) == wrong[REST]).mean() > 0.9
    assert table["alignment"].between(-1, 1).all()
    assert not table["damaged"].any()


def test_an_image_that_the_pool_has_too_is_named(planted: Features) -> None:
    image = planted.image.copy()
    image[200:202] = 2 * image[:2]
    table = judge(replace(planted, image=image))
    found = table[table["of"] != ""]
    assert found["of"].tolist() == planted.ids[:2].tolist()
    assert found["cosine"].tolist() == pytest.approx([1, 1])
    assert found["same_class"].tolist() == (planted.labels[200:202] == planted.labels[:2]).tolist()


def test_what_a_person_confirmed_is_not_suspected() -> None:
    damaged = [False, True, False, True, False]
    table = pd.DataFrame({"predicted": [1, 1, 0, 1, 0], "damaged": damaged, "of": ["x", "", "", "", ""]})
    doubted, confirmed = np.array([True, True, False, True, True]), np.array([False, False, False, True, True])
    found = held_out.decide(table, ["ant", "bee"], doubted, confirmed)
    assert found["reason"].tolist() == ["suspected label", "damaged", "", "", ""]
    assert found["evidence"].tolist() == ["bee", "", "", "", ""]
    assert held_out.summary(found) == {
        "held_out": 5,
        "held_out_suspected_label": 1,
        "held_out_damaged": 1,
        "held_out_near_duplicate": 1,
        "held_out_confirmed": 2,
    }


@pytest.mark.parametrize("held", [True, False])
def test_the_stage_writes_a_row_a_held_out_image(workdir: Path, planted: Features, held: bool) -> None:
    pool, rest = part(planted, POOL), part(planted, REST)
    features.save(workdir, pool)
    if held:
        features.write_rows(workdir / "test.npy", rest.image)
        np.save(workdir / "test_labels.npy", rest.labels)
        features.write_ids(workdir / "test_ids.txt", rest.ids)
    adapt.run(workdir, workdir / "adapt", Recipe(), method="winnow", seed=0, device="cpu")
    for name in ("one", "two"):
        judging.run(workdir, workdir / "adapt/adapters.safetensors", workdir / name, cosine=0.97, device="cpu")
    assert (workdir / "one").read_bytes() == (workdir / "two").read_bytes()
    table = pd.read_parquet(workdir / "one")
    assert table["id"].tolist() == (rest.ids.tolist() if held else [])
    assert not held or np.corrcoef(table["alignment"], judge(planted)["alignment"])[0, 1] > 0.999
