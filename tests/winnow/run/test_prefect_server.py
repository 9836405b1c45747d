"""A stage's Prefect server: the one that is named, or a temporary one that is its own and ends with it."""

import base64
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from support import ROOT
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from winnow.run import prefect_server

STARTS = """
import os, sys, time
from prefect import flow
from winnow.run import prefect_server as server

@flow
def nothing(): return 1

with server.shared() as env:
    nothing()
    print(env["PREFECT_API_URL"], flush=True)
    time.sleep(600)
"""
STAGE = [sys.executable, "-m", "flows.sample"]


def plain(**env: str) -> dict[str, str]:
    """The environment of somebody who has set nothing of Prefect."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return kept | {"PYTHONPATH": str(ROOT)} | env


def run(**env: str) -> subprocess.CompletedProcess[str]:
    """Run a stage as a user does; both streams in `stdout`."""
    Path("params.yaml").write_text("{}")
    return subprocess.run(
        STAGE, env=plain(**env), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=900
    )


def servers(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The servers that a process has started."""
    try:
        return [each for each in psutil.Process(process.pid).children() if "winnow.local.prefect_app" in each.cmdline()]
    except psutil.Error:
        return []


def gone(process: psutil.Process) -> bool:
    for _ in range(600):
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.1)
    return False


def test_it_ends_with_a_process_that_is_killed(workdir: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", STARTS], env=plain(), text=True, stdout=subprocess.PIPE)
    assert process.stdout
    assert process.stdout.readline().startswith("http://127.0.0.1:")
    (started,) = servers(process)
    process.kill()
    process.communicate()
    assert gone(started)
    assert (workdir / ".winnow/prefect/prefect.db").is_file(), "its records are the project's"


@pytest.mark.parametrize("moment", [0.0, 0.5, 2.0])
def test_it_ends_with_one_that_is_killed_while_it_starts(workdir: Path, moment: float) -> None:
    process = subprocess.Popen([sys.executable, "-c", STARTS], env=plain(), text=True, stdout=subprocess.PIPE)
    while not (started := servers(process)):
        assert process.poll() is None
        time.sleep(0.01)
    time.sleep(moment)
    process.kill()
    said, _ = process.communicate()
    assert not said, "it was still starting"
    assert gone(started[0])


def test_two_that_start_at_once_share_the_records(workdir: Path) -> None:
    starts = STARTS.replace("time.sleep(600)", "pass")
    two = [
        subprocess.Popen(
            [sys.executable, "-c", starts], env=plain(), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=900)[0] for process in two]
    assert [process.returncode for process in two] == [0, 0], said


def ask(url: str, path: str, method: str = "GET", body: str | None = None, **headers: str) -> int:
    """The status of an answer."""
    parts = urlsplit(url)
    assert parts.hostname
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, named)
    return connection.getresponse().status


def test_it_answers_only_those_who_have_its_password(environment: dict[str, str]) -> None:
    url, login = environment["PREFECT_API_URL"], environment["PREFECT_API_AUTH_STRING"]
    basic = "Basic " + base64.b64encode(login.encode()).decode()
    assert ask(url, "/api/admin/version") == 401
    assert ask(url, "/api/admin/version", Authorization=basic) == 200
    assert len(login) > 30


def test_a_page_of_another_origin_or_by_another_name_is_refused(environment: dict[str, str]) -> None:
    url = environment["PREFECT_API_URL"]
    here, port = urlsplit(url).netloc, urlsplit(url).port
    text = "text/plain"
    for path in ("/api/health", "/api/ready", "/ui-settings", "/docs", "/api/flows/filter"):
        for host in ("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example", f"0.0.0.0:{port}"):
            assert ask(url, path, Host=host) == 400, (path, host)
        for origin in (
            "http://evil.example",
            "http://127.0.0.1:1",
            f"https://{here}",
            "null",
            f"http://localhost:{port}",
        ):
            assert ask(url, path, Origin=origin, Host=here) == 403, (path, origin)
            assert ask(url, path, "POST", "{}", Origin=origin, Host=here, Content_Type=text) == 403, (path, origin)
        for site in ("cross-site", "same-site"):
            for mode, kind in (("no-cors", "image"), ("no-cors", "script"), ("navigate", "iframe")):
                headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": kind}
                assert ask(url, path, Host=here, **headers) == 403, (path, headers)
    followed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert ask(url, "/api/health", Host=here, **followed) == 200, "a link leads here"
    assert ask(url, "/api/health", Host=here, **{"Sec-Fetch-Site": "same-origin"}) == 200
    assert ask(url, "/api/health", Origin=f"http://{here}", Host=here) == 200
    assert ask(url, "/api/health", Origin=f"http://localhost:{port}", Host=f"localhost:{port}") == 200


