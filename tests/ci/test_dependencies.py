"""dvc.yaml names, for each stage, its code and every parameter that it reads.

Where it forgets one, a change gives other bytes while `dvc repro` says "up to date".
"""

import ast
from typing import Any

import pytest
from ruamel.yaml import YAML
from support import ROOT

from winnow.run import outside
from winnow.run.settings import Block, Settings

PIPELINE: dict[str, dict[str, Any]] = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]


@pytest.mark.parametrize("stage", PIPELINE)
def test_every_stage_depends_on_its_code_and_on_no_single_module(stage: str) -> None:
    assert PIPELINE[stage]["cmd"] == f"python -m flows.{stage}"
    deps = PIPELINE[stage].get("deps", [])
    assert stage == "source" or f"data/source/code/{stage}.json" in deps
    assert [name for name in deps if not name.startswith("data/")] == []


@pytest.mark.parametrize("stage", PIPELINE)
def test_every_parameter_that_a_stage_reads_is_named(stage: str) -> None:
    params = [*PIPELINE[stage].get("params", []), *outside.KEYS.get(stage, [])]
    assert stage not in outside.KEYS or f"data/source/{stage}.json" in PIPELINE[stage]["deps"]
    tree = ast.parse((ROOT / f"flows/{stage}.py").read_text())
    read = {
        ast.unparse(node).removeprefix("settings.")
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node).startswith("settings.") and stage != "source"
    }
    assert [
        key
        for key in sorted(read)
        if not any(f"{key}.".startswith(f"{named}.") for named in params)
        and not any(named.startswith(f"{key}.") for named in params)
    ] == []


def test_params_yaml_has_a_value_for_every_parameter() -> None:
    """DVC sees values in params.yaml alone: a default that only the code has could change unseen."""
    given = YAML(typ="safe").load(ROOT / "params.yaml")
    for block, kind in Settings.model_fields.items():
        assert kind.annotation
        assert issubclass(kind.annotation, Block)
        assert set(given[block]) == set(kind.annotation.model_fields), block
