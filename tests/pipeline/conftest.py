"""A real project: this checkout copied to an empty folder, under Git, reproduced with DVC, with a Prefect server.

The sample is the bundled one; only the training runs are shorter than by default.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import Project, checkout

from flows import server


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a user who has the project's Python first on the path, and a Prefect server running."""
    home = tmp_path_factory.mktemp("prefect")
    patch = pytest.MonkeyPatch()
    patch.setenv("PREFECT_HOME", str(home))
    patch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    for name in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI"):
        patch.delenv(name, raising=False)
    with server.shared() as env:
        yield env
    patch.undo()


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Project:
    """A project reproduced from scratch. Tests that change it come back to its parameters."""
    made = checkout(tmp_path_factory.mktemp("project"), environment)
    made.repro()
    return made
