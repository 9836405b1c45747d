"""A release names what made it, and holds no time, no absolute path and nothing that changes from run to run."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support import PARAMETERS

from winnow.cli import show
from winnow.files import hashes
from winnow.files.json_files import read_json, write_json
from winnow.releases import assemble, manifest
from winnow.selection import explain, held_out, relabel
from winnow.selection.reasons import REASONS


def made(stages: Path, out: Path, parameters: dict[str, Any] = PARAMETERS) -> Path:
    assemble.run(stages, out, name="photos", parameters=parameters)
    return out


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_two_releases_of_the_same_results_are_the_same_bytes(stages: Path, workdir: Path) -> None:
    one, two = (contents(made(stages, workdir / name)) for name in ("one", "two"))
    assert one == two
    assert {"ids.txt", "scores.parquet", "manifest.json", "card.md"} <= set(one)


def test_the_ids_are_those_kept_and_sorted(stages: Path, workdir: Path) -> None:
    ids = (made(stages, workdir / "out") / "ids.txt").read_text().splitlines()
    table = pd.read_parquet(workdir / "out/scores.parquet")
    assert ids == sorted(table.loc[table["selected"], "id"])
    assert len(ids) == 16


def test_the_manifest_says_what_made_it(stages: Path, workdir: Path) -> None:
    out = made(stages, workdir / "out")
    made_of, table = read_json(out / "manifest.json"), pd.read_parquet(out / "scores.parquet")
    assert made_of["pool"] == {"samples": 24, "classes": 3, "digest": manifest.digest(table)}
    assert made_of["subset"] == {"samples": 16, "digest": manifest.digest(table[table["selected"]])}
    assert made_of["class_counts"]["green"] == {"pool": 8, "kept": 0}
    assert made_of["selection"] == read_json(stages / "optimize/metrics.json")
    assert made_of["adaptation"] == read_json(stages / "adapt/metrics.json")
    assert made_of["adapters_sha256"] == hashes.file_sha256(stages / "adapt/adapters.safetensors")
    assert made_of["prepared"] == {
        "source": [],
        "images": [
            "24 images to choose from, in 3 classes (blue: 8, green: 8, red: 8)",
            "6 images held out, in 3 classes (blue: 2, green: 2, red: 2)",
        ],
    }
    assert made_of["encoder"]["encoder"] == "tiny"
    assert "torch" in made_of["packages"]
    assert made_of["files"] == {
        name: hashes.file_sha256(out / name) for name in contents(out) if name != "manifest.json"
    }


def test_no_absolute_path_is_released(stages: Path, workdir: Path) -> None:
    out = made(stages, workdir / "out")
    assert read_json(out / "manifest.json")["parameters"]["prepare"]["source"] == "photos"
    assert not [name for name, data in contents(out).items() if b"/home/" in data or str(workdir).encode() in data]


def test_the_card_says_what_it_is_worth(stages: Path, workdir: Path) -> None:
    card = (made(stages, workdir / "out") / "card.md").read_text()
    assert "16 of 24 images" in card
    assert "Training the network small from scratch, for 10 steps on each, 2 seeds" in card
    assert "| this subset | 16 | 50.00 ± 12.50 | 50.00 ± 12.50 | 50.00 ± 12.50 | 80 |" in card
    assert "| blue | 2 | 50.0 | 50.0 | 50.0 |" in card
    pictures = [line.split("(")[1].rstrip(")") for line in card.splitlines() if line.startswith("![")]
    assert pictures
    assert all((workdir / "out" / picture).is_file() for picture in pictures)


def test_the_card_says_why_the_rest_was_dropped(stages: Path, workdir: Path) -> None:
    card = (made(stages, workdir / "out") / "card.md").read_text()
    counts = {
        reason: line.split("|")[2].strip()
        for line in card.splitlines()
        for _, reason in REASONS.values()
        if line.startswith(f"| {reason}")
    }
    assert list(counts.values()) == ["1", "2", "0", "5", "0"]


def test_a_release_is_shown_in_a_few_lines(stages: Path, workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show.describe(made(stages, workdir / "out"))
    shown = capsys.readouterr().out
    assert "kept 16 of 24 images, dropped 8; 0 to 8 kept in each of 3 classes" in shown
    assert "dropped: 1 suspected labels, 2 damaged, 5 redundant\n" in shown
    assert "50.0% as the encoder came, 75.0% adapted" in shown


@pytest.fixture
def judged(stages: Path) -> Path:
    """The stages, and what is thought of the 6 held-out images: one suspected, one damaged, two as in the pool."""
    index = pd.read_parquet(stages / "prepare/images/index.parquet")
    test, pool = (index[index["split"] == split].reset_index(drop=True) for split in ("test", "train"))
    table = test[["id", "label"]].assign(class_name=[*["blue"] * 2, *["green"] * 2, *["red"] * 2])
    table = table.assign(alignment=np.float32([-3, 1, 2, -5, 4, 5]), predicted=[2, 0, 1, 0, 2, 2])
    table = table.assign(damaged=table.index == 3, of=["", pool["id"][0], pool["id"][23], "", "", ""])
    table = table.assign(cosine=0.98, same_class=[False, True, *[False] * 4], confirmed=False)
    table = table.assign(reason=["suspected label", "", "", "damaged", "", ""], evidence=["red", *[""] * 5])
    table.to_parquet(stages / "optimize/held_out.parquet", index=False)
    write_json(stages / "optimize/metrics.json", read_json(stages / "optimize/metrics.json") | held_out.summary(table))
    metrics = read_json(stages / "evaluate/metrics.json")
    write_json(stages / "evaluate/metrics.json", metrics | {"trusted_accuracy": metrics["accuracy"]})
    return stages


def test_held_out_images_are_released_and_shown_as_they_are_judged(
    judged: Path, workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = made(judged, workdir / "out")
    said = "1 of 6 held-out labels are suspected, 1 look damaged, 2 are nearly the same"
    table = pd.read_parquet(out / "held_out.parquet")
    index = pd.read_parquet(judged / "prepare/images/index.parquet").set_index("id")
    assert (table["sha256"] == index.loc[table["id"], "sha256"].to_numpy()).all()
    for page in ("card.md", "report.html"):
        text = (out / page).read_text()
        assert said in text
        assert "where the label is not suspected" in text
    suspects, leaks = text.split('<h2 id="held_out">')[1].split("</section>")[:2]
    for section, rows in (suspects, [0, 3]), (leaks, [1, 2]):
        shown = [name for name in table["id"] if f'data-id="{name}"' in section]
        assert shown == table["id"].iloc[rows].tolist()
    opened = manifest.load(out)
    assert opened.manifest.results.trusted_accuracy == opened.manifest.results.accuracy
    assert show.facts(out)["held_out"]["held_out_suspected_label"] == 1
    show.describe(out)
    words = " ".join(capsys.readouterr().out.split())
    assert said in words
    assert "label not suspected" in words


def test_mlflow_is_told_what_is_thought_of_held_out_labels(judged: Path, workdir: Path) -> None:
    tracked = assemble.version(made(judged, workdir / "out"), {})
    assert tracked.metrics["selection.held_out_suspected_label"] == 1
    assert tracked.metrics["trusted_accuracy.subset.mean"] == 0.5
    assert "1 of 6 held-out labels are suspected" in tracked.description
    assert "| this subset | 50.00% ± 12.50 | 50.00% ± 12.50 |" in tracked.description


def test_new_labels_are_stated_shown_and_exported(
    stages: Path, workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pd.read_parquet(stages / "optimize/subset.parquet")
    first = table.loc[table["selected"] & (table["label"] == 0), "id"].iloc[0]
    table["given_label"] = table["label"]
    table.loc[table["id"] == first, ["label", "class_name", "predicted"]] = [2, "red", 2]
    table = relabel.explain(table, ["blue", "green", "red"])
    table.to_parquet(stages / "optimize/subset.parquet", index=False)
    write_json(stages / "optimize/metrics.json", explain.summary(table) | relabel.summary(table))
    out = made(stages, workdir / "out")
    row = pd.read_parquet(out / "scores.parquet").set_index("id").loc[first]
    assert (row["label"], row["given_label"], row["reason"], row["evidence"]) == (2, 0, "relabelled", "blue")
    assert read_json(out / "manifest.json")["selection"]["relabelled"] == 1
    assert "| kept under a new label, by `optimize.relabel` | 1 of 1 offered" in (out / "card.md").read_text()
    page = (out / "report.html").read_text().split('<h2 id="relabelled">')[1].split("</section>")[0]
    assert f'data-id="{first}" data-given="blue" data-likely="red" data-reason="relabelled"' in page
    show.describe(out)
    assert "1 kept under a new label of 1 offered so" in " ".join(capsys.readouterr().out.split())
    opened = manifest.load(out)
    assert opened.export(workdir / "photos", images=stages / "prepare/images") == 16
    listed = pd.read_csv(workdir / "photos/samples.csv").set_index("id")
    assert (listed.loc[first, "class_name"], listed.loc[first, "file"].split("/")[1]) == ("red", "red")
    assert not {"relabelled", "given_label"} & {*read_json(stages / "release/manifest.json")["selection"]}


def test_a_release_that_keeps_everything_is_made_too(stages: Path, workdir: Path) -> None:
    subset = stages / "optimize/subset.parquet"
    pd.read_parquet(subset).assign(selected=True, reason="").to_parquet(subset, index=False)
    write_json(stages / "optimize/metrics.json", explain.summary(pd.read_parquet(subset)))
    assert len((made(stages, workdir / "out") / "ids.txt").read_text().splitlines()) == 24


def test_the_tracked_version_is_the_release(stages: Path, workdir: Path) -> None:
    out = made(stages, workdir / "out")
    version = assemble.version(out, {"tag": "x"})
    assert version.name == "photos keep=0.5"
    assert version.fingerprint == hashes.file_sha256(out / "manifest.json")
    assert version.parameters["optimize.keep"] == 0.5
    assert (version.metrics["kept"], version.metrics["dropped"]) == (16, 8)
    assert version.metrics["accuracy.subset.mean"] == 0.5
    assert (version.metrics["selection.redundant"], version.metrics["zero_shot_accuracy"]) == (5, 0.5)
    assert all(isinstance(value, int | float) for value in version.metrics.values())
    assert (len(version.pool[0]), len(version.subset[0])) == (24, 16)
    assert (version.source, version.model) == ("photos", "photos"), "no folder of this machine"
    measured = {"accuracy": 0.5, "worst_class": 0.25, "calibration_error": 0.1, "kept": 16, "samples_seen": 80}
    assert version.cells[0] == {"arm": "subset", "seed": 0, "budget": "10 steps"} | measured
    assert len(version.cells) == 6


def test_the_digest_is_of_ids_and_labels_in_any_order() -> None:
    table = pd.DataFrame({"id": list("abc"), "label": [0, 1, 2], "other": 1})
    assert manifest.digest(table) == manifest.digest(table.iloc[::-1].assign(other=2))
    assert manifest.digest(table) != manifest.digest(table.assign(label=[0, 1, 1]))


@pytest.mark.parametrize(
    ("n", "category"), [(1, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (50_000, "10K<n<100K"), (10**7, "10M<n<100M")]
)
def test_sizes_are_named_as_the_hub_does(n: int, category: str) -> None:
    assert assemble._size_category(n) == category
