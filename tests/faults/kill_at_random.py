"""Kill commands at random moments, and see that the same command finishes each job with the same bytes.

    PYTHONPATH=.:tests python tests/faults/kill_at_random.py --seed 1 --count 25

First every command, from `dvc repro prepare` to `winnow bench`, runs without a fault on a small project. Then, `count`
times: one of them is started on a copy of the project as it was before it, and killed (SIGKILL) at a random moment: the
process alone, or all that it started too. The same command is repeated until it ends with 0. Files must be those of the
run without a fault; no process, scratch file or run in MLflow that is still RUNNING may be left.

All share one Prefect server; with --own-servers each command starts its own, and a kill may hit that too.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from faulty import small
from processes import tree, until
from ruamel.yaml import YAML
from support import Project

from winnow.run import prefect_server
from winnow.sample import encoder

WINNOW = (sys.executable, "-m", "winnow.cli.main")
STAGES = ("prepare", "embed", "adapt", "score", "optimize", "evaluate", "release")
COMMANDS: dict[str, tuple[str, ...]] = {
    **{stage: ("dvc", "repro", stage) for stage in STAGES},
    "publish": (*WINNOW, "release", "publish", "subset", "--version", "1.0.0"),
    "export": (*WINNOW, "export", "data/release", "--format", "imagefolder", "--out", "exported"),
    "select": (*WINNOW, "select", "data/embed", "--keep", "0.5", "--out", "chosen.parquet"),
    "bench": (*WINNOW, "bench", "grid.yaml"),
}
GRID = {
    "about": "three colours",
    "source": "photos",
    "encoder": {"model": "local-dir", "path": "encoder", "prompts": ["a photo of {}."]},
    "image_size": 16,
    "training": {"width": 2, "batch_size": 8, "flip": False},
    "models": {"small": 0.01},
    "budgets": {"steps": 12},
    "noises": [{"kind": "symmetric", "share": 0.25}],
    "keeps": [0.5],
    "methods": ["random", "winnow"],
    "seeds": 1,
}
MARK = "WINNOW_KILLED_AT_RANDOM"  # in the environment of all that is started here
TRIES = 3  # of the same command after a kill
LONGEST = 1800  # seconds that a command may take, on a busy machine
GONE = 60  # seconds for what is left of a killed command to notice and end
# Logs, databases, the books that Git, DVC and `source` keep of a folder: they say when and where, not what.
ASIDE = re.compile(r"^(\.git|\.dvc|\.winnow/(logs|prefect|source)|mlflow\.db.*|mlartifacts)(/|$)|__pycache__")
SECONDS = re.compile(rb'"(\w+_)?seconds": (\{[^}]*\}|[0-9.e-]+)')  # how long a cell of bench took


@dataclass(frozen=True)
class Before:
    """A command, the project as it was before it, how long it took, and what it left."""

    name: str
    folder: Path
    seconds: float
    left: dict[str, bytes]
    tree: str


class Trial:
    """A room in which commands are run, killed and compared."""

    def __init__(self, room: Path, env: dict[str, str]) -> None:
        """Make the project, with its encoder, a DVC remote and everything committed, in `room`."""
        self.room = room
        env = {key: value for key, value in env.items() if key != "MLFLOW_TRACKING_URI"}
        path = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
        self.env = env | {"PATH": path, MARK: str(room)}
        encoder.run(room / "encoder", steps=10, batch_size=4, lr=1e-3, seed=0, device="cpu")
        self.project = small(room / "project", self.env, room / "encoder")
        with (self.project.folder / "grid.yaml").open("w") as file:
            YAML().dump(GRID, file)
        (self.project.folder / ".gitignore").open("a").write("/store/\n/exported/\n/chosen.parquet\n")
        self.project.do("dvc", "remote", "add", "-q", "--default", "store", "store")
        self.project.set(pretrain={"steps": 10})
        self.project.repro("source", "pretrain")  # publishing asks for all stages
        self.project.commit()

    def undisturbed(self) -> list[Before]:
        """Run every command once, and keep what was there before each."""
        found = []
        for name, command in COMMANDS.items():
            folder = Path(shutil.copytree(self.project.folder, self.room / f"before-{name}", symlinks=True))
            begun = time.monotonic()
            self.project.do(*command, timeout=LONGEST)
            seconds = time.monotonic() - begun
            found.append(Before(name, folder, seconds, left(self.project.folder), published(self.project)))
            print(f"{name}: {seconds:.0f} s", flush=True)
            if name == "release":
                self.project.commit()
        return found

    def kill(self, before: Before, share: float, how: str) -> list[str]:
        """Kill a command after a share of its time, repeat it, and say what is not as it should be."""
        folder = self.room / "killed"
        shutil.rmtree(folder, ignore_errors=True)
        made = Project(Path(shutil.copytree(before.folder, folder, symlinks=True)), self.env)
        with (self.room / "killed.log").open("w") as log:
            process = subprocess.Popen(
                COMMANDS[before.name], cwd=folder, env=self.env, stdout=log, stderr=log, start_new_session=True
            )
            with suppress(subprocess.TimeoutExpired):
                process.wait(before.seconds * share)
            for pid in victims(process.pid, how):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait(LONGEST)  # it may go on without the process that was killed
        said = []
        for _ in range(TRIES):
            done = made.run(*COMMANDS[before.name], timeout=LONGEST)
            said.append(done.stdout)
            if done.returncode == 0:
                break
        else:
            return [f"the same command failed {TRIES} times:\n{said[-1]}"]
        until(lambda: not self.alive(), GONE)
        return [*differences(before, made), *self.alive(), *running(made)]

    def alive(self) -> list[str]:
        """Processes that were started here and are still there."""
        return list(_alive(str(self.room)))


def _alive(mark: str) -> Iterator[str]:
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid != os.getpid() and process.environ().get(MARK) == mark and process.status() != "zombie":
                yield f"the process {process.pid} is left: {' '.join(process.cmdline())}"


def victims(pid: int, how: str) -> list[int]:
    """Whom to kill: `all`, the process `alone`, or the last that it started, a stage of DVC or a worker."""
    every = tree(pid)
    return {"all": every, "alone": every[:1], "last": every[-1:]}[how]


def left(folder: Path) -> dict[str, bytes]:
    """Every file of a project, but for what tells when rather than what."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not ASIDE.search(name):
            content = path.read_bytes()
            found[name] = SECONDS.sub(b"", content) if name.startswith("bench/") else content
            if name.startswith(".winnow/"):
                found[name] = b""  # whether it is there, not what it says of times
    return found


