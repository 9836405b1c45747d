"""Servers and workers that a test starts, kills and starts again."""

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

PATIENCE = 240  # seconds; a busy machine starts a server slowly


@dataclass
class Processes:
    """What was started in a folder; all of it is gone at the end, with what it started itself."""

    folder: Path
    env: dict[str, str]
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def log(self) -> Path:
        """What they all said."""
        return self.folder / "processes.log"

    def words(self) -> str:
        """The same, read."""
        return self.log.read_text() if self.log.exists() else ""

    def start(self, *command: str, at: Path | None = None, **env: str) -> subprocess.Popen[str]:
        """Start a command, in a session of its own, in a folder if not in that of all."""
        with self.log.open("a") as log:
            process = subprocess.Popen(
                command,
                cwd=at or self.folder,
                env=self.env | env,
                text=True,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def serve(self, url: str, *command: str, **env: str) -> subprocess.Popen[str]:
        """Start a server, and wait until it answers at `url`."""
        process = self.start(*command, **env)
        until(lambda: answers(url) or process.poll() is not None)
        assert process.poll() is None, self.words()
        assert answers(url), self.words()
        return process

    def end(self) -> None:
        """Kill them all."""
        for process in self.started:
            kill_tree(process.pid)
            process.wait(30)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def answers(url: str) -> bool:
    """Whether a server is there, whatever it says."""
    try:
        return bool(urllib.request.urlopen(url, timeout=5))  # noqa: S310
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def until(holds: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Wait until a condition holds, or the time is over; what is asserted afterwards tells which."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not holds():
        time.sleep(0.1)


def kill(process: subprocess.Popen[str]) -> None:
    """End a process as the kernel does when memory is short, and nothing that it started."""
    process.send_signal(signal.SIGKILL)
    process.wait(30)


def tree(pid: int) -> list[int]:
    """The ids of a process and of all that it started; none where it is gone."""
    try:
        above = psutil.Process(pid)
        return [process.pid for process in (above, *above.children(recursive=True))]
    except psutil.NoSuchProcess:
        return []


def kill_tree(pid: int) -> None:
    """End a process with all that it started."""
    for each in tree(pid):
        with suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)
