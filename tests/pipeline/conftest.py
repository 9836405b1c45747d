"""A real project: this checkout copied to an empty folder, under Git, reproduced with DVC, with a Prefect server.

The sample is the bundled one; only the training runs are shorter than by default.
"""

import pytest
from support import Project, checkout


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Project:
    """A project reproduced from scratch. Tests that change it come back to its parameters."""
    made = checkout(tmp_path_factory.mktemp("project"), environment)
    made.repro()
    return made
