"""What may be opened: paths, and URLs of a few protocols; nothing else starts a program or makes a connection."""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import pandas as pd
import pytest
from fsspec.implementations.http import HTTPFileSystem

from winnow import urls
from winnow.errors import InputError
from winnow.images import storage
from winnow.sources import open_source
from winnow.terminal.redact import redact


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A port that notices who connects."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.3)
        yield server


REFUSED = [
    "dask://127.0.0.1:{port}/x",
    "dask://127.0.0.1:{port}/x::file:///etc",
    "simplecache::http://127.0.0.1:{port}/x",
    "http://127.0.0.1:{port}/x::file:///etc",
    "ftp://127.0.0.1:{port}/x",
    "sftp://127.0.0.1:{port}/x",
    "ssh://127.0.0.1:{port}/x",
    "smb://127.0.0.1:{port}/x",
    "webhdfs://127.0.0.1:{port}/x",
    "jupyter://127.0.0.1:{port}/x",
    "HTTP://127.0.0.1:{port}/x",
    "git://.",
    "github://someone",
    "zip://x::file:///etc/passwd",
    "tar://x",
    "libarchive://x",
    "reference://x",
    "filecache://x",
    "dir://x",
    "generic://x",
    "data://x",
    "dvc://x",
    # An address in brackets is a host only where a host stands, and nothing else may be in it or follow it.
    "simplecache::http://[::1]:{port}/x",
    "dask://[::1]:{port}/x",
    "http://[::1]:{port}/x::file:///etc",
    "http://[::1]:{port}/x::dask://127.0.0.1:{port}",
    "http://[::1]:{port}::dask://127.0.0.1:{port}",
    "http://[::1]::8080/x",
    "http://[::1]x::dask://127.0.0.1:{port}",
    "http://[::1]:{port}/[::1]",
    "http://[::1]:{port}/x?a=[::1]",
    "http://127.0.0.1:{port}/[::1]/x",
    "http://127.0.0.1:{port}?@[::1]",
    "http://127.0.0.1:{port}#@[::1]",
    "http://127.0.0.1:{port}\\@[::1]/x",
    "http://[dask::http]/x",
    "http://[file::]/x",
    "http://[::dask://127.0.0.1:{port}]/x",
    "http://[::1::2]/x",
    "http://[:::1]/x",
    "http://[::g]/x",
    "http://[::1",
    "http://::1]:8080/x",
    "http://[a",
    "http://::1/x",
    "http://[fe80::1%25eth0]/x",
    "http://user@[::1]@[::1]/x",
    "HTTP://[::1]:{port}/x",
    "s3://[::1]/x",
    "file://[::1]/x",
    "[::1]://x",
]


@pytest.mark.parametrize("url", REFUSED)
def test_other_protocols_and_chains_are_refused_before_anything_is_opened(url: str, listener: socket.socket) -> None:
    url = url.format(port=listener.getsockname()[1])
    with pytest.raises(InputError, match=r"^prepare\.source: .* cannot be opened: ") as error:
        open_source(url)
    assert redact(url) in str(error.value)
    with pytest.raises(TimeoutError):
        listener.accept()


@pytest.mark.parametrize(
    "url", ["s3://b/k", "s3a://b/k", "hf://datasets/a/b", "memory://x", "https://host/x", "file:///x"]
)
def test_the_protocols_of_stores_are_allowed(url: str) -> None:
    urls.check(url)
    assert urls.is_remote(url) == (not url.startswith("file"))


IPV6 = [
    "http://[::1]",
    "http://[::1]/",
    "http://[::1]:8080/x",
    "https://[2001:DB8::a:1]/x",
    "http://[1:2:3:4:5:6:7:8]/x",
    "http://[::ffff:10.0.0.1]:8080/x",
    "http://[::]/x",
    "http://me@[::1]:8080/x",
    "http://[::1]?x=1",
]


@pytest.mark.parametrize("url", IPV6)
def test_an_ipv6_address_is_a_host_and_no_chain(url: str) -> None:
    urls.check(url)
    files, path = urls.connect(url)
    assert isinstance(files, HTTPFileSystem)
    assert path == url.rstrip("/")


def test_fsspec_never_takes_a_location_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own functions split a location at every `::`, so that those of IPv6 addresses would be a chain."""

    def refuse(*_: object, **__: object) -> None:
        pytest.fail("fsspec looks for a chain")

    monkeypatch.setattr(fsspec.core, "_un_chain", refuse)
    for url in (*IPV6, "memory://x", "s3://b/k", "hf://datasets/a/b", "file:///x", "a::b"):
        urls.connect(url)


class Photos(SimpleHTTPRequestHandler):
    """Serves the working directory."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Server6(ThreadingHTTPServer):
    """Listens at an IPv6 address."""

    address_family = socket.AF_INET6


