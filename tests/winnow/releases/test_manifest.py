"""A manifest of a stranger opens, or is refused with its file and key; so are the tables that lie beside it."""

import importlib.util
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import ROOT
from typer.testing import CliRunner

from winnow.cli import show
from winnow.cli.main import app
from winnow.errors import InputError
from winnow.files.json_files import read_json, write_json
from winnow.releases import assemble as releasing
from winnow.releases import diff, manifest, verify

Spoil = Callable[[dict[str, Any]], object]


def refusal(folder: Path) -> str:
    with pytest.raises(InputError) as error:
        manifest.load(folder)
    return str(error.value)


def put(*keys: str, value: object) -> Spoil:
    """Set a key of a manifest."""

    def spoil(made: dict[str, Any]) -> None:
        for key in keys[:-1]:
            made = made[key]
        made[keys[-1]] = value

    return spoil


def test_a_manifest_states_what_its_file_does(released: Path) -> None:
    assert manifest.load(released).manifest.stated() == read_json(released / "manifest.json")


def test_a_manifest_of_an_earlier_or_later_winnow_opens(released: Path) -> None:
    made = read_json(released / "manifest.json")
    del made["license"], made["corrections"]
    write_json(released / "manifest.json", made | {"new": {"of": ["a later", 1]}})
    opened = manifest.load(released).manifest
    assert (opened.license, opened.corrections) == (None, {})
    assert verify.run(manifest.load(released)) == []


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (put("files", value=["ids.txt"]), "files: Input should be a valid dictionary"),
        (put("files", value=5), "files: Input should be a valid dictionary"),
        (put("files", "ids.txt", value="ab"), "files.ids.txt: String should match pattern"),
        (put("files", "../../secret", value="0" * 64), "it names no file within the release"),
        (put("files", "/etc/passwd", value="0" * 64), "it names no file within the release"),
        (put("files", "a/./b", value="0" * 64), "it names no file within the release"),
        (put("files", "manifest.json", value="0" * 64), "it names no file within the release"),
        (put("files", "x" * 5_000, value="0" * 64), "files.xxx"),
        (put("files", "a\nb", value="0" * 64), "it has a line break in it (U+000A)"),
        (put("files", value={f"{i}": "0" * 64 for i in range(10_001)}), "files: Dictionary should have at most 10000"),
        (lambda made: made.pop("pool"), "pool: Field required"),
        (lambda made: made["results"]["accuracy"].pop("random"), "results.accuracy.random: Field required"),
        (put("pool", "samples", value="24"), "pool.samples: Input should be a valid integer"),
        (put("pool", "samples", value=-1), "pool.samples: Input should be greater than or equal to 0"),
        (put("pool", "samples", value=10**300), "pool.samples: Input should be less than or equal to"),
        (put("classes", value={}), "classes: Input should be a valid list"),
        (put("classes", value=["a"]), "class_counts has not the classes of classes"),
        (put("name", value="\x1b[2J"), "name: it has an escape in it"),
        (put("name", value="x" * 5_000), "name: String should have at most 1024 characters"),
        (put("name", value="\ud800"), "name is not UTF-8"),
        (put("encoder", "a", value=["\udfff"]), "encoder.a.0 is not UTF-8"),
        (put("encoder", "\udfff", value=1), r"encoder.\udfff is not UTF-8"),
        (put("parameters", "optimize", "keep", value=float("nan")), "parameters.optimize.keep"),
        (put("parameters", "embed", value=[]), "parameters.embed: Input should be a valid dictionary"),
        (put("x", value=json.loads("[" * 500 + "]" * 500)), "x.list.0.list"),
        (put("parameters", value=None), "parameters: Input should be"),
        (put("results", "accuracy", "subset", "mean", value=float("inf")), "results.accuracy.subset.mean"),
    ],
)
def test_a_malformed_manifest_is_refused_with_its_key(released: Path, spoil: Spoil, words: str) -> None:
    made = read_json(released / "manifest.json")
    spoil(made)
    (released / "manifest.json").write_text(json.dumps(made))
    said = refusal(released)
    assert said.startswith(f"{released / 'manifest.json'} is not the manifest of a release: ")
    assert words in said
    assert len(said) < 1_000


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[" * 100_000, "nested too deeply"),
        (b'{"format": 2, "format": 2}', "the key 'format' occurs twice"),
        (b"\xff\xfe{}", "not UTF-8"),
        (b"", "is not JSON"),
        (b"NaN", "valid dictionary"),
        (b"[]", "valid dictionary"),
        (b"2", "valid dictionary"),
        (b'{"format": [2]}', "format: Input should be 2"),
        (b'{"format": "2"}', "format: Input should be 2"),
        (b'{"format": 1}', "is a release of format 1"),
        (b" " * (manifest.LARGEST + 1), "is larger than"),
    ],
)
def test_what_is_no_manifest_is_refused(released: Path, content: bytes, words: str) -> None:
    (released / "manifest.json").write_bytes(content)
    assert words in refusal(released)


