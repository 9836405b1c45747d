"""A small project that has been reproduced, to copy: 30 photographs, an encoder hardly trained, few trainings."""

import shutil
from pathlib import Path

import pytest
from support import Project, checkout, write_photos

SMALL = {
    "prepare": {"source": "photos", "wrong_labels": 0.0, "damaged": 0.0},
    "embed": {"path": "encoder", "prompts": ["a photo of {}."]},
    "adapt": {"epochs": 2},
    "optimize": {"keep": 0.5},
    "evaluate": {"steps": 10, "seeds": 2, "image_size": 16},
    "release": {"name": "photos"},
}


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str], encoder: Path) -> Project:
    """The project, reproduced without a fault. Tests work in copies of it."""
    made = checkout(tmp_path_factory.mktemp("whole"), environment)
    write_photos(made.folder / "photos")
    shutil.copytree(encoder, made.folder / "encoder")
    made.set(**SMALL)
    made.repro("release")
    return made
