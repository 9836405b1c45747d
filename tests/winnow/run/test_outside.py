"""What parameters name outside the project is known by its content, and nothing needs to be named."""

from pathlib import Path

import pytest

from winnow.errors import InputError
from winnow.run import outside
from winnow.run.settings import Settings
from winnow.sources import fingerprint


@pytest.fixture(autouse=True)
def corrections(workdir: Path) -> Path:
    """The file of decisions, where it is by default."""
    (workdir / "corrections.csv").write_text("id,decision,label\n")
    return workdir / "corrections.csv"


def known(**blocks: object) -> dict[str, dict[str, object]]:
    return outside.known(Settings.model_validate(blocks))


def test_a_project_that_names_nothing_depends_on_its_corrections_alone(corrections: Path) -> None:
    assert known() == {
        "prepare": {"corrections": fingerprint.content(corrections)},
        "embed": {"path": None, "class_names": None},
        "adapt": {"optimize.method": "winnow"},
        "evaluate": {"checkpoint": None, "tests": {}, "prepare.follow_links": False},
    }
    assert list(outside.paths("prepare", Settings())) == ["corrections.csv"]
    assert list(outside.paths("embed", Settings())) == []


def test_what_lies_at_a_path_counts_and_its_times_do_not(workdir: Path) -> None:
    for name in ("one", "two"):
        (workdir / name / "below").mkdir(parents=True)
        (workdir / name / "image.npy").write_text("x")
        (workdir / name / "below/text.npy").write_text("y")
    embed = {"source": "features", "path": "one"}
    first = known(embed=embed)["embed"]
    assert first["class_names"] is None
    assert known(embed=embed | {"path": "two"})["embed"] == first
    (workdir / "two/below/text.npy").rename(workdir / "two/below/other.npy")
    assert known(embed=embed | {"path": "two"})["embed"] != first
    (workdir / "one/image.npy").write_text("z")
    assert known(embed=embed)["embed"] != first


def test_names_of_classes_and_weights_count_unless_a_stage_made_them(workdir: Path) -> None:
    (workdir / "names.csv").write_text("a,b\n")
    (workdir / "weights").write_text("w")
    found = known(embed={"model": "ViT-B-16", "path": "weights", "class_names": "names.csv"})["embed"]
    assert found == {
        name: fingerprint.content(Path(at)) for name, at in {"path": "weights", "class_names": "names.csv"}.items()
    }
    made = {"path": "weights", "class_names": "./data/prepare/images/classes.json"}
    assert known(embed=made)["embed"]["class_names"] is None
    assert known(embed={"path": "weights", "pretrained": "openai"})["embed"]["path"] is None, "the hub's are read"


def test_every_encoder_of_several_counts(workdir: Path) -> None:
    for name in ("one", "two", "names.csv"):
        (workdir / name).write_text(name)
    others = [{"model": "timm:resnet18", "path": "two", "class_names": "names.csv"}]
    embed = {"model": "ViT-B-16", "path": "one", "others": others}
    found = known(embed=embed)["embed"]
    wanted = {name: fingerprint.content(Path(at)) for name, at in {"path": "two", "class_names": "names.csv"}.items()}
    assert found == {"path": fingerprint.content(Path("one")), "class_names": None, "others": [wanted]}
    read = list(outside.paths("embed", Settings.model_validate({"embed": embed})))
    assert read == ["one", "two", "names.csv"]
    (workdir / "two").unlink()
    with pytest.raises(InputError, match=r"embed\.others\.0\.path: two does not exist"):
        known(embed=embed)


@pytest.mark.parametrize(
    ("block", "key"),
    [("prepare", "corrections"), ("embed", "path"), ("embed", "class_names"), ("evaluate", "checkpoint")],
)
def test_what_is_named_must_exist(block: str, key: str) -> None:
    with pytest.raises(InputError, match=rf"^{block}\.{key}: gone does not exist"):
        known(**{block: {key: "gone"}})


def test_a_test_set_must_exist() -> None:
    with pytest.raises(InputError, match=r"^evaluate\.tests\.drawn: gone does not exist"):
        known(evaluate={"tests": {"drawn": "gone"}})


PIPELINE = """
stages:
  photos: {cmd: make, outs: [data/photos, weights.pt: {cache: false}]}
  prepare: {cmd: x, deps: [data/photos]}
  embed: {cmd: x, deps: [data]}
"""


@pytest.mark.parametrize("path", ["data/photos", "./data/photos/red", "data/../data/photos"])
def test_what_a_stage_makes_is_left_to_dvc(workdir: Path, path: str) -> None:
    (workdir / "dvc.yaml").write_text(PIPELINE)
    assert outside.maker(path, "prepare", "prepare.source") == "photos"
    assert outside.maker(str(workdir / path), "embed", "embed.path") == "photos"
    for other in ("data/photos2", "photos", "s3://bucket/data/photos", None):
        assert outside.maker(other, "prepare", "prepare.source") is None


@pytest.mark.parametrize(("path", "reader"), [("weights.pt", "prepare"), ("data/photos", "evaluate")])
def test_what_a_stage_makes_has_to_be_a_dependency_of_its_reader(workdir: Path, path: str, reader: str) -> None:
    (workdir / "dvc.yaml").write_text(PIPELINE)
    with pytest.raises(InputError, match=f"stage photos of dvc.yaml makes {path}; add it to the deps of .*{reader}"):
        outside.maker(path, reader, "a.key")


def test_the_checkpoint_and_tests_that_stages_make_are_named_by_these(workdir: Path) -> None:
    (workdir / "dvc.yaml").write_text(f"{PIPELINE}  evaluate: {{cmd: x, deps: [weights.pt, data/photos]}}\n")
    found = known(evaluate={"model": "resnet18", "checkpoint": "weights.pt", "tests": {"far": "data/photos"}})
    assert found["evaluate"]["checkpoint"] == found["evaluate"]["tests"]["far"] == "made by photos"


@pytest.mark.parametrize("text", ["stages: [", "[]", ""])
def test_a_pipeline_that_cannot_be_read_makes_nothing(workdir: Path, text: str) -> None:
    (workdir / "dvc.yaml").write_text(text)
    assert outside.maker("data/photos", "prepare", "prepare.source") is None


def test_defaults_of_keys_that_are_left_out_are_known() -> None:
    settings = Settings.model_validate({"optimize": {"keep": 0.5}})
    found = outside.defaults(settings, ["optimize", "base.seed", {"other.yaml": ["x"]}])
    assert found["optimize.method"] == "winnow"
    assert found["base.seed"] == 0
    assert "optimize.keep" not in found
    assert {name.partition(".")[0] for name in found} == {"optimize", "base"}
