"""Provide a Prefect server for a stage or a whole pipeline: the one in PREFECT_API_URL, or else a temporary one.

A temporary server takes longer to start than most stages of a small data set take to run. So the first stage of a
`dvc repro` starts one that lasts until DVC ends, and the stages after it find its port and password in SHARED.
"""

import atexit
import json
import os
import secrets
import select
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from winnow.errors import InputError, WorkError
from winnow.files.outputs import whole_file
from winnow.files.scratch import SCRATCH
from winnow.local import login
from winnow.reach import bypass_proxy
from winnow.run import pipeline
from winnow.terminal.redact import redact

VARIABLE = "PREFECT_API_URL"
ROOM = SCRATCH / "prefect"  # the home and the log of temporary servers
PATIENCE = 30  # seconds for a server that is named to answer
SHARED = ROOM / "shared.json"  # readable by its user only
LONGEST = 900  # seconds for a temporary one to start, on a busy machine; one that has ended is noticed at once
LAST = 15  # lines of its log that are repeated where it has not started
# A busy machine is no failure: Prefect gives up much earlier. What a user has set holds.
UNHURRIED = {
    "PREFECT_API_REQUEST_TIMEOUT": "300",
    "PREFECT_SERVER_DATABASE_TIMEOUT": "120",
    "PREFECT_SERVER_DATABASE_SQLALCHEMY_POOL_TIMEOUT": "300",
}


class AwayError(InputError):
    """The server that is named cannot be used: what was found, and what to do about it."""

    def __init__(self, found: str, cure: str) -> None:
        super().__init__(f"{found}. {cure}")
        self.found, self.cure = found, cure


@contextmanager
def shared() -> Iterator[dict[str, str]]:
    """Give the environment in which stages report to one server: the one that is named, else a temporary one.

    The temporary one ends with this process or with the DVC above it, however that ends, and not before: the last
    lines of logs are sent to it. Flows of this process find it by themselves.

    Raises:
        AwayError: the server that is named does not answer, or asks for another password.
        WorkError: the temporary one did not start.
    """
    if address():
        version()
    elif not ((dvc := pipeline.above()) and _joined(dvc)):
        _start(dvc)
    yield dict(os.environ)


def address() -> str | None:
    """The API of the server that is named. An empty variable in the environment means none, whatever a profile says."""
    from prefect.settings import PREFECT_API_URL

    return PREFECT_API_URL.value() or None


def version() -> str | None:
    """Ask the server that is named for its version, with the password; None for Prefect Cloud, which has none.

    Raises:
        AwayError: it does not answer, or refuses the password; the message says where it is named.
    """
    import httpx
    from prefect import get_client
    from prefect.client.base import ServerType
    from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

    _use_login()
    said, named = f"the Prefect server at {redact(address() or '')}", f"{VARIABLE} is set in {named_in()}"
    out = (
        f"{named}. Start that server, or set the variable to nothing (`{VARIABLE}= COMMAND`), and Winnow starts a "
        "server of its own"
    )
    try:
        with (
            temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}),
            get_client(sync_client=True, httpx_settings={"timeout": PATIENCE}) as client,
        ):
            if client.server_type == ServerType.CLOUD:
                client.read_flows(limit=1)
                return None
            return str(client.api_version())
    except httpx.HTTPStatusError as error:
        code = error.response.status_code
        if code in (401, 403):
            raise AwayError(
                f"{said} refuses the password ({code})",
                f"Set PREFECT_API_AUTH_STRING to its name:password, or PREFECT_API_KEY for Prefect Cloud. {out}",
            ) from error
        raise AwayError(f"{said} answers {code} {error.response.reason_phrase}", out) from error
    except Exception as error:  # of httpx, of ssl, of json where something else answers there
        raise AwayError(f"{said} does not answer ({redact(str(error)) or type(error).__name__})", out) from error


def _use_login() -> None:
    """Give the password that `winnow up` keeps to its server, where the user has set none."""
    from prefect.context import refresh_global_settings_context
    from prefect.settings import PREFECT_API_AUTH_STRING

    if not PREFECT_API_AUTH_STRING.value() and (kept := login.of(address() or "")):
        os.environ[login.VARIABLE] = kept
        refresh_global_settings_context()