def test_web_sockets_too(environment: dict[str, str]) -> None:
    address = environment["PREFECT_API_URL"].replace("http", "ws", 1) + "/events/in"
    with pytest.raises(InvalidStatus, match="403"), connect(address, origin="http://evil.example"):  # type: ignore[arg-type]
        pass
    with connect(address, subprotocols=["prefect"]) as socket:  # type: ignore[list-item]
        socket.send('{"type": "auth", "token": "another"}')
        with pytest.raises(Exception, match="Invalid token"):
            socket.recv()


def test_its_password_is_on_no_command_line(environment: dict[str, str]) -> None:
    children = psutil.Process().children(recursive=True)
    (started,) = [each for each in children if "winnow.local.prefect_app" in each.cmdline()]
    assert environment["PREFECT_API_AUTH_STRING"].split(":")[1] not in " ".join(started.cmdline())


@pytest.mark.parametrize("where", ["environment", "profile", ".env", "prefect.toml", "pyproject.toml"])
def test_a_server_that_is_named_and_away_is_told_in_one_message(workdir: Path, where: str) -> None:
    """The message says where it is named; the temporary server that it offers works."""
    url, env = "http://127.0.0.1:9/api", {"PREFECT_HOME": str(workdir / "home")}
    (workdir / "home").mkdir()
    if where == "environment":
        env["PREFECT_API_URL"] = url
    elif where == "profile":
        (workdir / "home/profiles.toml").write_text(f'active = "mine"\n[profiles.mine]\nPREFECT_API_URL = "{url}"\n')
    elif where == ".env":
        (workdir / where).write_text(f"PREFECT_API_URL={url}\n")
    else:
        table = "api" if where == "prefect.toml" else "tool.prefect.api"
        (workdir / where).write_text(f'[{table}]\nurl = "{url}"\n')
    named = (
        "the environment"
        if where == "environment"
        else (
            f"Prefect's profile 'mine' ({workdir / 'home/profiles.toml'})"
            if where == "profile"
            else f"the file {where} of this folder"
        )
    )
    begun = time.monotonic()
    done = run(**env)
    assert done.returncode == 2, done.stdout
    assert time.monotonic() - begun < prefect_server.PATIENCE, "it is noticed at once"
    assert done.stdout.startswith(f"winnow: the Prefect server at {url} does not answer ("), done.stdout
    assert f"). PREFECT_API_URL is set in {named}. Start that server, or set" in done.stdout
    assert len(done.stdout.splitlines()) == 1


def test_an_empty_variable_is_the_way_out(workdir: Path) -> None:
    (workdir / "profiles.toml").write_text('active = "x"\n[profiles.x]\nPREFECT_API_URL = "http://127.0.0.1:9/api"\n')
    done = run(PREFECT_PROFILES_PATH=str(workdir / "profiles.toml"), PREFECT_API_URL="")
    assert done.returncode == 0, done.stdout