def link(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("place", [Path.mkdir, os.mkfifo, link])
def test_what_is_no_file_is_no_manifest_or_table(released: Path, place: Callable[[Path], object]) -> None:
    (released / "scores.parquet").unlink()
    place(released / "scores.parquet")
    with pytest.raises(InputError, match=r"scores\.parquet is missing"):
        _ = manifest.load(released).scores
    (released / "manifest.json").unlink()
    place(released / "manifest.json")
    assert "holds no release" in refusal(released)


@pytest.mark.parametrize("command", ["show", "verify", "export", "diff", "record"])
def test_every_command_refuses_it_with_exit_code_2(released: Path, workdir: Path, command: str) -> None:
    (released / "manifest.json").write_text('{"format": 2, "\\u001b[2J": "\\u001b[2J", "files": [1, 2]}')
    folder = str(released)
    arguments = {
        "show": ["show", folder],
        "export": ["export", folder, "--format", "ids", "--out", "out"],
        "diff": ["release", "diff", folder, folder],
    }.get(command, ["release", command, folder])
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2, done.output
    assert f"winnow: {released / 'manifest.json'} is not the manifest of a release: name: Field required" in done.stderr
    assert "\x1b" not in done.output
    assert "Traceback" not in done.output


def change(released: Path, **columns: object) -> None:
    path = released / "scores.parquet"
    pd.read_parquet(path).assign(**columns).to_parquet(path, index=False)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"id": 5}, "id is int64"),
        ({"id": [["a"]] * 24}, "id is object"),
        ({"id": [None, *"bcdefghijklmnopqrstuvwx"]}, "perhaps with gaps, and should hold text"),
        ({"id": "a"}, "the id 'a' occurs twice"),
        ({"id": ["\x1b[2J", *map(str, range(23))]}, r"the name '\x1b[2J' has an escape in it"),
        ({"selected": 1.0}, "selected is float64"),
        ({"selected": [None, *[True] * 23]}, "and should hold true and false"),
        ({"label": 99}, "a label is none of the classes"),
        ({"label": "red"}, "label is str"),
        ({"alignment": "high"}, "alignment is str"),
        ({"sha256": b"ab"}, "sha256 is object"),
    ],
)
def test_a_table_of_scores_that_is_none_is_refused_with_its_column(
    released: Path, columns: dict[str, object], words: str
) -> None:
    change(released, **columns)
    with pytest.raises(InputError) as error:
        _ = manifest.load(released).scores
    assert str(error.value).startswith(f"{released / 'scores.parquet'}: ")
    assert words in str(error.value)


def test_a_damaged_table_is_refused(released: Path) -> None:
    path = released / "scores.parquet"
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(60):
        spoilt = bytearray(data)
        for place in rng.integers(0, len(data), 5):
            spoilt[place] ^= int(rng.integers(1, 256))
        path.write_bytes(bytes(spoilt[: int(rng.integers(1, len(data) + 1))]))
        said, columns = "", set(manifest.COLUMNS)
        try:
            columns = set(manifest.load(released).scores.columns)
        except InputError as error:
            said = str(error)
        assert said.startswith(f"{path}") or not said
        assert columns >= set(manifest.COLUMNS)


