"""A stage depends on what it imports, however far down, and on nothing else."""

from pathlib import Path

import pytest
from support import ROOT

from winnow.errors import InputError
from winnow.run import closure

HELPERS = [
    ("winnow/selection/ranking.py", {"optimize"}),
    ("winnow/selection/heads.py", {"adapt", "score"}),
    ("winnow/files/outputs.py", {"sample", "pretrain", "source", "prepare", "embed", "adapt", "score", "optimize"}),
    ("winnow/reports/templates/report.html.jinja", {"release"}),
    ("winnow/releases/croissant.context.json", {"release"}),
    ("winnow/sample/digits.py", {"sample", "pretrain"}),
    ("winnow/terminal/say.py", set()),
    ("winnow/run/progress.py", set()),
]


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project, and beside it a Winnow that is installed."""
    code = {
        "flows/__init__.py": "",
        "flows/one.py": "import os\nfrom winnow import above\nif TYPE_CHECKING:\n    from winnow import typed\n",
        "flows/two.py": "import helpers\nfrom . import three\nfrom ..other import x\n",
        "flows/three.py": "from .below.four import y\n",
        "flows/below/four.py": "",
        "helpers.py": "import json\nNAME = 'image.png'\n",
        "image.png": "",
    }
    installed = {
        "winnow/__init__.py": "from winnow import hidden\n",
        "winnow/above.py": "def work():\n    import winnow.room.below\n    return CONTEXT / 'table.json'\n",
        "winnow/table.json": "{}",
        "winnow/other.json": "{}",
        "winnow/room/__init__.py": "from winnow.beside import x\n",
        "winnow/room/below.py": "from flows import two\nif two.x:\n    from winnow.room.last import y\n",
        "winnow/room/last.py": "from winnow.terminal.redact import redact\n",
        "winnow/terminal/redact.py": "from winnow import hidden\n",
        "winnow/beside.py": "if TYPE_CHECKING:\n    import winnow.typed\nelse:\n    import winnow.untyped\n",
        **{f"winnow/{name}.py": "" for name in ("typed", "untyped", "hidden")},
    }
    write(tmp_path / "project", **code)
    write(tmp_path / "site", **installed)
    return tmp_path / "project"


def test_what_a_module_brings_with_it(project: Path) -> None:
    found = closure.reached("flows/one.py", project, project.parent / "site")
    assert sorted(found) == [
        "flows/below/four.py",
        "flows/one.py",
        "flows/three.py",
        "flows/two.py",
        "helpers.py",
        "winnow/above.py",
        "winnow/beside.py",
        "winnow/room/__init__.py",
        "winnow/room/below.py",
        "winnow/room/last.py",
        "winnow/table.json",
        "winnow/untyped.py",
    ]
    assert found["winnow/beside.py"] == "winnow/room/__init__.py"


def test_a_change_of_any_of_them_changes_the_hashes_and_nothing_else_does(project: Path) -> None:
    site = project.parent / "site"
    before = closure.of("flows/one.py", project, site)
    assert len(before) == 12
    write(project, **{"image.png": "x", "flows/__init__.py": '"""Words."""\n'})
    write(site, **{"winnow/terminal/redact.py": "x = 1\n", "winnow/other.json": "[]", "winnow/typed.py": "x = 1\n"})
    assert closure.of("flows/one.py", project, site) == before
    write(project, **{"helpers.py": "import json\nNAME = 'photo.png'\n"})
    write(site, **{"winnow/table.json": "[]"})
    after = closure.of("flows/one.py", project, site)
    assert {name for name in before if before[name] != after[name]} == {"helpers.py", "winnow/table.json"}


@pytest.mark.parametrize("code", [b"def f(:\n", b"x = '\xff'\n", b"\0"])
def test_a_module_that_does_not_parse_is_refused_with_its_name(project: Path, code: bytes) -> None:
    (project / "broken.py").write_bytes(code)
    write(project, **{"flows/mine.py": "import broken\n"})
    with pytest.raises(InputError, match=r"^broken.py is no Python that can run: "):
        closure.of("flows/mine.py", project, project.parent / "site")


def test_stages_are_those_that_run_a_module() -> None:
    commands = {"a": "python -m flows.a", "b": "cp x y", "c": "time python3 -m mine --all", "d": "python mine.py"}
    found = closure.stages({"stages": {name: {"cmd": command} for name, command in commands.items()}})
    assert found == {"a": "flows/a.py", "c": "mine.py"}
    assert closure.stages({}) == {}


@pytest.mark.parametrize(("helper", "stages"), HELPERS)
def test_a_helper_belongs_to_the_stages_that_use_it(helper: str, stages: set[str]) -> None:
    every = ["sample", "pretrain", "source", "prepare", "embed", "adapt", "score", "optimize", "evaluate", "release"]
    assert (ROOT / helper).is_file()
    using = {name for name in every if helper in closure.of(f"flows/{name}.py", ROOT, ROOT)}
    assert using >= stages if helper.endswith("outputs.py") else using == stages


def test_what_has_no_effect_is_there() -> None:
    assert [name for name in closure.WITHOUT_EFFECT if not (ROOT / name).exists()] == []
