"""Background processes: start one, find it again by its file, and end it with everything that it started."""

import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from winnow.errors import InputError, WorkError
from winnow.files.json_files import read_json, write_json
from winnow.files.outputs import whole_file
from winnow.files.scratch import SCRATCH
from winnow.reach import answers
from winnow.terminal.say import say

ROOM = SCRATCH / "services"  # a file of the process and a log for each
MARK = "WINNOW_SERVICES"  # in the environment of all that descends from a service: which project it belongs to
PATIENCE = 180  # seconds for a server to answer, on a busy machine


@dataclass(frozen=True)
class Service:
    """A process that goes on by itself.

    Attributes:
        name: of its files.
        command: after this Python's `-m`.
        health: the address that answers once it is ready; None where there is none to ask.
        page: what a person opens.
    """

    name: str
    command: list[str]
    health: str | None
    page: str


def start(service: Service, env: dict[str, str]) -> None:
    """Start a service in a session of its own, and wait until it answers."""
    if service.health and _listens(service.page):
        raise InputError(
            f"{service.page} is taken by another process; choose another port: winnow up --prefect 4300 --mlflow 5100"
        )
    say(f"starting {service.name}")
    log = ROOM / f"{service.name}.log"
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", *service.command],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    with whole_file(file(service.name)) as partial:
        started = psutil.Process(process.pid).create_time()
        write_json(partial, {"pid": process.pid, "started": started, "page": service.page})
    end = time.monotonic() + PATIENCE
    while service.health and not answers(service.health, 5):
        if process.poll() is not None or time.monotonic() > end:
            raise WorkError(f"{service.name} did not start; see {log}")
        time.sleep(0.5)


def running(name: str) -> psutil.Process | None:
    """The process of a service, if it is still that one: a number is given out again."""
    found = known(name)
    try:
        process = psutil.Process(found["pid"])
        same = process.create_time() == found["started"] and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.NoSuchProcess, KeyError):
        return None
    return process if same else None


def known(name: str) -> dict[str, Any]:
    """What is written of a service: pid, started and page; nothing where power was lost before it was on the disk."""
    try:
        found = read_json(file(name))
    except InputError:
        return {}
    return found if isinstance(found, dict) and found.keys() >= {"pid", "started", "page"} else {}


def descendants() -> list[psutil.Process]:
    """Processes of this user that carry the mark of this project: what a service that was killed has left."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(Path.cwd()) and process.pid != os.getpid():
                found.append(process)
        except psutil.Error:
            continue  # another's, or gone
    return found


def file(name: str) -> Path:
    """Where it is written which process a service is."""
    return ROOM / f"{name}.json"


def _listens(page: str) -> bool:
    host, _, port = page.rpartition("/")[2].partition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0