def named_in() -> str:
    """Where PREFECT_API_URL is set, in the order in which Prefect looks."""
    from dotenv import dotenv_values
    from prefect.context import get_settings_context
    from prefect.settings import PREFECT_PROFILES_PATH

    if VARIABLE in os.environ:
        return "the environment"
    if Path(".env").is_file() and VARIABLE in dotenv_values(".env"):
        return "the file .env of this folder"
    for name, tables in (("prefect.toml", ["api"]), ("pyproject.toml", ["tool", "prefect", "api"])):
        if "url" in _table(Path(name), tables):
            return f"the file {name} of this folder"
    return f"Prefect's profile {get_settings_context().profile.name!r} ({PREFECT_PROFILES_PATH.value()})"


def _table(file: Path, tables: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with suppress(OSError):
        found = tomllib.loads(file.read_text(encoding="utf-8"))
    for table in tables:
        found = found.get(table, {})
    return found


def _joined(dvc: psutil.Process) -> bool:
    """Report to the temporary server that another stage of the same DVC started, if there is one and it answers."""
    try:
        kept = json.loads(SHARED.read_text(encoding="utf-8"))
        if kept["dvc"] != _identity(dvc):
            return False
        _use(int(kept["port"]), str(kept["password"]))
        version()
    except (OSError, ValueError, LookupError, TypeError):
        return False
    except AwayError:
        os.environ.pop(VARIABLE)
        return False
    return True


def _identity(process: psutil.Process) -> list[float]:
    """What no other process has: another may get the number of one that has ended."""
    return [process.pid, process.create_time()]


def _start(dvc: psutil.Process | None) -> None:
    """Start a temporary server, wait until it answers, and have this process and all that it starts report to it.

    It ends with the DVC above, if there is one, else with this process.
    """
    ROOM.mkdir(mode=0o700, parents=True, exist_ok=True)
    password, log = f"winnow:{secrets.token_hex(16)}", ROOM / "server.log"
    owner = dvc.pid if dvc else os.getpid()
    reading, writing = os.pipe()
    with log.open("ab") as out:
        begun = out.tell()
        command = [sys.executable, "-m", "winnow.local.prefect_app", "--ready", str(writing), "--owner", str(owner)]
        process = subprocess.Popen(
            command, env=_environment(password), pass_fds=[writing], stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
    os.close(writing)
    if not dvc:
        atexit.register(_end, process)
    with open(reading) as ready:  # which ends without a word where the server has
        port = ready.read() if select.select([ready], [], [], LONGEST)[0] else ""
    if not port:
        _end(process)
        with log.open("rb") as file:
            file.seek(begun)
            said = file.read().decode(errors="replace").splitlines()[-LAST:]
        raise WorkError(f"Prefect's temporary server did not start; the end of {log}:\n" + "\n".join(said))
    if dvc:
        _keep({"dvc": _identity(dvc), "port": int(port), "password": password})
    _use(int(port), password)


def _keep(server: dict[str, Any]) -> None:
    """Leave the port and the password for the next stages, readable by this user only."""
    with whole_file(SHARED) as partial:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)  # never readable by others
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump(server, file)


def _use(port: int, password: str) -> None:
    """Have this process and all that it starts report to a temporary server."""
    from prefect.context import refresh_global_settings_context

    os.environ |= {VARIABLE: f"http://127.0.0.1:{port}/api", login.VARIABLE: password}
    for name, value in UNHURRIED.items():
        os.environ.setdefault(name, value)
    bypass_proxy(os.environ)
    refresh_global_settings_context()


def _environment(password: str) -> dict[str, str]:
    """What a temporary server sees: the settings of this process, a home in the project, and its password."""
    from prefect.settings import get_current_settings

    home = {"PREFECT_HOME": os.environ.get("PREFECT_HOME") or str(ROOM.absolute())}
    chosen = get_current_settings().to_environment_variables(exclude_unset=True)
    code = os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")]))
    own = {VARIABLE: "", login.SERVERS: password, "PYTHONPATH": code}
    return UNHURRIED | os.environ | chosen | home | own


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a temporary server; it has a few seconds to write down what it was sent."""
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
