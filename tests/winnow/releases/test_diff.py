"""What changed from one release to another is said with its reason: in the terminal, as JSON and as a page."""

import json
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from dvc.scm import SCM
from typer.testing import CliRunner

from winnow.cli.main import app
from winnow.errors import InputError
from winnow.files.json_files import read_json, write_json
from winnow.releases import diff, manifest, versions
from winnow.repository import git


@pytest.fixture
def pair(released: Path) -> tuple[Path, Path]:
    """Two releases of a pool that changed in each way."""
    after = Path(shutil.copytree(released, released.with_name("after")))
    table = pd.read_parquet(after / "scores.parquet").set_index("id", drop=False)
    kept, dropped = (list(table.index[table["selected"] == selected]) for selected in (True, False))
    table.loc[kept[0], ["selected", "reason"]] = False, "suspected label"
    table.loc[kept[1], ["selected", "reason"]] = False, "redundant"
    table.loc[dropped[0], ["selected", "reason"]] = True, ""  # a suspected label, of which there is one
    table.loc[kept[3], "class_name"] = "<script>alert(1)</script>"
    table.loc[kept[4], "sha256"] = "0" * 64
    table["alignment"] += 1.0
    new = table.loc[[kept[5]]].assign(id="new/1.png")
    pd.concat([table.drop(kept[2]), new]).to_parquet(after / "scores.parquet", index=False)
    made = read_json(after / "manifest.json")
    made["parameters"]["optimize"]["keep"] = 0.7
    made["encoder"]["weights_sha256"] = "cd"
    made["class_counts"]["red"]["kept"] += 1
    made["results"]["accuracy"]["subset"]["mean"] = 0.75
    write_json(after / "manifest.json", made)
    return released, after


def test_every_change_is_found_with_its_reason(pair: tuple[Path, Path]) -> None:
    found = diff.compare(*map(manifest.load, pair))
    table = manifest.load(pair[0]).scores
    kept, dropped = table.loc[table["selected"], "id"].tolist(), table.loc[~table["selected"], "id"].tolist()
    assert found["samples"]["dropped"] == {
        "newly suspected label": [kept[0]],
        "no longer in the data": [kept[2]],
        "now redundant": [kept[1]],
    }
    assert found["samples"]["added"] == {"label no longer suspected": [dropped[0]], "new data": ["new/1.png"]}
    assert (found["samples"]["kept_by_both"], found["samples"]["new_in_pool"]) == (13, 1)
    assert [row["id"] for row in found["relabelled"]] == [kept[3]]
    assert found["images_changed"] == [kept[4]]
    assert (found["score_drift"]["median_size"], found["score_drift"]["rank_correlation"]) == (1.0, pytest.approx(1.0))
    assert found["parameters"] == {"optimize.keep": {"before": 0.5, "after": 0.7}}
    assert found["encoder"] == {"weights_sha256": {"before": "ab", "after": "cd"}}
    assert list(found["classes"]) == ["red"]
    assert found["accuracy"]["this subset"]["after"]["mean"] == 0.75


def test_a_release_does_not_differ_from_itself(released: Path) -> None:
    found = diff.compare(manifest.load(released), manifest.load(released))
    assert (found["samples"]["added"], found["samples"]["dropped"]) == ({}, {})
    assert not any(found[part] for part in ("relabelled", "images_changed", "classes", "parameters", "encoder"))


def test_the_command_prints_json_and_writes_a_page_that_is_escaped(pair: tuple[Path, Path], workdir: Path) -> None:
    command = ["release", "diff", *map(str, pair)]
    shown = CliRunner().invoke(app, command)
    assert shown.exit_code == 0, shown.output
    assert "dropped 3: 1 newly suspected label, 1 no longer in the data, 1 now redundant" in shown.output
    done = CliRunner().invoke(app, [*command, "--json", "--page", "diff.html"])
    assert json.loads(done.output) == diff.compare(*map(manifest.load, pair))
    page = (workdir / "diff.html").read_text()
    assert "&lt;script&gt;alert(1)" in page
    assert "<script" not in page
    assert "newly suspected label" in page


def test_what_is_neither_folder_nor_revision_is_refused(released: Path) -> None:
    done = CliRunner().invoke(app, ["release", "diff", "v9.9.9", str(released)])
    assert done.exit_code == 2
    assert isinstance(done.exception, SystemExit)


def test_a_revision_that_begins_with_a_dash_is_refused(workdir: Path) -> None:
    with (
        pytest.raises(InputError, match="--upload-pack=x is not a folder, version or Git revision"),
        versions.opened("--upload-pack=x"),
    ):
        pass


COMMIT = ["-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-q", "--allow-empty", "-m"]


def test_a_version_of_the_code_is_not_taken_for_one_of_a_subset(workdir: Path) -> None:
    for command in (["init", "-q"], [*COMMIT, "one"], ["tag", "v0.2.0"], [*COMMIT, "two"], ["tag", "subset@v1.0.0"]):
        subprocess.run(["git", *command], check=True)
    assert versions._revision("1.0.0") == versions._revision("v1.0.0") == "subset@v1.0.0"
    for name in ("v0.2.0", "0.2.0"):
        with pytest.raises(InputError, match=rf"no version {name} of a subset \(a Git tag such as subset@v0\.2\.0\)"):
            versions._revision(name)
    code = versions._revision("refs/tags/v0.2.0")
    assert SCM(".").resolve_rev(code) == git("rev-parse", "HEAD~1").strip()
