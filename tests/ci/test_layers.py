"""Imports point down only: flows, tasks, winnow."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import ROOT


def imported(path: Path) -> Iterator[str]:
    """The top-level packages that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (one.name.split(".")[0] for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").split(".")[0]


@pytest.mark.parametrize(("layer", "above"), [("winnow", {"flows", "tasks"}), ("tasks", {"flows"})])
def test_imports_point_down(layer: str, above: set[str]) -> None:
    modules = list((ROOT / layer).rglob("*.py"))
    assert len(modules) > 10
    assert [str(path) for path in modules if above & set(imported(path))] == []


def test_a_stage_has_one_name_everywhere() -> None:
    flows, tasks = ({path.stem for path in (ROOT / layer).glob("[a-z]*.py")} for layer in ("flows", "tasks"))
    assert flows - tasks == {"refresh", "reproduce", "evaluate_grid"}
    assert tasks <= flows


def test_what_a_user_owns_is_short() -> None:
    assert (
        sum(len(p.read_text().splitlines()) for layer in ("flows", "tasks") for p in (ROOT / layer).glob("*.py")) < 1000
    )
