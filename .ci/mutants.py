"""What `make mutants` runs: small mistakes in the code that decides, made one at a time, and how many a test finds.

mutmut makes the mistakes. Its own runner collects the tests again for each, which takes seconds. Here the tests of a
module are collected once, and each mutant runs in a fork of that process, the quickest tests first, until one fails.
The mutants that no test found are written to .winnow/mutants.diff. The last line is one JSON object.
"""

import argparse
import ast
import contextlib
import difflib
import importlib
import io
import json
import os
import random
import re
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
SURVIVORS = ROOT / ".winnow/mutants.diff"
MODULES = [
    *(
        f"winnow/selection/{name}.py"
        for name in ("adapters", "alignment", "coverage", "explain", "heads", "near_duplicates", "noise")
    ),
    "winnow/budget.py",
    "winnow/checking/bounds.py",
    "winnow/checking/sampling.py",
    *(
        f"winnow/files/{name}.py"
        for name in ("disk", "disk_errors", "hashes", "json_files", "memory_maps", "outputs", "scratch")
    ),
    "winnow/releases/gate.py",
    "winnow/releases/verify.py",
]
MORE_TESTS = {
    "winnow/files/outputs.py": ["tests/winnow/files/test_locks.py", "tests/winnow/files/test_marks.py"]
}  # beside those of its name
PATIENCE = 8  # a mutant hangs if its tests take so many times the processor time that they take without it,
WAIT = 300  # or so many seconds, where they wait and compute nothing


@dataclass(frozen=True)
class Mutant:
    """A mistake: the source of the module with it, and the dotted name of the function it is in; none for constants."""

    source: str
    function: str = ""


@dataclass(frozen=True)
class Verdict:
    """What became of the mutants of a module, and the diffs of those that no test found."""

    module: str
    found: int
    counts: Counter[str]
    lived: list[str]


def main() -> int:
    """Try the mutants of the modules; the exit code is 1 if the tests find fewer than they should."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", default=MODULES)
    parser.add_argument("--most", type=int, default=10**6, help="try no more of a module, drawn at random")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--least", type=float, default=0.9, help="share that tests have to find")
    given = parser.parse_args()
    os.chdir(ROOT)
    SURVIVORS.parent.mkdir(exist_ok=True)
    SURVIVORS.write_text("")
    with ProcessPoolExecutor(given.jobs, get_context("spawn"), max_tasks_per_child=1) as pool:
        futures = [pool.submit(judge, module, given.most, given.seed) for module in given.modules]
        verdicts = [show(future.result()) for future in as_completed(futures)]
    tried = sum(verdict.counts.total() for verdict in verdicts)
    died = tried - sum(verdict.counts["lived"] for verdict in verdicts)
    print(f"the mutants that lived: {SURVIVORS.relative_to(ROOT)}")
    print(
        json.dumps(
            {
                "mutants": sum(verdict.found for verdict in verdicts),
                "tried": tried,
                "died": died,
                "share": round(died / tried, 4),
                "modules": {verdict.module: dict(verdict.counts) for verdict in verdicts},
            }
        )
    )
    return int(died < given.least * tried)


def show(verdict: Verdict) -> Verdict:
    """Print a line about a module, and keep the diffs."""
    tried, lived = verdict.counts.total(), verdict.counts["lived"]
    print(
        f"{verdict.module}: {verdict.found} mutants, {tried} tried, {tried - lived} died "
        f"({verdict.counts['hung']} of them hung), {lived} lived",
        flush=True,
    )
    with SURVIVORS.open("a") as file:
        file.writelines(f"{diff}\n" for diff in verdict.lived)
    return verdict


def judge(path: str, most: int, seed: int) -> Verdict:
    """Try the mutants of a module; this takes a process of its own."""
    sys.path.insert(0, str(ROOT))
    source = Path(path).read_text()
    threads = importlib.import_module("winnow.compute.threads")
    vars(threads)["THREADS"] = 1  # a fork has none of the others, and would wait for them for ever
    module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
    here = testable(source)
    found = [
        mutant
        for mutant in mutants(path, source)
        if testable(mutant.source) != here and (mutant.function or changed(module, mutant))
    ]
    chosen = random.Random(seed).sample(found, min(most, len(found)))  # noqa: S311 no secret
    trial = Trial(module, chosen)
    tests = [str(Path("tests", path).with_name(f"test_{Path(path).name}")), *MORE_TESTS.get(path, ())]
    options = ["-q", "-x", "-p", "no:xdist", "-p", "no:cacheprovider", "--hypothesis-profile", "mutants"]
    with contextlib.redirect_stdout(io.StringIO()) as said:
        code = pytest.main([*options, *(test for test in tests if Path(test).exists())], plugins=[trial])
    if code or len(trial.outcomes) != len(chosen):
        raise RuntimeError(f"the tests of {path} fail as it is:\n{said.getvalue()[-3000:]}")
    lived = [
        difference(path, source, mutant)
        for mutant, outcome in zip(chosen, trial.outcomes, strict=True)
        if outcome == "lived"
    ]
    return Verdict(path, len(found), Counter(trial.outcomes), lived)


def mutants(path: str, source: str) -> Iterator[Mutant]:
    """Every mistake that mutmut can make in a module."""
    import libcst as cst
    from mutmut.mutation.file_mutation import create_mutations

    module, mutations, *_ = create_mutations(path, source)
    for mutation in mutations:
        outer = mutation.contained_by_top_level_function
        with_it = cst.ensure_type(module.deep_replace(mutation.original_node, mutation.mutated_node), cst.Module)
        yield Mutant(with_it.code, next((name for name, node in functions(module) if node is outer), ""))


def testable(source: str) -> str:
    """A source without what no test can find here: the device where tensors lie, and `strict` of `zip`.

    Without a GPU there is one device. And `strict` states that two lists are always of one length.
    """
    plain = ast.unparse(ast.parse(source))  # with no comma left after an argument that was the last
    return re.sub(r"(, )?device=[\w.]+|\.to\((device|None)\)|, strict=\w+", "", plain)


def functions(module: Any) -> Iterator[tuple[str, Any]]:
    """Functions of a parsed module and methods of its classes, by their dotted names."""
    import libcst as cst

    for node in module.body:
        if isinstance(node, cst.FunctionDef):
            yield node.name.value, node
        elif isinstance(node, cst.ClassDef):
            methods = (part for part in node.body.body if isinstance(part, cst.FunctionDef))
            yield from ((f"{node.name.value}.{method.name.value}", method) for method in methods)


def difference(path: str, source: str, mutant: Mutant) -> str:
    """The mistake as a unified diff."""
    lines = (text.splitlines(keepends=True) for text in (source, mutant.source))
    return "".join(difflib.unified_diff(*lines, path, f"{path} {mutant.function}", n=1))


class Trial:
    """A plugin of pytest: it runs the collected tests once as they are, and then once for each mutant."""

    def __init__(self, module: ModuleType, mutants: list[Mutant]) -> None:
        """Try these mutants of a module."""
        self.module, self.mutants, self.outcomes = module, mutants, list[str]()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Instead of pytest's own loop."""
        took: dict[pytest.Item, float] = {}
        start = time.process_time()
        for item, following in pairwise([*session.items, session.items[0]]):
            before = time.monotonic()  # as tests may start other processes
            run(item, following)
            took[item] = time.monotonic() - before
            if session.testsfailed:
                return True
        limit = int(PATIENCE * (time.process_time() - start + 1)) + 1
        files = list(dict.fromkeys(item.path for item in session.items))  # one by one, as their fixtures last
        quickest = sorted(session.items, key=lambda item: (files.index(item.path), took[item]))
        self.outcomes = [self.outcome(mutant, quickest, session, limit) for mutant in self.mutants]
        return True

    def outcome(self, mutant: Mutant, items: list[pytest.Item], session: pytest.Session, limit: int) -> str:
        """Run the tests on a mutant: it died, lived or hung."""
        if child := os.fork():
            deadline = time.monotonic() + WAIT
            while not (done := os.waitpid(child, os.WNOHANG))[0]:
                if time.monotonic() > deadline:
                    os.kill(child, signal.SIGKILL)
                time.sleep(0.005)
            if os.WIFSIGNALED(done[1]):
                return "hung" if os.WTERMSIG(done[1]) in {signal.SIGXCPU, signal.SIGKILL} else "died"
            return "died" if os.WEXITSTATUS(done[1]) else "lived"
        code = 1
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (limit + int(time.process_time()),) * 2)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.dup2(1, 2)
            make(self.module, mutant)
            for item, following in pairwise([*items, None]):
                run(item, following)
                if session.testsfailed:
                    break
            code = int(session.testsfailed > 0)
        finally:
            os._exit(code)


