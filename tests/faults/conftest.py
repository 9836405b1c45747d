"""A small project that has been reproduced, to copy: 30 photographs, an encoder hardly trained, few trainings."""

from pathlib import Path

import pytest
from faulty import small
from support import Project


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str], encoder: Path) -> Project:
    """The project, reproduced without a fault. Tests work in copies of it."""
    made = small(tmp_path_factory.mktemp("whole"), environment, encoder)
    made.repro("release")
    return made
