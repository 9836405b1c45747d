"""The audit tells a vulnerable package from a service that is away, and a licence that nobody looked at."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from support import ROOT

AUDIT = ROOT / ".ci/audit.py"
FAULT = {
    "id": "GHSA-test",
    "summary": "it is bad",
    "affected": [
        {
            "package": {"name": "jinja2", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "3.1.9"}]}],
        }
    ],
}


class Osv(BaseHTTPRequestHandler):
    """Answers as osv.dev does: one release of one package is vulnerable."""

    def do_POST(self) -> None:
        """Say what is known of a package."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        known = asked["package"]["name"] == "jinja2"
        body = json.dumps({"vulns": [FAULT]} if known else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def service() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Osv) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
        server.shutdown()


def audit(pins: Path, service: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(AUDIT), "--constraints", str(pins), "--osv-url", service]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_vulnerable_package_is_named_and_fails(workdir: Path, service: str) -> None:
    (workdir / "pins.txt").write_text("Jinja2==3.1.6\nrich==15.0.0\n")
    done = audit(workdir / "pins.txt", service)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "audit: jinja2 3.1.6: GHSA-test (mended in: 3.1.9)" in done.stdout
    assert "audit: 2 packages, 1 known vulnerabilities" in done.stdout
    (workdir / "pins.txt").write_text("rich==15.0.0\n")
    assert "audit: 1 packages, 0 known" in audit(workdir / "pins.txt", service).stdout


def test_a_service_that_is_away_is_told_and_licences_are_listed_all_the_same(workdir: Path) -> None:
    (workdir / "pins.txt").write_text("jinja2==3.1.6\n")
    done = audit(workdir / "pins.txt", "http://127.0.0.1:9/v1/query")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "audit: NOT DONE: http://127.0.0.1:9/v1/query cannot be reached" in done.stdout
    assert "licence: " in done.stdout
    assert "NOT LOOKED AT" not in done.stdout


def test_what_cannot_be_read_is_a_failure(workdir: Path, service: str) -> None:
    (workdir / "pins.txt").write_text("jinja2>=3\n")
    done = audit(workdir / "pins.txt", service)
    assert (done.returncode, "pip-audit failed" in done.stderr) == (1, True)


@pytest.mark.parametrize(
    ("licence", "free"),
    [
        ("MIT", True),
        ("BSD License", True),
        ("Apache-2.0 OR GPL-2.0-or-later", True),
        ("GNU Lesser General Public License v3; MIT License", True),
        ("MIT AND GPL-3.0-only", False),
        ("GNU General Public License v3 (GPLv3)", False),
        ("AGPL-3.0", False),
        ("Use permitted by permission", False),
        ("UNKNOWN", False),
    ],
)
def test_licences_that_need_a_look(licence: str, free: bool) -> None:
    spec = importlib.util.spec_from_file_location("audit", AUDIT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.known("some-package", licence) is free
