"""The pages for contributors are followed step by step in a copy of the package; the files beside them are sound."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from support import ROOT

BLOCK = re.compile(r"^```(python|diff|sh)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PAGES = sorted((ROOT / "docs/contributing").glob("*.md"))


def follow(page: Path, project: Path) -> list[str]:
    """Do what a page says: write its files, apply its diffs, run its commands; the test files that it wrote."""
    (project / "winnow").symlink_to(ROOT / "winnow")
    blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
    if any(kind == "diff" or name.startswith("winnow/") for kind, name, _ in blocks):
        (project / "winnow").unlink()
        shutil.copytree(ROOT / "winnow", project / "winnow", ignore=shutil.ignore_patterns("__pycache__"))
    for kind, name, text in blocks:
        if kind == "python":
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            (project / name).write_text(text, encoding="utf-8")
        elif kind == "diff":
            (project / name).write_text(changed((project / name).read_text(encoding="utf-8"), text), encoding="utf-8")
        else:
            run(project, "bash", "-euc", text)
    return [name for kind, name, _ in blocks if kind == "python" and name.startswith("tests/")]


def changed(code: str, diff: str) -> str:
    """What a diff makes of code: one place for each of its parts, which `@@` divides."""
    for part in diff.split("@@\n"):
        lines = part.splitlines(keepends=True)
        before, after = ("".join(line[1:] or "\n" for line in lines if line[0] in kind) for kind in (" -\n", " +\n"))
        assert code.count(before) == 1, f"one place has to be like:\n{before}"
        code = code.replace(before, after)
    return code


def run(project: Path, *command: str) -> None:
    """Run a command with the package of the project, and the programs of this environment."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = os.environ | {"PYTHONPATH": str(project), "PATH": path}
    done = subprocess.run(command, cwd=project, env=env, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_steps_of_a_page_work(page: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    tests = follow(page, project)
    if page.stem == "encoder":
        lines = (project / "subset.csv").read_text().splitlines()
        assert len(lines) == 41
        assert sum("True" in line.split(",") for line in lines) == 20
    else:
        assert tests
        run(project, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests)


def test_the_pages_are_those_that_contributing_names() -> None:
    named = re.findall(r"\(docs/contributing/(\w+)\.md\)", (ROOT / "CONTRIBUTING.md").read_text())
    assert sorted(named) == [page.stem for page in PAGES] == ["baseline", "encoder", "method", "source"]


def test_the_files_that_hosts_read_are_sound() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    assert [step["run"] for step in workflow["jobs"]["run"]["steps"] if "run" in step][-1] == ".ci/run"
    for form in ("bug", "idea"):
        read = yaml.safe_load((ROOT / f".github/ISSUE_TEMPLATE/{form}.yml").read_text())
        assert {"name", "description", "body"} <= set(read)
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["preferred-citation"]["title"].startswith("A CLIP-Powered Framework")
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repository["repo"] for repository in hooks] == ["local"], "nothing is downloaded"
    for hook in hooks[0]["hooks"]:
        assert hook["entry"].split()[0] in (".venv/bin/ruff", ".venv/bin/mypy")


def test_the_newest_entry_of_the_changelog_is_this_version() -> None:
    versions = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    declared = re.search(r'^__version__ = "(.*)"$', (ROOT / "winnow/__init__.py").read_text(), re.MULTILINE)
    assert declared
    assert declared[1] == next(name for name in versions if name != "Unreleased")
    assert declared[1] == yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"]
    assert f"git tag --annotate v{declared[1]} " in (ROOT / "CONTRIBUTING.md").read_text()
