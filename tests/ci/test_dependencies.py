"""dvc.yaml names all code that the results of a stage depend on, and every parameter that the stage reads.

Where it forgets a module, a change of that module gives other bytes while `dvc repro` says "up to date".
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from support import ROOT

from winnow.run import outside
from winnow.run.settings import Block, Settings

PIPELINE: dict[str, dict[str, Any]] = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
STAGES = [name for name, stage in PIPELINE.items() if not stage.get("always_changed")]  # the others run every time
PACKAGES = ("flows", "tasks", "winnow")

# What a stage imports though it changes no byte of a result, each with the reason. What only these import is not
# followed: it serves them.
PLUMBING = {
    "flows/__init__.py": "prepares the environment",
    "tasks/__init__.py": "says where data is",
    "winnow/__init__.py": "names what Python programs import",
    "winnow/extras.py": "says which extra installs a package",
    "winnow/terminal/bars.py": "shows progress",
    "winnow/arguments.py": "checks what Python programs give",
    "winnow/releases/diff.py": "is for programs that read a release",
    "winnow/releases/export.py": "is for programs that read a release",
    "winnow/releases/formats.py": "is for programs that read a release",
    "winnow/releases/verify.py": "is for programs that read a release",
    "winnow/run/decorators.py": "makes functions tasks",
    "winnow/run/cell_runs.py": "waits for cells, and says what came out",
    "winnow/compute/device.py": "picks the GPU, which is the machine's",
    "winnow/run/run_log.py": "keeps logs",
    "winnow/run/progress.py": "prints progress",
    "winnow/run/stage.py": "runs the flow",
    "winnow/run/settings.py": "checks parameters; dvc.yaml names those a stage reads, and params.yaml has them all",
    "winnow/run/__init__.py": "says when the process began",
    "winnow/run/environment.py": "switches telemetry off",
    "winnow/run/home.py": "says where a home is",
    "winnow/errors.py": "ends a stage, which then has no result",
    "winnow/files/locks.py": "makes one process wait for another",
    "winnow/files/marks.py": "tells which pieces of a stage are finished",
    "winnow/run/pipeline.py": "runs DVC, and hashes a release for its tags in MLflow",
    "winnow/reach.py": "asks whether a server answers",
    "winnow/terminal/redact.py": "takes secrets out of messages",
    "winnow/terminal/say.py": "prints",
    "winnow/repository.py": "asks Git which commit this is, for tags in MLflow",
}


@pytest.mark.parametrize("stage", STAGES)
def test_every_module_that_a_stage_imports_is_a_dependency(stage: str) -> None:
    reached = reached_from(ROOT, f"flows/{stage}.py")
    forgotten = [f"{name} (by way of {reached[name]})" for name in reached if not covered(name, code_of(stage))]
    assert not forgotten, (
        f"dvc.yaml: the stage {stage} imports {', '.join(forgotten)}, which is not in its deps; add it there, or to "
        f"PLUMBING in {Path(__file__).name} if it changes no byte of a result"
    )


@pytest.mark.parametrize("stage", STAGES)
def test_no_dependency_is_idle(stage: str) -> None:
    """A module that the stage no longer imports would make it run for nothing."""
    reached = reached_from(ROOT, f"flows/{stage}.py")
    assert [name for name in code_of(stage) if not any(covered(module, [name]) for module in reached)] == []


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


def test_plumbing_is_there() -> None:
    assert [name for name in PLUMBING if not (ROOT / name).is_file()] == []


def test_what_a_module_brings_with_it(tmp_path: Path) -> None:
    for name, text in {
        "flows/__init__.py": "",
        "flows/one.py": "import os\nfrom winnow import above\nif TYPE_CHECKING:\n    from winnow import typed\n",
        "flows/two.py": "from winnow import other\n",
        "winnow/__init__.py": '"""Only words."""\n',
        "winnow/above.py": "def work():\n    import winnow.room.below\n    return CONTEXT / 'table.json'\n",
        "winnow/table.json": "{}",
        "winnow/other.json": "{}",
        "winnow/room/__init__.py": "from winnow.beside import x\n",
        "winnow/room/below.py": "from flows import two\nif two.x:\n    from winnow.room.last import y\n",
        "winnow/room/last.py": "from winnow.terminal.redact import redact\n",
        "winnow/terminal/redact.py": "from winnow import hidden\n",
        **{f"winnow/{name}.py": "" for name in ("typed", "other", "beside", "hidden")},
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    reached = reached_from(tmp_path, "flows/one.py")
    assert sorted(reached) == [
        "flows/one.py",
        "flows/two.py",
        "winnow/above.py",
        "winnow/beside.py",
        "winnow/other.py",
        "winnow/room/__init__.py",
        "winnow/room/below.py",
        "winnow/room/last.py",
        "winnow/table.json",
    ]
    assert reached["winnow/beside.py"] == "winnow/room/__init__.py"


def code_of(stage: str) -> list[str]:
    """The dependencies of a stage that are code."""
    return [name for name in PIPELINE[stage]["deps"] if name.split("/")[0] in PACKAGES]


def covered(module: str, names: list[str]) -> bool:
    """Whether a module is named, by itself or by a folder that it is in."""
    return any(module == name or module.startswith(f"{name}/") for name in names)


def reached_from(root: Path, start: str) -> dict[str, str]:
    """Every module of the project that `start` imports, however far down, and files that they read beside themselves.

    Gives for each the one that brought it. Plumbing, and packages with nothing in their `__init__`, are left out.
    """
    found, waiting = {start: start}, [start]
    while waiting:
        importer = waiting.pop()
        for name in brought(root, importer):
            if name not in found:
                found[name] = importer
                waiting += [] if name in PLUMBING else [name]
    return {name: by for name, by in found.items() if name not in PLUMBING and body(root / name)}


def brought(root: Path, name: str) -> Iterator[str]:
    """What a module imports, wherever in it, and the files in its folder that it names."""
    path = root / name
    text = path.read_text()
    for beside in path.parent.rglob("*"):
        if beside.is_file() and beside.suffix not in (".py", ".pyc") and beside.name in text:
            yield beside.relative_to(root).as_posix()
    if path.suffix != ".py":
        return
    tree = ast.parse(text)
    for_types = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)]
    unused = {id(node) for block in for_types for part in block.body for node in ast.walk(part)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom) and id(node) not in unused:
            for module in imported(node):
                yield from run_by(root, module)


def imported(node: ast.Import | ast.ImportFrom) -> list[str]:
    """The modules that an import may name."""
    if isinstance(node, ast.Import):
        return [one.name for one in node.names]
    assert node.module
    assert not node.level, "imports here are absolute"
    return [node.module, *(f"{node.module}.{one.name}" for one in node.names)]


def run_by(root: Path, module: str) -> Iterator[str]:
    """The files that run when a module is imported: its own, and those of the packages that it is in."""
    parts = module.split(".")
    for count in range(1, len(parts) + 1):
        place = "/".join(parts[:count])
        for name in (f"{place}.py", f"{place}/__init__.py"):
            if parts[0] in PACKAGES and (root / name).is_file():
                yield name


def body(path: Path) -> bool:
    """Whether there is more in a package's `__init__` than words about it."""
    if path.name != "__init__.py":
        return True
    return any(not isinstance(part, ast.Expr) for part in ast.parse(path.read_text()).body)
