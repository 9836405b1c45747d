"""Run a command from a flow, one at a time per checkout, and log its output lines in the flow."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

from winnow.errors import WorkError
from winnow.files.locks import locked
from winnow.files.scratch import SCRATCH
from winnow.run import run_log
from winnow.terminal.say import say

LOCK = "checkout.lock"  # in the scratch folder
LAST = 5  # lines that an error repeats
PATIENCE = 20  # seconds for a child to end when it is told to


@contextmanager
def alone() -> Iterator[int]:
    """Wait until nothing else is at work in this checkout; gives the lock, which the children are to hold too.

    The system frees it when the last process that holds it ends, however that ends.
    """
    who = f"{run_log.current()} (process {os.getpid()})" if run_log.current() else None
    with locked(SCRATCH / LOCK, "is at work in this checkout", who) as lock:
        yield lock


def run(command: list[str], tag: str, lock: int | None = None, line: Callable[[str], None] = lambda _: None) -> None:
    """Run a module of this Python; ended early, by whatever, this takes the child and what that has started with it.

    Args:
        command: what follows `-m`.
        tag: of the flow runs that it starts.
        lock: what it holds too while it runs.
        line: is given each line that it prints; all are printed here as well.

    Raises:
        WorkError: it failed; with its last lines.
    """
    held = () if lock is None else (lock,)
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        env=environment(os.environ, tag),
        text=True,
        pass_fds=held,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    said: list[str] = []
    try:
        for words in process.stdout or ():
            said.append(words.rstrip())
            say(said[-1])
            line(said[-1])
        process.wait()
    finally:
        _end(process)
    if process.returncode:
        raise WorkError(f"{' '.join(command[:3])} ended with {process.returncode}: " + "\n".join(said[-LAST:]))


def environment(here: Mapping[str, str], tag: str) -> dict[str, str]:
    """What a child sees: this Python first on the path, the server in use, the tag, and no flow run to be part of."""
    from prefect.settings import PREFECT_API_URL  # whose import reads where its home is

    env = {key: value for key, value in here.items() if not key.startswith("PREFECT__")}
    if server := PREFECT_API_URL.value():
        env["PREFECT_API_URL"] = server
    return env | {run_log.PARENT: tag, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"}


def _end(process: subprocess.Popen[str]) -> None:
    """End a child that is still running, with everything below it."""
    if process.poll() is None:
        tree = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        end(tree)
        process.wait()
    if process.stdout:
        process.stdout.close()


def end(processes: list[psutil.Process]) -> None:
    """Tell processes to end, and kill those that do not."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        for process in processes:
            if process.is_running():
                process.send_signal(sign)
        _, processes = psutil.wait_procs(processes, timeout=PATIENCE)
