"""Presets are checked before any work starts, and those that come with the project are good."""

from pathlib import Path

import pytest

from winnow.bench import grid, presets, run
from winnow.errors import InputError

PLAIN = """
about: tiny
source: photos
features: features
image_size: 12
training: {width: 2, batch_size: 8, flip: false}
models: {small: 0.01}
budgets: {steps: 10}
keeps: [0.5]
methods: [random]
"""


def refusal(tmp_path: Path, text: str) -> str:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(InputError) as error:
        presets.load(str(tmp_path / "mine.yaml"))
    return str(error.value)


@pytest.mark.parametrize("name", presets.names())
def test_every_preset_of_the_project_is_good_and_has_distinct_cells(name: str) -> None:
    preset = presets.load(name)
    cells = grid.cells(preset)
    assert len(set(cells)) == len(cells) > 0
    assert "all" in preset.methods
    assert run.describe(name).startswith(name)


def test_there_is_a_preset_for_each_table_that_is_promised() -> None:
    full, reduced = {"cifar10", "cifar100", "tiny-imagenet", "imagenet-1k"}, {"digits", "cifar10-small"}
    assert full | reduced | {"caltech101-small"} == set(presets.names())
    for name in full:
        preset = presets.load(name)
        assert "gpu" in preset.needs
        assert preset.clean
        assert {noise.kind for noise in preset.noises} == {"symmetric", "asymmetric", "near"}
        assert preset.damages == [0.05, 0.1, 0.2]
        assert set(preset.budgets) == {"steps", "epochs"}
        assert len(preset.models) > 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("kep: 1", "unknown key kep"),
        ("noises: [{kind: symetric, share: 0.1}]", "noises.0.kind"),
        ("noises: [{kind: near, share: 0.1, to: {a: b}}]", "only asymmetric noise maps classes"),
        ("damages: [0.1]", "damages need an encoder"),
        ("encoder: {model: local-dir}", "one of the two"),
        ("needs: [luck]", "needs.0"),
        ("seeds: 0", "seeds"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, change: str, words: str) -> None:
    message = refusal(tmp_path, PLAIN + change)
    assert words in message
    assert "mine.yaml" in message


def test_methods_and_models_that_there_are_not_are_refused_with_those_there_are(tmp_path: Path) -> None:
    assert "there is no 'magic'; there are winnow, random" in refusal(tmp_path, PLAIN.replace("[random]", "[magic]"))
    assert "there is no 'resnet19'" in refusal(tmp_path, PLAIN.replace("small:", "resnet19:"))


def test_faults_are_planted_one_at_a_time_and_the_pool_is_whole_once(tmp_path: Path) -> None:
    text = PLAIN.replace("features: features", "encoder: {model: local-dir, path: x}").replace(
        "[random]", "[random, all]"
    )
    (tmp_path / "mine.yaml").write_text(text + "noises: [{kind: near, share: 0.1}]\ndamages: [0.2, 0.3]\nseeds: 2")
    cells = grid.cells(presets.load(str(tmp_path / "mine.yaml")))
    assert {(str(cell.noise), cell.damage) for cell in cells} == {
        ("clean", 0.0),
        ("near 0.1", 0.0),
        ("clean", 0.2),
        ("clean", 0.3),
    }
    assert [(cell.keep, cell.method) for cell in cells[:2]] == [(0.5, "random"), (1.0, "all")]
    assert len(cells) == 2 * 4 * 2
