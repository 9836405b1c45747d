"""A webhook is told, or it is said that it was not: whatever it does, the error that it was to hear of goes on."""

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from winnow.run import webhook

TOLD: list[dict[str, object]] = []


class Hook(BaseHTTPRequestHandler):
    """Takes what is posted, and answers with the status that its path names."""

    def do_POST(self) -> None:
        """Keep it."""
        TOLD.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(int(self.path.rpartition("/")[2]))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def hook() -> Iterator[str]:
    """A webhook's address."""
    TOLD.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Hook) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/services/s3cret"
        server.shutdown()


def test_it_is_told(hook: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv(webhook.VARIABLE, f"{hook} with a space/200")
    webhook.send("words", ["a reason"])
    assert TOLD == [{"text": "words", "reasons": ["a reason"], "run": None, "flow_run": None}]
    assert capsys.readouterr().out == ""


def test_one_that_refuses_is_named_without_its_address(
    hook: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(webhook.VARIABLE, f"{hook}/404")
    webhook.send("words", [])
    assert capsys.readouterr().out == "the webhook (WINNOW_WEBHOOK) was not notified: it answers 404 Not Found\n"


@pytest.mark.parametrize("said", [b"220 mail.example ESMTP\r\n", b"", b"HTTP/1.1 none\r\n\r\n"])
def test_one_that_speaks_no_http_masks_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], said: bytes
) -> None:
    def answer() -> None:
        connection, _ = server.accept()
        connection.recv(10_000)
        connection.sendall(said)
        connection.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer)
        thread.start()
        monkeypatch.setenv(webhook.VARIABLE, f"http://127.0.0.1:{server.getsockname()[1]}/s3cret")
        webhook.send("words", [])
        thread.join()
    assert_said(capsys)


@pytest.mark.parametrize(
    "address",
    [
        "https://127.0.0.1:9/s3cret /B0",
        "http://[::1/s3cret",
        "s3cret",
        "ftp://127.0.0.1/s3cret",
        "http://127.0.0.1:port/s3cret",
        f"http://{'a' * 70}.example/s3cret",
        "http://no.invalid/\ns3cret",
    ],
)
def test_an_address_that_is_none_masks_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], address: str
) -> None:
    monkeypatch.setenv(webhook.VARIABLE, address)
    webhook.send("words", [])
    assert_said(capsys)


def assert_said(capsys: pytest.CaptureFixture[str]) -> None:
    said = capsys.readouterr().out
    assert said.startswith("the webhook (WINNOW_WEBHOOK) was not notified: ")
    assert "s3cret" not in said
