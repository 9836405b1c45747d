"""croissant.json is read by MLCommons' own library, and the card's front matter by the hub's."""

from pathlib import Path

import mlcroissant
import pandas as pd
from huggingface_hub import DatasetCard

from winnow.files.hashes import file_sha256
from winnow.files.json_files import read_json


def test_mlcroissant_checks_it_and_reads_the_samples(released: Path) -> None:
    described = mlcroissant.Dataset(jsonld=str(released / "croissant.json"))
    assert not described.metadata.ctx.issues.errors
    rows = list(described.records("samples"))
    table = pd.read_parquet(released / "scores.parquet")
    assert [row["samples/id"].decode() for row in rows] == table["id"].tolist()
    assert [bool(row["samples/selected"]) for row in rows] == table["selected"].tolist()


def test_it_states_the_licence_and_the_hashes_of_what_it_describes(released: Path) -> None:
    described = read_json(released / "croissant.json")
    assert described["license"] == "unknown"
    assert "version" not in described, "a release does not know which it will be published as"
    stated = {file["name"]: file["sha256"] for file in described["distribution"]}
    assert stated == {name: file_sha256(released / name) for name in ("ids.txt", "scores.parquet")}


def test_the_hub_reads_the_front_matter_of_the_card(released: Path) -> None:
    data = DatasetCard((released / "card.md").read_text()).data
    assert (data.license, data.pretty_name, data.task_categories) == ("unknown", "photos", ["image-classification"])
    assert data.size_categories == ["n<1K"]
    assert data.configs[0]["data_files"] == "scores.parquet"