def test_one_that_speaks_another_language_is_told_too(workdir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        process = subprocess.Popen(
            STAGE,
            env=plain(PREFECT_API_URL=f"http://127.0.0.1:{other.getsockname()[1]}/api"),
            text=True,
            stderr=subprocess.PIPE,
        )
        Path("params.yaml").write_text("{}")
        other.accept()[0].sendall(b"220 mail.example ESMTP\r\n")
        _, said = process.communicate(timeout=600)
    assert process.returncode == 2
    assert re.fullmatch(r"winnow: the Prefect server at \S+ does not answer \(.+\)\. .+\n", said), said


def test_a_password_that_is_refused_is_told(workdir: Path, environment: dict[str, str]) -> None:
    url = environment["PREFECT_API_URL"]
    for login in ({}, {"PREFECT_API_AUTH_STRING": "winnow:another"}):
        done = run(PREFECT_API_URL=url, **login)
        assert done.returncode == 2, done.stdout
        assert done.stdout.startswith(
            f"winnow: the Prefect server at {url} refuses the password (401). Set PREFECT_API_"
        )
        assert "another" not in done.stdout


def test_one_that_ends_while_it_starts_is_told_at_once_with_what_it_said(workdir: Path) -> None:
    begun = time.monotonic()
    done = run(PREFECT_API_DATABASE_CONNECTION_URL="sqlite+aiosqlite:////dev/null/prefect.db")
    assert done.returncode == 1, done.stdout
    assert time.monotonic() - begun < 100
    assert "winnow: Prefect's temporary server did not start; the end of .winnow/prefect/server.log:\n" in done.stdout
    assert "unable to open database file" in done.stdout


def test_a_flow_that_is_called_by_itself_has_patience_too(workdir: Path) -> None:
    asks = "import flows; from prefect.settings import get_current_settings as s; print(s().server.ephemeral)"
    done = subprocess.run([sys.executable, "-c", asks], env=plain(), capture_output=True, text=True, check=True)
    assert "startup_timeout_seconds=300" in done.stdout


@pytest.mark.parametrize("proxy", ["", "http://127.0.0.1:9"])
def test_a_stage_needs_no_home_and_no_proxy(workdir: Path, proxy: str) -> None:
    done = run(HOME="/dev/null/home", http_proxy=proxy, HTTP_PROXY=proxy)
    assert done.returncode == 0, done.stdout
    assert (workdir / "data").is_dir()


REPORTS = """
import os, sys
from pathlib import Path
from prefect import flow
from winnow.run import prefect_server as server

@flow
def nothing(): return 1

with server.shared() as env:
    nothing()
    Path(sys.argv[1]).write_text(env["PREFECT_API_URL"])
"""


def repro(workdir: Path, between: str = "true") -> list[str]:
    """What the two stages of a DVC project say of their server; `between` is a command that runs after the first."""
    (workdir / "reports.py").write_text(REPORTS)
    stages = {
        name: {"cmd": f"{sys.executable} reports.py {name}", "deps": deps, "outs": [{name: {"cache": False}}]}
        for name, deps in (("first", []), ("second", ["first"]))
    }
    stages["first"]["cmd"] = [stages["first"]["cmd"], between]
    (workdir / "dvc.yaml").write_text(json.dumps({"stages": stages}))
    dvc = [sys.executable, "-m", "dvc"]
    subprocess.run([*dvc, "init", "-q", "--no-scm"], env=plain(), check=True)
    done = subprocess.run([*dvc, "repro"], env=plain(), capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return [(workdir / name).read_text() for name in ("first", "second")]


def listens(url: str) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", urlsplit(url).port or 0)) == 0


def test_the_stages_of_a_repro_share_one_that_ends_with_it(workdir: Path) -> None:
    first, second = repro(workdir)
    assert first == second
    kept = workdir / ".winnow/prefect/shared.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    for _ in range(600):
        if not listens(first):
            return
        time.sleep(0.1)
    pytest.fail("it goes on without DVC")


def test_a_stage_starts_another_where_the_first_one_has_ended(workdir: Path) -> None:
    code = (
        "import os, psutil; [p.kill() for p in psutil.process_iter(['cmdline', 'cwd']) if p.info['cwd'] == os.getcwd()"
    )
    code += " and 'winnow.local.prefect_app' in (p.info['cmdline'] or [])]"
    first, second = repro(workdir, f'{sys.executable} -c "{code}"')
    assert first != second


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"dvc": [1, 2.0], "port": 9, "password": "x:y"}'])
def test_what_another_run_left_is_not_used(workdir: Path, text: str) -> None:
    kept = workdir / ".winnow/prefect/shared.json"
    kept.parent.mkdir(parents=True)
    kept.write_text(text)
    first, second = repro(workdir)
    assert first == second
    assert not first.endswith(":9/api")
