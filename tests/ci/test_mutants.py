"""`make mutants` tells mistakes that a test finds from those that none does, and from those that hang."""

import json
import subprocess
import sys
from pathlib import Path

from support import ROOT

CODE = """
from dataclasses import dataclass

LEAST = 2


def enough(n: int, least: int = LEAST) -> bool:
    return n >= least


@dataclass
class Count:
    n: int

    @property
    def down(self) -> int:
        n, steps = self.n, 0
        while n > 0:
            n, steps = n - 1, steps + 1
        return steps
"""
TESTS = """
import pytest
from code_under_test import Count, enough


@pytest.fixture(scope="module")
def count():
    return Count(3)


@pytest.mark.parametrize(("n", "told"), [(0, False), (3, True)])
def test_enough(n, told):
    assert enough(n) is told


def test_down(count):
    assert count.down == 3
"""
MISTAKES = [  # what is replaced, in which function, and what becomes of it
    ("n >= least", "n > least", "enough", "lived"),
    ("n >= least", "n < least", "enough", "died"),
    ("= LEAST) ->", "= 4) ->", "enough", "died"),
    ("steps + 1", "steps + 2", "Count.down", "died"),
    ("n - 1", "n - 0", "Count.down", "hung"),
    ("LEAST = 2", "LEAST = 3", "", "lived"),
]
DRIVER = """
import importlib, importlib.util, json, sys
import pytest
spec = importlib.util.spec_from_file_location("mutants", sys.argv[1])
mutants = sys.modules["mutants"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(mutants)
mutants.PATIENCE = 1
module = importlib.import_module("code_under_test")
given = [mutants.Mutant(*each) for each in json.loads(sys.argv[2])]
trial = mutants.Trial(module, given)
code = pytest.main(["-q", "-x", "-p", "no:cacheprovider", "test_more.py", "test_code.py"], plugins=[trial])
print(json.dumps([int(code), trial.outcomes, mutants.difference("code.py", sys.argv[3], given[0])]))
"""


def tried(folder: Path) -> list[object]:
    """Try the mistakes; the exit code of the tests, what became of each mistake, and the first as a diff."""
    (folder / "code_under_test.py").write_text(CODE)
    (folder / "test_more.py").write_text("def test_nothing():\n    pass\n")
    given = json.dumps([(CODE.replace(right, wrong), function) for right, wrong, function, _ in MISTAKES])
    command = [sys.executable, "-c", DRIVER, ROOT / ".ci/mutants.py", given, CODE]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: list[object] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_each_mistake_is_made_alone_and_its_end_is_told(tmp_path: Path) -> None:
    (tmp_path / "test_code.py").write_text(TESTS)
    code, outcomes, diff = tried(tmp_path)
    assert (code, outcomes) == (0, [outcome for *_, outcome in MISTAKES])
    assert "-    return n >= least\n+    return n > least\n" in str(diff)


def test_tests_that_fail_without_a_mistake_judge_nothing(tmp_path: Path) -> None:
    (tmp_path / "test_code.py").write_text(TESTS.replace("(0, False)", "(0, True)"))
    assert tried(tmp_path)[:2] == [1, []]
