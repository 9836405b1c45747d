"""A cell is named by all that its result depends on, and its labels are spoilt as it says."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from winnow.bench import cells
from winnow.bench.cells import BenchJob, Cell, LabelNoise
from winnow.errors import InputError
from winnow.features import Features
from winnow.images import plant
from winnow.training.classifier import Training
from winnow.training.length import Length

TRAINING = Training(4, 1, 16, 0.01, False)
CELL = Cell(LabelNoise("symmetric", 0.2), 0.0, 0.3, "winnow", "small", Length(40, "steps"), 1)
WORK = BenchJob(Path("rooms"), "ground", {"small": TRAINING}, TRAINING)


def test_the_name_of_a_cell_can_be_read() -> None:
    name = WORK.name(CELL)
    assert name.startswith("symmetric-0.2_damage-0_keep-0.3_winnow_small_40-steps_seed-1_")
    assert name == WORK.name(replace(CELL))


@pytest.mark.parametrize(
    ("cell", "work"),
    [
        (replace(CELL, seed=2), WORK),
        (replace(CELL, keep=0.30001), WORK),
        (replace(CELL, noise=LabelNoise("asymmetric", 0.2, (("ant", "bee"),))), WORK),
        (replace(CELL, budget=Length(40, "epochs")), WORK),
        (CELL, replace(WORK, digest="other")),
        (CELL, replace(WORK, trainings={"small": replace(TRAINING, lr=0.02)})),
        (CELL, replace(WORK, judge=replace(TRAINING, steps=7))),
    ],
)
def test_another_result_has_another_name(cell: Cell, work: BenchJob) -> None:
    assert work.name(cell) != WORK.name(CELL)


def test_where_rooms_lie_is_no_part_of_the_name() -> None:
    assert replace(WORK, prepared=Path("elsewhere")).name(CELL) == WORK.name(CELL)


def test_what_is_chosen_does_not_depend_on_who_is_trained() -> None:
    other = replace(CELL, model="resnet18", budget=Length(3, "epochs"), keep=0.5)
    assert WORK.memory(other) == WORK.memory(CELL)
    assert WORK.memory(replace(CELL, seed=2)) != WORK.memory(CELL)
    assert WORK.memory(replace(CELL, noise=LabelNoise())) != WORK.memory(CELL)


def test_steps_are_the_same_for_every_subset_and_epochs_are_not() -> None:
    assert [Length(40, "steps").training(TRAINING, n).steps for n in (100, 1000)] == [40, 40]
    assert [Length(4, "epochs").training(TRAINING, n).steps for n in (100, 1000)] == [28, 252]


def test_classes_are_mistaken_as_a_preset_says(planted: Features) -> None:
    given = LabelNoise("asymmetric", 0.5, (("ant", "bee"), ("cat", "ant"))).plant(planted, np.random.default_rng(0))
    wrong = given != planted.labels
    pairs = set(zip(planted.labels[wrong].tolist(), given[wrong].tolist(), strict=True))
    assert pairs == {(0, 1), (2, 0)}
    assert wrong.sum() == round(0.5 * np.isin(planted.labels, [0, 2]).sum())


def test_with_no_map_each_class_is_taken_for_the_next(planted: Features) -> None:
    given = LabelNoise("asymmetric", 0.4).plant(planted, np.random.default_rng(0))
    wrong = given != planted.labels
    assert wrong.sum() == round(0.4 * len(given))
    assert (given[wrong] == (planted.labels[wrong] + 1) % 5).all()


def test_a_class_that_there_is_not_is_refused(planted: Features) -> None:
    with pytest.raises(InputError, match="no class 'gnu'; there are ant, bee"):
        LabelNoise("asymmetric", 0.4, (("ant", "gnu"),)).plant(planted, np.random.default_rng(0))


def test_symmetric_and_near_noise_and_none_are_those_of_plant(planted: Features) -> None:
    def rng() -> np.random.Generator:
        return np.random.default_rng(3)

    assert (LabelNoise().plant(planted, rng()) == planted.labels).all()
    symmetric = plant.wrong_labels(planted.labels, 5, 0.2, rng())
    assert (LabelNoise("symmetric", 0.2).plant(planted, rng()) == symmetric).all()
    near = plant.near(planted.labels, planted.text, 0.2, rng())
    assert (LabelNoise("near", 0.2).plant(planted, rng()) == near).all()


def test_a_cell_that_breaks_leaves_a_log_and_no_result(tmp_path: Path) -> None:
    out, log = tmp_path / "cells/a.json", tmp_path / "logs/a.log"
    with pytest.raises(InputError, match=r"index.parquet cannot be read"):
        cells.run(replace(WORK, prepared=tmp_path), CELL, out, log, device="cpu")
    assert not out.exists()
    assert str(CELL) in log.read_text()
    assert "FileNotFoundError" in log.read_text()
