"""What `make tutorial` runs: the commands of docs/tutorial.md, in order, in a copy of this checkout and its results.

A block of `sh` is run in the shell of those before it. A block of `text` after it is what it prints: each of its lines
must be in the output, in order, but for numbers and spaces; `...` stands for any others.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE, STDOUT

from winnow.run import prefect_server

PAGE = Path("docs/tutorial.md")
BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LEFT = {".venv", ".winnow", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", "site", "bench"}
END = "tutorial: end of a block"


@dataclass(frozen=True)
class Step:
    """Commands, and the lines that they print."""

    commands: str
    printed: list[str]


def main() -> int:
    """Run the page; the exit code."""
    steps = read(PAGE.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as room:
        project = copy(Path.cwd(), Path(room) / "winnow")
        begun = time.monotonic()
        output = run(project, "\n".join(f'{step.commands}\necho "{END} after $SECONDS s"' for step in steps))
        print(f"tutorial: {len(steps)} steps in {time.monotonic() - begun:.0f} s")
    if output is None:
        return 1
    wrong = [line for step, said in zip(steps, output.split(END), strict=False) for line in missing(step.printed, said)]
    for line in wrong:
        print(f"tutorial: {PAGE} says that this is printed, and it is not: {line}", file=sys.stderr)
    return int(bool(wrong))


def read(page: str) -> list[Step]:
    """The steps of a page."""
    steps: list[Step] = []
    for kind, text in BLOCK.findall(page):
        if kind == "sh":
            steps.append(Step(text, []))
        else:
            steps[-1].printed.extend(line for line in text.splitlines() if line.strip(" ."))
    return steps


def copy(checkout: Path, folder: Path) -> Path:
    """The checkout with its results, and the environment that runs this."""
    shutil.copytree(checkout, folder, symlinks=True, ignore=lambda at, _: LEFT if Path(at) == checkout else set())
    (folder / ".venv").symlink_to(sys.prefix)
    for name in ("pyproject.toml", "requirements.lock"):
        os.utime(folder / name, (0, 0))  # so that make does not install again
    return folder


def run(project: Path, script: str) -> str | None:
    """What a script of the shell prints, shown as it comes; None where a command fails."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    own = {"PYTHONPATH": str(project), "PATH": path, "PYTHONUNBUFFERED": "1", "COLUMNS": "120"}
    command, lines = ["bash", "-eu", "-o", "pipefail", "-c", script], []
    with prefect_server.shared() as shared:  # which the stages share; a reader's start one each, and take longer
        env = {name: value for name, value in shared.items() if name != "MLFLOW_TRACKING_URI"} | own
        shell = subprocess.Popen(command, cwd=project, env=env, stdout=PIPE, stderr=STDOUT, text=True)
        for line in shell.stdout or ():
            lines.append(line)
            print(line, end="", flush=True)
    return None if shell.wait() else "".join(lines)


def missing(printed: list[str], output: str) -> list[str]:
    """The lines that are not in an output, in their order."""
    said, gone = [plain(line) for line in output.splitlines()], []
    for line in printed:
        found = next((i for i, one in enumerate(said) if plain(line) in one), None)
        if found is None:
            gone.append(line)
        else:
            said = said[found + 1 :]
    return gone


def plain(line: str) -> str:
    """A line without the spaces and numbers in it."""
    return " ".join(re.sub(r"[+-]?\d[\d.,]*", "#", line).split())


if __name__ == "__main__":
    sys.exit(main())
