"""Everything a schedule needs on one machine: `winnow up`, `winnow status`, `winnow down`.

It starts a Prefect server, an MLflow server and a worker on this machine, and creates the work pool and the deployments
of prefect.yaml. A server named in the environment (PREFECT_API_URL, MLFLOW_TRACKING_URI) is used instead of a new one.
Prefect's server requires a password (`winnow.local.login`), because whoever reaches it can run commands here.
"""

import os
import subprocess
import sys
from pathlib import Path

from winnow.errors import WorkError
from winnow.files.locks import locked
from winnow.local import login, mlflow_ui
from winnow.local.daemon import MARK, ROOM, Service, descendants, file, known, running, start
from winnow.reach import bypass_proxy
from winnow.run import prefect_server, subcommand
from winnow.terminal.say import say

POOL = "winnow"
HOST = "127.0.0.1"


def services(prefect: int, mlflow: int) -> list[Service]:
    """Those that are started here, in order, at these ports."""
    found = []
    if _own("PREFECT_API_URL", prefect):
        found.append(
            Service(
                "prefect",
                ["winnow.local.prefect_app", "--port", str(prefect)],
                f"http://{HOST}:{prefect}/api/health",
                f"http://{HOST}:{prefect}",
            )
        )
    if _own("MLFLOW_TRACKING_URI", mlflow):
        found.append(
            Service(
                "mlflow",
                mlflow_ui.command(HOST, mlflow)[2:],
                f"http://{HOST}:{mlflow}/health",
                f"http://{HOST}:{mlflow}",
            )
        )
    worker = ["prefect", "worker", "start", "--pool", POOL, "--type", "process"]
    return [*found, Service("worker", worker, None, "runs what is due")]


def _own(variable: str, port: int) -> bool:
    """Whether the server is to be started here: the environment names none, or this very one."""
    return os.environ.get(variable, "").rstrip("/").removesuffix("/api") in ("", f"http://{HOST}:{port}")


def environment(prefect: int, mlflow: int) -> dict[str, str]:
    """What the services, and all that they start, see."""
    defaults = {
        "PREFECT_API_URL": f"http://{HOST}:{prefect}/api",
        "MLFLOW_TRACKING_URI": f"http://{HOST}:{mlflow}",
        "PREFECT_HOME": str((ROOM / "home").resolve()),
    }
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    # the code of this checkout, whatever is installed
    code = os.pathsep.join(filter(None, [str(Path.cwd()), os.environ.get("PYTHONPATH")]))
    if _own("PREFECT_API_URL", prefect):
        password = login.given() or login.make(defaults["PREFECT_API_URL"])
        defaults |= {login.VARIABLE: password, login.SERVERS: password}
    chosen = {name: value for name, value in os.environ.items() if value or name not in defaults}
    bypass_proxy(chosen)
    return defaults | chosen | {MARK: str(Path.cwd()), "PATH": path, "PYTHONPATH": code}


def up(prefect: int, mlflow: int) -> None:
    """Start what is not running yet, and say where the pages are; a second call changes nothing.

    Raises:
        InputError: a port is taken, or a server that is named does not answer.
        WorkError: a service ended at its start; with where its log lies.
    """
    with locked(ROOM / "up.lock", "starts the services of this project"):
        env = environment(prefect, mlflow)
        wanted = services(prefect, mlflow)
        for service in wanted:
            if service.name == "worker":
                _deploy(env)
            if running(service.name):
                say(f"{service.name} is running already")
            else:
                start(service, env)
        say(f"\nPrefect   {env['PREFECT_API_URL'].removesuffix('/api')}\nMLflow    {env['MLFLOW_TRACKING_URI']}")
        say(f"logs      {ROOM}/")
        known = f"export PREFECT_API_URL={env['PREFECT_API_URL']}"
        if _own("PREFECT_API_URL", prefect) and not login.given():
            known = f". {login.PLACE}"
            say(f"password  in {login.PLACE}, to sign in to Prefect's pages")
        say(f"\nnow, rather than when it is due:\n  {known}\n  prefect deployment run refresh/refresh")


def _deploy(env: dict[str, str]) -> None:
    """Make the work pool, where there is none, and the deployments of prefect.yaml."""
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    known = {PREFECT_API_URL: env["PREFECT_API_URL"], PREFECT_API_AUTH_STRING: env.get(login.VARIABLE)}
    with temporary_settings(known):
        prefect_server.version()
    pool = _prefect(env, "work-pool", "create", POOL, "--type", "process")
    if pool.returncode and "already exists" not in pool.stdout:
        raise WorkError(f"the work pool could not be made: {pool.stdout[-500:]}")
    deployed = _prefect(env, "--no-prompt", "deploy", "--all")
    if deployed.returncode:
        raise WorkError(f"the deployments could not be made: {deployed.stdout[-2000:]}")


def _prefect(env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "prefect", *arguments],
        env=env,
        text=True,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def down() -> None:
    """End every service and all that descends from one: the worker with its runs first, the servers last."""
    with locked(ROOM / "up.lock", "ends the services of this project"):
        for name in ("worker", "mlflow", "prefect"):
            if process := running(name):
                say(f"ending {name}")
                subcommand.end([process, *process.children(recursive=True)])
            file(name).unlink(missing_ok=True)
        subcommand.end(descendants())


def status() -> bool:
    """Say of each service whether it runs, and where; whether all of them do."""
    names = [path.stem for path in sorted(ROOM.glob("*.json"))]
    for name in names:
        found = known(name)
        state = (
            f"running (process {found['pid']}), {found['page']}" if running(name) else f"ended; see {ROOM / name}.log"
        )
        say(f"{name:<9} {state}")
    if not names:
        say("nothing is running; start it with winnow up")
    return bool(names) and all(map(running, names))
