"""What a stage says came of it."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support import PARAMETERS

from winnow.cli import show
from winnow.files.json_files import write_json
from winnow.releases import assemble
from winnow.run import outcomes
from winnow.selection import held_out


def test_each_stage_says_in_a_line_what_came_of_it(stages: Path) -> None:
    np.save(stages / "embed/labels.npy", np.zeros(24, np.int64))
    pd.DataFrame({"label": [0, 1, 2], "predicted": [0, 1, 1]}).to_parquet(stages / "score/scores.parquet")
    pd.DataFrame({"id": ["a", "b"]}).to_parquet(stages / "score/near_duplicates.parquet")
    assert outcomes.of("embed", stages) == "24 images have features of tiny"
    assert outcomes.of("adapt", stages) == (
        "accuracy of the class prompts alone, on held-out images: 50.0% as the encoder came, 75.0% adapted"
    )
    assert outcomes.of("score", stages) == (
        "1 of 3 images look more like another class than like their label; 2 pairs are nearly the same"
    )
    assert outcomes.of("optimize", stages) == (
        "kept 16 of 24 images; dropped: 1 suspected labels, 2 damaged, 5 redundant"
    )
    assert "50.00% ± 12.50 (this subset)" in (outcomes.of("evaluate", stages) or "")
    assert (outcomes.of("release", stages) or "").endswith(f"see {stages / 'release/report.html'}")
    assert outcomes.of("source", stages) is None


def test_without_text_nothing_is_said_of_prompts(stages: Path, capsys: pytest.CaptureFixture[str]) -> None:
    about = {"measured_on": "held-out images", "in_place_of_text": "class means", "adapted_accuracy": 0.75}
    write_json(stages / "adapt/metrics.json", about)
    shutil.rmtree(stages / "release")
    assemble.run(stages, stages / "release", name="photos", parameters=PARAMETERS)
    said = "accuracy without text, on held-out images: 75.0%; class means stand for the classes"
    assert outcomes.of("adapt", stages) == said
    show.describe(stages / "release")
    assert said in capsys.readouterr().out
    card = (stages / "release/card.md").read_text()
    assert "| accuracy without text (held-out images) | 75.0%, class means standing for the classes |\n| ids" in card
    assert "prompts" not in card


def test_held_out_labels_that_are_suspected_are_said() -> None:
    chosen = {"pool": 24, "kept": 24, "held_out": 1200, "held_out_suspected_label": 12}
    plain = dict.fromkeys(("held_out_damaged", "held_out_near_duplicate", "held_out_confirmed"), 0)
    assert outcomes.optimized(chosen | plain) == "kept 24 of 24 images; 12 of 1,200 held-out labels are suspected"
    more = {"held_out_damaged": 1, "held_out_near_duplicate": 2, "held_out_confirmed": 3}
    assert held_out.stated(chosen | more) == (
        "12 of 1,200 held-out labels are suspected, 1 look damaged, 2 are nearly the same as one to choose from, "
        "3 were confirmed by a person"
    )
    same = {arm: {"mean": 0.5, "std": 0.125} for arm in ("subset", "random", "all")}
    said = outcomes.evaluated({"accuracy": same, "trusted_accuracy": same})
    assert said.endswith("(everything); where the label is not suspected: 50.00%, 50.00%, 50.00%")


def test_show_repeats_what_the_stages_said(stages: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show.describe(stages / "release")
    shown = capsys.readouterr().out
    assert "  embed     24 images have features of tiny\n" in shown
    for stage in ("adapt", "optimize"):
        assert f"  {stage:<9} {outcomes.of(stage, stages)}\n" in shown
    table = pd.read_parquet(stages / "release/scores.parquet")
    others = (table["predicted"] != table["label"]).sum()
    assert f"  score     {others} of 24 images look more like another class than like their label\n" in shown


def test_a_release_whose_scores_are_gone_is_shown_without_them(
    stages: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (stages / "release/scores.parquet").unlink()
    show.describe(stages / "release")
    shown = capsys.readouterr().out
    assert "  optimize  kept 16 of 24 images" in shown
    assert "  score " not in shown
