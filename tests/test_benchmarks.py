"""Each benchmark runs, on small data, and its last line is one JSON object."""

import json
from collections.abc import Callable
from pathlib import Path

import open_clip
import pandas as pd
import pytest
import typer
from support import ROOT
from typer.testing import CliRunner

from benchmarks import embed, flat, scale, train
from winnow.bench import grid, presets, tables
from winnow.images import decoding


def last_line(main: Callable[..., None], *arguments: object) -> dict[str, float]:
    app = typer.Typer()
    app.command()(main)
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert done.exit_code == 0
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


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
    assert found["share"] == pytest.approx(found["images_per_second"] / found["bare_images_per_second"], abs=0.01)
    assert found["n"] == 10


def test_train_reports_what_it_promises() -> None:
    found = last_line(train.main, "--n", 64, "--steps", 10, "--side", 16, "--batch-size", 8, "--rounds", 1)
    assert {"images_per_second", "bare_images_per_second", "share", "model", "device", "n"} == set(found)
    assert found["share"] == pytest.approx(found["images_per_second"] / found["bare_images_per_second"])
    assert found["n"] == 64


@pytest.mark.parametrize(
    ("rows", "seeds", "page"),
    [
        ("digits", 4, "results"),
        ("cifar10-small", 2, "results"),
        ("caltech101-small", 2, "results"),
        ("cifar10-small-symmetric", 3, "method"),
        ("caltech101-small-symmetric", 3, "method"),
    ],
)
def test_the_docs_show_what_the_rows_of_a_preset_say(rows: str, seeds: int, page: str) -> None:
    table = pd.read_csv(ROOT / f"docs/results/{rows}.csv")
    entries: tables.Grid = {}
    for (*setting, method), some in table.groupby([*tables.SETTING, "method"], sort=False):
        assert len(some) == seeds
        entries.setdefault(tuple(setting), {})[method] = tables.Entry(some.to_dict("records"), 0, seeds)
    assert tables.markdown(entries, tables.MEASURES[0]) in (ROOT / f"docs/{page}.md").read_text()


@pytest.mark.parametrize("preset", ["cifar10-small", "caltech101-small"])
def test_a_preset_has_every_cell_of_the_rows_in_the_docs(preset: str) -> None:
    columns = [*tables.SETTING, "method", "seed"]
    cells = {tuple(cell.settings[name] for name in columns) for cell in grid.cells(presets.load(preset))}
    for path in (ROOT / "docs/results").glob(f"{preset}*.csv"):
        assert set(pd.read_csv(path)[columns].itertuples(index=False, name=None)) <= cells
