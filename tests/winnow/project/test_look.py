"""What a source holds is said from its listing, and a look leaves nothing behind."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from winnow.cli.main import app
from winnow.errors import InputError
from winnow.project.look import look


def files(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.rglob("*"))


def test_an_image_folder_is_counted_by_class_and_nothing_is_written(workdir: Path, image_folder: Path) -> None:
    (image_folder / "red/0.png").unlink()
    (image_folder / "red/.hidden.png").write_text("x")
    before = files(workdir)
    found = look(str(image_folder))
    assert files(workdir) == before
    assert found.kind == "an image folder"
    assert found.classes == {"blue": (10, 0), "green": (10, 0), "red": (9, 0)}
    assert (found.pool, found.held_out) == (29, 0)
    assert any("passed over" in note for note in found.notes), "what is passed over is said"
    lines = list(found.lines())
    assert lines[0] == f"{image_folder} is an image folder: 29 images in 3 classes"
    assert lines[1].endswith("prepare holds out 20% of each class as a test set")
    assert lines[2].endswith("blue 10, green 10, red 9")


def test_a_named_split_is_held_out(workdir: Path, image_folder: Path) -> None:
    rows = [(f"photos/{c}/{i}.png", c, "test" if i < 2 else "train") for c in ("red", "blue") for i in range(10)]
    pd.DataFrame(rows, columns=["path", "colour", "split"]).to_csv("list.csv", index=False)
    found = look("list.csv", label="colour")
    assert found.kind == "a table of paths and labels"
    assert found.classes == {"blue": (8, 2), "red": (8, 2)}
    assert found.stated()["splits"] == {"train": 16, "test": 4}
    assert "16 to choose from, 4 held out" in list(found.lines())[1]


def test_features_must_fit_the_images(image_folder: Path, write_features: Callable[..., Path]) -> None:
    rows = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    ids = [f"{c}/{i}.png" for c in ("blue", "green", "red") for i in range(10)]
    fit = {"image": rows, "text": rows[:3], "labels": np.repeat([0, 1, 2], 10), "classes": ["blue", "green", "red"]}
    found = look(str(image_folder), features_at=write_features(**fit, ids=ids))
    assert found.features == (30, 4)
    assert "30 rows of 4 numbers" in "\n".join(found.lines())
    assert look(str(image_folder), features_at=write_features("dino", **fit | {"text": None}, ids=ids)).features == (
        30,
        4,
    )
    with pytest.raises(InputError, match="lacks 1 images of the pool"):
        look(str(image_folder), features_at=write_features("other", **fit, ids=[*ids[:-1], "elsewhere.png"]))


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("nowhere", "nowhere does not exist"),
        ("ftp://host/x", "ftp is not one of the protocols"),
        ("torchvision:CIFAR10", "would be downloaded, and a look downloads nothing"),
    ],
)
def test_what_is_no_source_is_refused_with_the_reason(workdir: Path, source: str, words: str) -> None:
    done = CliRunner().invoke(app, ["look", source])
    assert done.exit_code == 2
    assert words in done.output
    assert "prepare.source" not in done.output, "nobody has set it yet"
    assert files(workdir) == []


def test_the_command_speaks_json(image_folder: Path) -> None:
    done = CliRunner().invoke(app, ["look", str(image_folder), "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["images"] == 30
    assert found["classes"]["red"] == {"train": 10, "test": 0}
