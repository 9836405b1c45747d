"""A package that an extra installs is asked for in one line, and what few need is imported by those alone."""

import subprocess
import sys
import tomllib

import pytest
from packaging.requirements import Requirement
from support import ROOT

from winnow import extras
from winnow.errors import InputError

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
RARE = {"bench": ["cleanlab"], "demo": ["mlxtend"], "s3": ["dvc-s3"]}


def test_a_package_that_is_there_is_imported() -> None:
    assert extras.load("json.decoder", "bench").JSONDecoder


@pytest.mark.parametrize("ask", [extras.load, extras.check])
def test_a_missing_package_is_one_line_that_says_how_to_get_it(ask: object) -> None:
    with pytest.raises(InputError) as error:
        ask("no_such_package", "bench")  # type: ignore[operator]
    assert str(error.value) == "this needs the package no_such_package: pip install 'winnow-images[bench]'"


def test_what_few_need_is_no_plain_dependency_and_developers_get_it() -> None:
    plain = {Requirement(line).name for line in PROJECT["dependencies"]}
    for extra, packages in RARE.items():
        assert [Requirement(line).name for line in PROJECT["optional-dependencies"][extra]] == packages
        assert not plain & set(packages)
    asked = Requirement(PROJECT["optional-dependencies"]["dev"][0])
    assert (asked.name, asked.extras) == (extras.DISTRIBUTION, set(RARE))


def test_the_command_and_the_stages_do_without_what_few_need() -> None:
    """As in an environment without the extras."""
    hide = "import sys; sys.modules.update(dict.fromkeys(['cleanlab', 'mlxtend', 's3fs', 'dvc_s3', 'webdataset']))"
    modules = "winnow.cli.main, winnow.bench.run, winnow.images.prepare, winnow.selection.select, winnow.sample.digits"
    done = subprocess.run(
        [sys.executable, "-c", f"{hide}; import {modules}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