def test_images_of_a_server_with_an_ipv6_address(workdir: Path) -> None:
    (workdir / "a").mkdir()
    (workdir / "a/1.png").write_bytes(b"one")
    (workdir / "list.csv").write_text("path,label\na/1.png,cat\n")
    try:
        server = Server6(("::1", 0), Photos)
    except OSError:
        pytest.skip("this machine has no IPv6")
    with server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        source = open_source(f"http://[::1]:{server.server_port}/list.csv")
        assert list(storage.read(source.base, source.table)) == [b"one"]
        server.shutdown()


NAMES = ["a::b", "zip::x", "data:x", "file:x", "local:x", "http:", "c:", "x@y", "-x"]


@pytest.mark.parametrize("name", NAMES)
def test_a_path_with_colons_in_it_is_a_path(workdir: Path, name: str) -> None:
    (workdir / name / "cat").mkdir(parents=True)
    (workdir / name / "cat/1.png").write_bytes(b"x")
    for location in (name, f"./{name}", str(workdir / name)):
        source = open_source(location)
        assert list(storage.read(source.base, source.table)) == [b"x"]
        assert not urls.is_remote(location)


@pytest.mark.parametrize("base", ["photos", "memory://colons"])
def test_classes_with_colons_in_their_names_are_classes(workdir: Path, base: str) -> None:
    files, root = urls.connect(base)
    for name in ("a::b", "dask:", "zip::c"):
        files.makedirs(f"{root}/{name}")
        files.pipe_file(f"{root}/{name}/1.png", name.encode())
    source = open_source(base)
    assert source.classes == ["a::b", "dask:", "zip::c"]
    assert list(storage.read(source.base, source.table)) == [b"a::b", b"dask:", b"zip::c"]


def test_the_home_folder_is_found_by_its_short_name(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(workdir / "home"))
    assert urls.local("~/photos") == workdir / "home/photos"
    assert urls.connect("~/photos")[1] == str(workdir / "home/photos")


OUTSIDE = ["../secret", "a/../../secret", "/etc/passwd", "a/\0b"]


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("base", ["inner", "memory://inner"])
def test_a_file_of_an_index_stays_below_its_base(workdir: Path, base: str, name: str) -> None:
    (workdir / "inner/a").mkdir(parents=True)
    (workdir / "secret").write_bytes(b"secret")
    files, root = urls.connect(base)
    files.pipe_file(f"{root}/good", b"good")
    files.pipe_file(f"{root}/../secret", b"secret")
    asked = pd.DataFrame([("good", 0, 0), (name, 0, 0), ("good", 0, 0)], columns=["file", "place", "size"])
    first, second, third = storage.read(base, asked)
    assert (first, third) == (b"good", b"good")
    assert isinstance(second, OSError)
    assert "leads out of the source" in str(second)
    with pytest.raises(InputError, match="leads out of"):
        list(storage.read(base, asked.assign(size=storage.ROW)[1:2]))


@pytest.mark.parametrize("name", ["a::b", "memory://x", "dask://h:1/x", "~/x", "file:x"])
def test_a_file_of_an_index_names_no_protocol(workdir: Path, name: str) -> None:
    (workdir / "inner" / name).parent.mkdir(parents=True, exist_ok=True)
    (workdir / "inner" / name).write_bytes(b"inside")
    asked = pd.DataFrame([(name, 0, 0)], columns=["file", "place", "size"])
    assert list(storage.read("inner", asked)) == [b"inside"]


class Redirecting(BaseHTTPRequestHandler):
    """Sends whoever asks to a file."""

    target: Path

    def do_GET(self) -> None:
        """Answer with the address of a file."""
        self.send_response(302)
        self.send_header("Location", self.target.as_uri())
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_server_cannot_send_on_to_a_file(workdir: Path) -> None:
    Redirecting.target = workdir / "secret"
    Redirecting.target.write_bytes(b"secret")
    with ThreadingHTTPServer(("127.0.0.1", 0), Redirecting) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        asked = pd.DataFrame([("1.png", 0, 0)], columns=["file", "place", "size"])
        (found,) = storage.read(f"http://127.0.0.1:{server.server_port}/photos", asked)
        server.shutdown()
    assert isinstance(found, OSError)
    assert "NonHttpUrlRedirect" in str(found)
