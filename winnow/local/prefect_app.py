"""Prefect's server, restricted to its own pages and to clients that have its password. Run as a module.

By default, Prefect answers any page in a browser, under any host name, and whoever can start a flow run can run a
command. Here, requests for another host or from another origin are refused before Prefect sees them. `winnow up` runs
this server, and so does a stage if no server is configured (`winnow.run.prefect_server`).
"""

import argparse
import fcntl
import os
import signal
import socket
import threading
import time
from contextlib import suppress

import psutil
import uvicorn

from winnow.local.own_pages import OwnPages
from winnow.run import environment

HOST = "127.0.0.1"


class Server(uvicorn.Server):
    """Says when it answers, and lets the next one start: two may not change one database at once."""

    def __init__(self, config: uvicorn.Config, lock: int, ready: int | None) -> None:
        super().__init__(config)
        self.lock, self.ready = lock, ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then tell."""
        await super().startup(sockets)
        os.close(self.lock)
        if self.ready is not None and sockets:
            os.write(self.ready, str(sockets[0].getsockname()[1]).encode())
            os.close(self.ready)


def main() -> None:
    """Serve until told to end."""
    environment.prepare()
    parser = argparse.ArgumentParser(prog="python -m winnow.local.prefect_app", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0: any that is free")
    parser.add_argument("--ready", type=int, help="file descriptor that is told the port once the server answers")
    parser.add_argument("--owner", type=int, help="process with which the server ends; it is a temporary one then")
    given = parser.parse_args()
    if given.owner:
        threading.Thread(target=_end_with, args=(given.owner,), daemon=True).start()
    with socket.create_server((HOST, given.port)) as listening:
        os.environ["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"] = f"http://{HOST}:{listening.getsockname()[1]}"
        os.environ["PREFECT_UI_API_URL"] = "/api"  # whichever of its names a person calls the server by
        _serve(listening, given.ready, temporary=bool(given.owner))


def _serve(listening: socket.socket, ready: int | None, *, temporary: bool) -> None:
    from prefect.server.api.server import create_app
    from prefect.settings import get_current_settings

    settings = get_current_settings()
    lock = os.open(settings.home / "starting.lock", os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    app = OwnPages(create_app(final=True, ephemeral=temporary))
    api = settings.server.api
    config = uvicorn.Config(
        app,
        lifespan="on",
        log_level="error" if temporary else settings.server.logging_level.lower(),
        timeout_keep_alive=api.keepalive_timeout,
        ws_ping_interval=api.websocket_ping_interval,
        ws_ping_timeout=api.websocket_ping_timeout,
    )
    Server(config, lock, ready).run([listening])


def _end_with(owner: int) -> None:
    """End this process after its owner, whose last lines of logs have a few seconds to be written down."""
    with suppress(psutil.Error):
        process = psutil.Process(owner)
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(5)
    os._exit(0)


if __name__ == "__main__":
    main()
