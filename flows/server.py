"""One Prefect server for a whole pipeline, where none is running."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def shared() -> Iterator[dict[str, str]]:
    """Give the environment in which stages report to one server: the one in PREFECT_API_URL, else a temporary one.

    A stage that finds no server starts one of its own, which takes longer than most stages of a small data set.
    """
    from prefect.server.api.server import SubprocessASGIServer
    from prefect.settings import PREFECT_API_URL

    if PREFECT_API_URL.value():
        yield dict(os.environ)
        return
    server = SubprocessASGIServer()
    server.start(timeout=120)  # a busy machine needs more than the usual 20 seconds
    try:
        yield os.environ | {"PREFECT_API_URL": server.api_url}
    finally:
        server.stop()
