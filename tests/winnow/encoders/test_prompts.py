"""Prompts are averaged, and classes that are codes get names from a file that fits them."""

import json
from pathlib import Path

import numpy as np
import pytest

from winnow.encoders import prompts
from winnow.encoders.encoder import Checkpoint, Encoder, opened
from winnow.errors import InputError

CODES = ["n01", "n02"]


@pytest.fixture
def small(encoder: Path) -> Encoder:
    """The small encoder, opened."""
    return opened(Checkpoint("local-dir", encoder), "cpu")


def test_underscores_in_class_names_are_read_as_spaces(small: Encoder) -> None:
    one, two = (prompts.text_features(small, [name], ["a {}"]) for name in ("sea_horse", "sea horse"))
    assert (one == two).all()


@pytest.mark.parametrize("prompt", ["a {} of {", "a {} on {white}", "{} beside {}"])
def test_braces_in_a_prompt_are_only_braces(small: Encoder, prompt: str) -> None:
    assert prompts.text_features(small, ["cat"], [prompt]).shape == (1, 64)


def test_many_classes_are_encoded_some_at_a_time(small: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"class {c}" for c in range(7)]
    whole = prompts.text_features(small, names, ["a {}", "the {}"])
    monkeypatch.setattr(prompts, "TEXTS", 3)
    some = prompts.text_features(small, names, ["a {}", "the {}"])
    assert some == pytest.approx(whole, abs=0.01)  # bfloat16 rounds by the batch
    assert np.linalg.norm(whole, axis=1) == pytest.approx(1)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("names.json", '{"n02": "dog", "n01": "cat"}'),
        ("names.json", '["cat", "dog"]'),
        ("names.csv", "code,name\nn02,dog\nn01,cat\n"),
        ("names.csv", "n01,cat\r\nn02, dog\r\n\r\n"),
    ],
)
def test_codes_get_names(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert prompts.class_names(tmp_path / name, CODES) == ["cat", "dog"]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("names.json", json.dumps({"n01": "cat"}), "no name for 1 of 2 classes, the first 'n02'"),
        ("names.json", json.dumps({"n01": "a", "n02": "b", "n03": "c"}), "1 classes that no image has, .*'n03'"),
        ("names.json", '["cat"]', "no name for 2 of 2"),
        ("names.json", '{"n01": "cat", "n02": " "}', "not empty"),
        ("names.json", '{"n01": "cat", "n02": 3}', "one name"),
        ("names.json", "3", "one name"),
        ("names.json", "{", "cannot be read"),
        ("names.csv", "n01,cat,more\n", "3 cells"),
        ("names.csv", "n01,cat\nn01,dog\n", "'n01' occurs twice"),
        ("names.csv", "", "no name for 2 of 2"),
    ],
)
def test_names_that_do_not_fit_are_refused(tmp_path: Path, name: str, text: str, words: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=rf"embed\.class_names: .*{name}.*{words}"):
        prompts.class_names(tmp_path / name, CODES)


def test_a_missing_file_of_names_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"embed\.class_names: .*no\.json is missing"):
        prompts.class_names(tmp_path / "no.json", CODES)