def test_a_table_that_unpacks_to_more_rows_than_it_has_bytes_is_not_read(released: Path) -> None:
    path = released / "scores.parquet"
    pq.write_table(pa.table({"id": pa.array(np.zeros(10_000_000, np.int8)).dictionary_encode()}), path)
    assert path.stat().st_size < 10_000_000
    with pytest.raises(InputError, match="more rows than bytes"):
        _ = manifest.load(released).scores


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "cannot be read"),
        ("arm,seed\nsubset,0\n", "has no column 'accuracy'"),
        ("arm,seed,accuracy\nsubset,0,high\n", "accuracy should hold numbers"),
        ("arm,seed,accuracy\nsubset,first,0.5\n", "seed should hold numbers"),
        ("\x00\xff", "cannot be read"),
    ],
)
def test_a_table_of_trainings_that_is_none_is_refused(released: Path, content: str, words: str) -> None:
    (released / "accuracy.csv").write_text(content, encoding="latin-1")
    with pytest.raises(InputError) as error:
        releasing.version(released, {})
    assert words in str(error.value)
    assert "accuracy.csv" in str(error.value)


def test_the_schema_is_published_as_it_is() -> None:
    code = importlib.util.spec_from_file_location("schema", ROOT / ".ci/schema.py")
    assert code
    assert code.loader
    schema = importlib.util.module_from_spec(code)
    code.loader.exec_module(schema)
    assert schema.PLACE.read_text() == schema.text(), "python .ci/schema.py writes it anew"


TEXT = st.text(st.characters(exclude_categories=()), max_size=8)  # halves of surrogate pairs too
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


def paths(tree: dict[str, Any], above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    return [
        place
        for key, value in tree.items()
        for place in [(*above, key), *(paths(value, (*above, key)) if isinstance(value, dict) else [])]
    ]


@pytest.fixture(scope="module")
def template(photo_stages: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release whose manifest a test may spoil, again and again."""
    return Path(shutil.copytree(photo_stages / "release", tmp_path_factory.mktemp("manifest") / "release"))


@settings(max_examples=300, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_json_opens_or_is_refused(template: Path, photo_stages: Path, data: st.DataObject) -> None:
    made = read_json(photo_stages / "release/manifest.json")
    place = data.draw(st.sampled_from([(), *paths(made)]))
    value = data.draw(JSON)
    if place:
        put(*place, value=value)(made)
    (template / "manifest.json").write_text(json.dumps(made if place else value))
    opened, said = None, ""
    try:
        opened = manifest.load(template)
    except InputError as error:
        said = str(error)
    assert said.startswith(str(template)) == (opened is None)
    if opened is None:
        return
    show.describe(template)
    assert diff.compare(opened, opened)["classes"] == {}
    assert isinstance(verify.run(opened), list)


@pytest.mark.parametrize("name", ["ids.txt", "figures/classes.png", "more", "manifest.json"])
def test_a_link_out_of_a_release_is_not_followed(released: Path, workdir: Path, name: str) -> None:
    (workdir / "elsewhere").write_text("password\n")
    (released / name).unlink(missing_ok=True)
    (released / name).symlink_to(workdir / "elsewhere")
    for command in (["release", "verify"], ["show"]):
        done = CliRunner().invoke(app, [*command, str(released)])
        assert done.exit_code == 2, done.output
        assert f"{released / name} is a link that leads out of the release" in done.stderr
        assert "password" not in done.output


def test_links_within_a_release_and_into_a_cache_of_dvc_are_followed(released: Path, workdir: Path) -> None:
    cached = workdir / f"cache/files/md5/ab/{30 * 'c'}"
    cached.parent.mkdir(parents=True)
    (released / "ids.txt").rename(cached)
    (released / "ids.txt").symlink_to(cached)
    (released / "card.md").rename(released / "figures/card.md")
    (released / "card.md").symlink_to("figures/card.md")
    assert manifest.load(released).manifest.name == "photos"
