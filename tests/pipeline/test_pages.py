"""Pages in a browser: what `make up` serves is for its own pages, and for who has the password; others get nothing."""

import asyncio
import base64
import http.client
import os
import shutil
import stat
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import psutil
import pytest
from playwright.sync_api import Browser, sync_playwright
from prefect.events import Event, emit_event
from prefect.events.clients import get_events_subscriber
from prefect.events.filters import EventFilter, EventNameFilter
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
from processes import free_port
from support import Project, checkout

from winnow.files.json_files import read_json
from winnow.local import login
from winnow.reach import within

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [pytest.mark.slow, pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome is installed")]

SERVICES = (sys.executable, "-m", "winnow.cli.main")
RUN = '{"job_variables": {"command": "touch taken"}}'
# What a page can try: requests with a preflight and without, and a web socket; "refused" where it learns nothing.
TRIES = """async ([url, body, socket]) => {
    const told = []
    for (const [method, kind, mode] of [["GET", null, "cors"], ["POST", "text/plain", "cors"],
                                        ["POST", "application/json", "cors"], ["POST", "text/plain", "no-cors"]]) {
        const headers = kind ? {"Content-Type": kind} : {}
        try {
            const answer = await fetch(url, {method, mode, headers, body: method == "POST" ? body : undefined})
            told.push(answer.type == "opaque" ? "refused" : await answer.text())
        } catch (error) { told.push("refused") }
    }
    told.push(await new Promise(done => {
        const opened = new WebSocket(socket, ["prefect"])
        opened.onopen = () => done("opened")
        opened.onerror = () => done("refused")
    }))
    return told
}"""


class Page(BaseHTTPRequestHandler):
    """A page of somebody else."""

    def do_GET(self) -> None:
        """Answer with an empty page."""
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>a page</title>")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Up:
    """A project that is up, and where."""

    def __init__(self, project: Project, prefect: int, mlflow: int, said: str) -> None:
        self.project, self.prefect, self.mlflow, self.said = project, prefect, mlflow, said
        self.url = f"http://127.0.0.1:{prefect}/api"
        self.password = (project.folder / login.PLACE).read_text().split(f"{login.VARIABLE}=")[1].strip()

    def ask(self, port: int, path: str, method: str = "GET", **headers: str) -> int:
        """The status of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        body = RUN if method == "POST" else None
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        return connection.getresponse().status


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """Give what `make up` starts; it is gone after the tests."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_TRACKING"))}
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    project = checkout(tmp_path_factory.mktemp("up") / "project", env)
    prefect, mlflow = free_port(), free_port()
    said = project.do(*SERVICES, "up", "--prefect", str(prefect), "--mlflow", str(mlflow), timeout=900)
    yield Up(project, prefect, mlflow, said)
    project.do(*SERVICES, "down")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser to which evil.example is this machine, as after DNS rebinding."""
    with sync_playwright() as playwright:
        rules = "--host-resolver-rules=MAP *.example 127.0.0.1"
        opened = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", rules])
        yield opened
        opened.close()


def test_the_password_is_its_users_alone(up: Up) -> None:
    place = up.project.folder / login.PLACE
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    secret = up.password.split(":")[1]
    assert len(secret) == 32
    assert secret not in up.said
    assert f". {login.PLACE}" in up.said
    roots = [psutil.Process(read_json(file)["pid"]) for file in place.parent.glob("*.json")]
    ours = [each for root in roots for each in (root, *root.children(recursive=True))]
    assert len(ours) >= 3
    assert not any(secret in " ".join(each.cmdline()) for each in ours)
    for path in filter(Path.is_file, (up.project.folder / ".winnow").rglob("*")):
        assert path == place or secret.encode() not in path.read_bytes(), path


def test_a_page_of_another_server_of_this_machine_gets_nothing(up: Up, browser: Browser) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as other:
        Thread(target=other.serve_forever, daemon=True).start()
        for host in ("127.0.0.1", "evil.example"):
            page = browser.new_page()
            page.goto(f"http://{host}:{other.server_port}/")
            for port, path in (
                (up.prefect, "/api/health"),
                (up.prefect, "/api/deployments/filter"),
                (up.prefect, "/ui-settings"),
                (up.mlflow, "/health"),
                (up.mlflow, "/api/2.0/mlflow/experiments/search?max_results=1"),
            ):
                socket = f"ws://127.0.0.1:{up.prefect}/api/events/in"
                told = page.evaluate(TRIES, [f"http://127.0.0.1:{port}{path}", RUN, socket])
                assert told == ["refused"] * 5, (host, path, told)
            page.close()
        other.shutdown()


@pytest.mark.parametrize("server", ["prefect", "mlflow"])
def test_it_is_refused_before_the_server_sees_it(up: Up, server: str) -> None:
    port = getattr(up, server)
    paths = (
        ["/api/health", "/api/ready", "/ui-settings", "/api/flows/filter"]
        if server == "prefect"
        else ["/health", "/api/2.0/mlflow/experiments/create", "/ajax-api/3.0/mlflow/assistant/message"]
    )
    own = f"127.0.0.1:{port}"
    for path in paths:
        for host in ("evil.example", f"10.evil.example:{port}", f"192.168.1.1:{port}"):
            assert up.ask(port, path, Host=host) == 400, (path, host)
            assert up.ask(port, path, "POST", Host=host, Origin=f"http://{host}", Content_Type="text/plain") == 400
        for origin in ("http://evil.example", "http://127.0.0.1:1", f"https://{own}", "null"):
            assert up.ask(port, path, Host=own, Origin=origin) == 403, (path, origin)
            assert up.ask(port, path, "POST", Host=own, Origin=origin, Content_Type="text/plain") == 403, (path, origin)


def test_a_page_by_another_name_of_the_server_itself_gets_nothing(up: Up, browser: Browser) -> None:
    page = browser.new_page()
    for port in (up.prefect, up.mlflow):
        answer = page.goto(f"http://evil.example:{port}/")
        assert answer
        assert (answer.status, answer.text()) == (400, "Invalid host header")
    page.close()


def test_whoever_has_no_password_gets_nothing(up: Up) -> None:
    assert up.ask(up.prefect, "/api/deployments/filter", "POST", Content_Type="application/json") == 401
    basic = "Basic " + base64.b64encode(up.password.encode()).decode()
    assert up.ask(up.prefect, "/api/admin/version", Authorization=basic) == 200


def test_a_person_signs_in_with_the_password(up: Up, browser: Browser) -> None:
    page = browser.new_page()
    page.goto(f"http://localhost:{up.prefect}/")
    page.locator("input[type=password]").fill(up.password, timeout=120_000)
    page.keyboard.press("Enter")
    page.get_by_text("Flow Runs").first.wait_for(timeout=120_000)
    page.goto(f"http://localhost:{up.prefect}/deployments")
    page.get_by_text("evaluate-grid").first.wait_for(timeout=120_000)
    page.goto(f"http://127.0.0.1:{up.mlflow}/")
    page.get_by_text("Experiments").first.wait_for(timeout=120_000)
    page.close()


def test_commands_of_the_project_find_the_password(up: Up) -> None:
    named = Project(up.project.folder, up.project.env | {"PREFECT_API_URL": up.url, "COLUMNS": "300"})
    said = named.run(sys.executable, "-m", "winnow.cli.main", "doctor").stdout
    assert f" Prefect     {up.url}, version" in said, said
    assert "refresh/refresh" in up.project.do("sh", "-c", f". {login.PLACE} && prefect deployment ls")
    assert up.project.run(*SERVICES, "up", "--prefect", str(up.prefect), "--mlflow", str(up.mlflow)).returncode == 0
    assert up.password in (up.project.folder / login.PLACE).read_text(), "a second call changes nothing"


def test_events_reach_who_has_the_password(up: Up) -> None:
    async def heard() -> Event:
        wanted = EventFilter(event=EventNameFilter(name=["winnow.test"]))
        async with get_events_subscriber(filter=wanted) as subscriber:
            emit_event("winnow.test", {"prefect.resource.id": "winnow.test"})
            return await anext(aiter(subscriber))

    def listen() -> Event:
        with temporary_settings({PREFECT_API_URL: up.url, PREFECT_API_AUTH_STRING: up.password}):
            return asyncio.run(heard())

    assert within(120, listen).event == "winnow.test"  # in a thread: the browser's loop runs in this one
