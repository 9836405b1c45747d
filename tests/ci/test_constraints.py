"""What is installed is pinned, by version and by hash."""

import importlib.util
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from support import ROOT

SPEC = importlib.util.spec_from_file_location("constraints", ROOT / ".ci/constraints.py")
constraints = importlib.util.module_from_spec(SPEC)  # type: ignore[arg-type]
SPEC.loader.exec_module(constraints)  # type: ignore[union-attr]
BLOCK = re.compile(r"^(\S+==\S+)( ; .+)?((?: \\\n    --hash=sha256:[0-9a-f]{64})+)\n", re.MULTILINE)
APART = {"mutmut", "libcst"}  # `make mutants` installs them elsewhere


def file(name: str, digest: str, **more: object) -> dict[str, object]:
    return {"filename": name, "hashes": {"sha256": digest}, **more}


def test_the_lock_has_a_hash_of_each_pinned_version_and_of_all_that_the_project_needs() -> None:
    text = (ROOT / "requirements.lock").read_text()
    locked = {head for head, _, _ in BLOCK.findall(text)}
    assert BLOCK.sub("", text) == constraints.HEAD, "nothing else is in it"
    pins = constraints.read((ROOT / "constraints.txt").read_text())
    assert locked == {f"{name}=={version}" for name, version in pins if name not in APART}, "run `make constraints`"
    names = {canonicalize_name(head.partition("==")[0]) for head in locked}
    assert set(constraints.needed(constraints.PROJECT)) == names, "run `make constraints`"


def test_pinned_versions_are_in_the_range_that_the_project_asks_for() -> None:
    pins = {
        canonicalize_name(name): version for name, version in constraints.read((ROOT / "constraints.txt").read_text())
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for line in project["dependencies"]:
        need = Requirement(line)
        assert need.specifier.contains(pins[canonicalize_name(need.name)]), line


def test_only_linux_gets_the_libraries_of_cuda() -> None:
    marks = constraints.needed(constraints.PROJECT)
    assert marks["numpy"] == ""
    assert marks["triton"] == 'sys_platform == "linux"'


@pytest.mark.parametrize(
    ("name", "use"),
    [
        ("a-1.0.tar.gz", True),
        ("a-1.0-py3-none-any.whl", True),
        ("a-1.0-py2.py3-none-any.whl", True),
        ("a-1.0-cp311-cp311-manylinux_2_28_x86_64.whl", True),
        ("a-1.0-cp314-cp314-macosx_11_0_arm64.whl", True),
        ("a-1.0-cp39-abi3-manylinux_2_17_aarch64.manylinux2014_aarch64.whl", True),
        ("a-1.0-cp310-cp310-manylinux_2_28_x86_64.whl", False),
        ("a-1.0-cp314-cp314t-manylinux_2_28_x86_64.whl", False),
        ("a-1.0-cp311-cp311-win_amd64.whl", False),
        ("a-1.0-pp311-pypy311_pp73-manylinux_2_28_x86_64.whl", False),
        ("a-1.1.tar.gz", False),
        ("a-1.0.exe", False),
    ],
)
def test_files_of_the_systems_that_winnow_runs_on_are_used(name: str, use: bool) -> None:
    assert constraints.usable(name, "1.0") is use


def test_a_package_is_its_version_its_marker_and_its_hashes_in_order() -> None:
    files = [
        file("a-1.0.tar.gz", "b"),
        file("a-1.0-py3-none-any.whl", "a"),
        file("a-1.0-1-py3-none-any.whl", "c", yanked="bad"),
    ]
    digests = constraints.hashes(files, "a", "1.0")
    assert digests == ["a", "b"]
    text = constraints.block("a", "1.0", 'sys_platform == "linux"', digests)
    assert text == 'a==1.0 ; sys_platform == "linux" \\\n    --hash=sha256:a \\\n    --hash=sha256:b\n'
    with pytest.raises(SystemExit, match="the index has no file of a 2"):
        constraints.hashes(files, "a", "2")


def test_new_versions_keep_the_spelling_and_the_order() -> None:
    pins = [("Flask-WTF", "1"), ("zipp", "2")]
    assert constraints.merged(pins, {"flask_wtf": "3", "numpy": "4"}) == [
        ("Flask-WTF", "3"),
        ("numpy", "4"),
        ("zipp", "2"),
    ]


def test_make_says_that_no_python_is_new_enough(tmp_path: Path) -> None:
    for name in ("make", "sh", "touch", "sed"):
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")  # what a Python that is too old answers
    old.chmod(0o755)
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    done = subprocess.run(
        [tmp_path / "make", "demo"],
        cwd=tmp_path,
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "Winnow needs Python 3.11.4 or newer, and none is on the path" in done.stderr


def test_the_pythons_that_are_named_are_those_that_ci_runs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = re.findall(r"Python :: (3\.[0-9]+)", " ".join(project["classifiers"]))
    workflow = (ROOT / ".github/workflows/ci.yml").read_text()
    assert f"python: {named}".replace("'", '"') in workflow
    assert f"tested with {', '.join(named[:-1])} and {named[-1]}" in (ROOT / "README.md").read_text()
