"""A DVC remote that refuses: for a moment, and the version is published; for good, and that is said at once."""

import functools
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from faulty import mounted
from support import ROOT, Project

from winnow.errors import InputError
from winnow.releases import dvc_push

PUBLISH = (sys.executable, "-m", "winnow.cli.main", "release", "publish", "subset", "--version", "1.0.0")
PIPELINE = """
stages:
  release: {cmd: cp -r made data/release, deps: [made], outs: [data/release]}
artifacts:
  subset: {path: data/release, type: dataset}
"""


@pytest.fixture
def made(workdir: Path, photo_stages: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with a release to publish."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    project = Project(workdir / "project", os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)})
    shutil.copytree(photo_stages / "release", project.folder / "made")
    (project.folder / "data").mkdir()
    (project.folder / "dvc.yaml").write_text(PIPELINE)
    project.use_git()
    for command in (["init", "-q"], ["repro", "-q"]):
        project.do("dvc", *command)
    return project


def use(project: Project, store: str, **options: str) -> None:
    project.do("dvc", "remote", "add", "-q", "--default", "store", store)
    for key, value in options.items():
        project.do("dvc", "remote", "modify", "-q", "store", key, value)
    project.commit()


class Store(SimpleHTTPRequestHandler):
    """A server of files that takes files too, but refuses the first so many of them with a code."""

    refusals: list[int]

    def do_PUT(self) -> None:
        """Take a file, or not."""
        body = (
            self.rfile.read(int(self.headers["Content-Length"])) if "Content-Length" in self.headers else self.chunks()
        )
        if self.refusals:
            self.send_error(self.refusals.pop())
            return
        path = Path(self.translate_path(self.path))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def chunks(self) -> bytes:
        """The body where it comes in pieces."""
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def served(folder: Path, refusals: list[int]) -> Iterator[str]:
    handler = type("Refusing", (Store,), {"refusals": refusals})
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(folder))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/store"
        server.shutdown()


def published(project: Project, store: Path) -> None:
    """The version is there, whole, and so is every file of it in the remote; no lock is left."""
    assert project.do("git", "tag").split() == ["subset@v1.0.0"]
    assert sum(path.is_file() for path in store.rglob("*")) > len(list((project.folder / "made").iterdir()))
    assert "in sync" in project.do("dvc", "status", "--cloud")
    assert not locks(project)


def locks(project: Project) -> list[str]:
    """What of DVC's lock file is still held."""
    held = project.folder / ".dvc/tmp/rwlock"
    return [word for word in ("pid", "cmd") if held.exists() and word in held.read_text()]


def test_a_server_that_is_busy_for_a_moment_is_asked_again(made: Project, workdir: Path) -> None:
    (workdir / "files").mkdir()
    with served(workdir / "files", [503, 429, 500]) as url:
        use(made, url, method="PUT")
        done = made.run(*PUBLISH)
        assert done.returncode == 0, done.stdout
        assert "the remote did not take it" in done.stdout
        assert "Traceback" not in done.stdout
        published(made, workdir / "files")


def test_one_that_says_no_is_not_and_the_same_command_goes_on_once_it_agrees(made: Project, workdir: Path) -> None:
    (workdir / "files").mkdir()
    refusals = [403] * 1000
    with served(workdir / "files", refusals) as url:
        use(made, url, method="PUT")
        done = made.run(*PUBLISH)
        assert (done.returncode, "refused and will again (403" in done.stdout) == (2, True), done.stdout
        assert "again in" not in done.stdout
        assert "Traceback" not in done.stdout
        assert made.do("git", "tag") == ""
        refusals.clear()
        made.do(*PUBLISH)
        published(made, workdir / "files")


@pytest.mark.parametrize(("spoilt", "mended"), [("ro", "rw"), ("size=16k", "size=64m")])
def test_a_folder_that_cannot_be_written_or_is_full(made: Project, workdir: Path, spoilt: str, mended: str) -> None:
    with mounted(workdir / "store", spoilt) as remount:
        use(made, str(workdir / "store"))
        done = made.run(*PUBLISH)
        assert (done.returncode, "refused and will again" in done.stdout) == (2, True), done.stdout
        assert "Traceback" not in done.stdout
        remount(mended)
        made.do(*PUBLISH)
        published(made, workdir / "store")


def test_only_what_may_pass_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dvc_push, "PAUSE", 0)
    for error, attempts in ((ConnectionResetError("x"), 4), (PermissionError("x"), 1), (InputError("x"), 1)):
        asked = []

        def fail(error: Exception = error, asked: list[int] = asked) -> int:
            asked.append(1)
            raise error

        monkeypatch.setattr(dvc_push, "_push", fail)
        with pytest.raises(InputError, match="x"):
            dvc_push.push()
        assert len(asked) == attempts