def run(item: pytest.Item | None, following: pytest.Item | None) -> None:
    """Run one test, and leave the fixtures that the following one shares."""
    assert item is not None
    item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)


def make(module: ModuleType, mutant: Mutant) -> None:
    """Make the mistake in a function that other modules have already imported, or in constants."""
    if not mutant.function:
        vars(module).update(changed(module, mutant))
        return
    again = executed(module, mutant)
    there, here = resolved(vars(module), mutant.function), resolved(again, mutant.function)
    there.__code__, there.__defaults__, there.__kwdefaults__ = here.__code__, here.__defaults__, here.__kwdefaults__


def executed(module: ModuleType, mutant: Mutant) -> dict[str, Any]:
    """The names that the module would have with the mistake."""
    names = vars(module) | {}
    exec(compile(mutant.source, str(module.__file__), "exec"), names)  # noqa: S102 our own source
    return names


def changed(module: ModuleType, mutant: Mutant) -> dict[str, Any]:
    """The constants that a mistake outside functions changes; none where the module cannot be loaded with it."""
    try:
        names = executed(module, mutant)
    except (TypeError, ValueError, AttributeError, NameError):
        return {}
    plain = (int, float, str, tuple, type(None))
    return {
        name: value
        for name, value in names.items()
        if name.isupper() and isinstance(value, plain) and value != vars(module)[name]
    }


def resolved(names: dict[str, Any], dotted: str) -> FunctionType:
    """The function of a dotted name, without its decorators."""
    first, *rest = dotted.split(".")
    found = names[first]
    for name in rest:
        found = vars(found)[name]
    found = getattr(found, "fget", found)
    while (below := getattr(found, "__wrapped__", getattr(found, "__func__", None))) is not None:
        found = below
    assert isinstance(found, FunctionType), dotted
    return found


if __name__ == "__main__":
    sys.exit(main())