def differences(before: Before, made: Project) -> list[str]:
    """Files that are not those of the run without a fault, and a version that is not the same."""
    now = left(made.folder)
    pictures = {name for name in now if name.startswith("bench/") and not name.endswith(".json")}  # of seconds, too
    found = [f"{name} is missing" for name in sorted(before.left.keys() - now.keys())]
    found += [f"{name} is left over" for name in sorted(now.keys() - before.left.keys())]
    found += [
        f"{name} differs"
        for name in sorted((before.left.keys() & now.keys()) - pictures)
        if before.left[name] != now[name]
    ]
    return found + ["the published tree differs"] * (published(made) != before.tree)


def published(made: Project) -> str:
    """What Git holds of the version, if there is one: its tree, which names every file by content."""
    return made.run("git", "rev-parse", "--verify", "-q", "subset@v1.0.0^{tree}").stdout


def running(made: Project) -> list[str]:
    """Runs in MLflow that are still RUNNING though nobody works at them."""
    database = made.folder / "mlflow.db"
    if not database.exists():
        return []
    with closing(sqlite3.connect(database)) as connection:
        names = connection.execute("SELECT name FROM runs WHERE status = 'RUNNING'").fetchall()
    return [f"the run {name} in MLflow is still RUNNING" for (name,) in names]


def main(seed: int, count: int, room: Path, env: dict[str, str]) -> int:
    """Kill `count` times; how many times something was wrong."""
    rng, trial, faults = random.Random(seed), Trial(room, env), 0
    every = trial.undisturbed()
    for number in range(count):
        before, share, how = every[number % len(every)], rng.uniform(0.02, 1), rng.choice(["all", "alone", "last"])
        begun = time.monotonic()
        wrong = trial.kill(before, share, how)
        record = {
            "kill": number,
            "command": before.name,
            "at": round(share, 2),
            "how": how,
            "wrong": wrong,
            "seconds": round(time.monotonic() - begun),
        }
        print(json.dumps(record), flush=True)
        faults += bool(wrong)
    print(f"seed {seed}: {count} kills, {faults} of them left something wrong", flush=True)
    return faults


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=25)
    parser.add_argument("--own-servers", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kill-") as temporary:
        os.chdir(temporary)
        with nullcontext(dict(os.environ)) if chosen.own_servers else prefect_server.shared() as env:
            faults = main(chosen.seed, chosen.count, Path(temporary), env)
    sys.exit(bool(faults))
