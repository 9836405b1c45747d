"""A server answers or it does not: no address and no answer, however odd, is an error, and none is waited for long."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from winnow import reach


@pytest.fixture
def listen() -> Iterator[Callable[[bytes | None], str]]:
    """Start a server that answers every connection with the same bytes, or with none; its address."""
    opened = []

    def serve(server: socket.socket, said: bytes | None) -> None:
        kept = []
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            kept.append(connection)
            if said is not None:
                connection.recv(1000)
                connection.sendall(said)
                connection.close()

    def start(said: bytes | None) -> str:
        server = socket.create_server(("127.0.0.1", 0))
        opened.append(server)
        threading.Thread(target=serve, args=(server, said), daemon=True).start()
        return f"127.0.0.1:{server.getsockname()[1]}"

    yield start
    for server in opened:
        server.close()


def test_whatever_it_says_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:  # answers everything with an error
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for host in ("127.0.0.1", "localhost", "me:secret@127.0.0.1"):
            assert reach.answers(f"http://{host}:{server.server_port}/some where", 30, "HEAD"), host
        server.shutdown()


@pytest.mark.parametrize("said", [b"220 mail.example ESMTP\r\n", b"HTTP/1.1 none\r\n\r\n", b"", b"\0\xff\n\n"])
def test_one_that_speaks_another_language_does_not(listen: Callable[[bytes | None], str], said: bytes) -> None:
    assert not reach.answers(f"http://{listen(said)}/", 30)
    assert not reach.answers(f"https://{listen(said)}/", 30)


def test_one_that_says_nothing_is_not_waited_for(listen: Callable[[bytes | None], str]) -> None:
    begun = time.monotonic()
    assert not reach.answers(f"http://{listen(None)}/", 0.3)
    assert time.monotonic() - begun < 20


@pytest.mark.parametrize(
    "url",
    [
        "",
        "x",
        "ftp://127.0.0.1/",
        "http://",
        "http://[::1",
        "http://127.0.0.1:port/",
        "http://127.0.0.1:9/",
        "http://no-such-host.invalid/",
        f"http://{'a' * 70}.example/",
        "http://\n/",
        "http://127.0.0.1:99999/",
    ],
)
def test_an_address_that_is_none_does_not(url: str) -> None:
    assert not reach.answers(url, 30)


def test_what_takes_too_long_is_left_to_itself() -> None:
    with pytest.raises(TimeoutError, match="no answer"):
        reach.within(0.05, threading.Event().wait)
    with pytest.raises(ZeroDivisionError):
        reach.within(5, lambda: 1 / 0)
    assert reach.within(5, lambda: 3) == 3


def test_a_proxy_is_passed_by_for_this_machine_alone() -> None:
    env = {"no_proxy": "internal.example", "http_proxy": "http://proxy.example"}
    for _ in range(2):
        reach.bypass_proxy(env)
    assert env["no_proxy"] == "internal.example,127.0.0.1,localhost"
    assert env["NO_PROXY"] == env["no_proxy"]
    assert env["http_proxy"] == "http://proxy.example"
