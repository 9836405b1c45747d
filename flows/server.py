"""One Prefect server for a whole pipeline, or for a stage, where none is running."""

import atexit
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def shared() -> Iterator[dict[str, str]]:
    """Give the environment in which stages report to one server: the one in PREFECT_API_URL, else a temporary one.

    The temporary one ends with this process, however that ends, and not before: the last lines of logs are sent to it.
    Flows of this process find it by themselves; a stage that is given no server starts one of its own, which takes
    longer than most stages of a small data set.
    """
    from prefect.server.api.server import SubprocessASGIServer
    from prefect.settings import PREFECT_API_URL

    if PREFECT_API_URL.value():
        yield dict(os.environ)
        return
    server = SubprocessASGIServer()  # the one that Prefect itself would start, and stops at the exit
    if not server.running:
        server.start(timeout=120)  # a busy machine needs more than the usual 20 seconds
        assert server.server_process
        _guard(server.server_process.pid)
    yield os.environ | {"PREFECT_API_URL": server.api_url}


def _guard(pid: int) -> None:
    """End the process `pid` when this one is killed: then a pipe closes, for which a shell waits."""
    command = ["sh", "-c", 'cat > /dev/null; kill "$0"', str(pid)]
    guard = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    atexit.register(guard.kill)
