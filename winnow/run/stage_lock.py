"""Run one stage at a time per project; wait for a stage that outlived the `dvc repro` that started it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from winnow.files.locks import locked
from winnow.files.scratch import SCRATCH

PLACE = SCRATCH / "stage.lock"


@contextmanager
def taken(stage: str) -> Iterator[None]:
    """Wait until no other stage works in this project, and say for which; the next one waits for this block."""
    who = f"the stage {stage} (end it with: kill {os.getpid()})"
    with locked(PLACE, "is at work in this project", who):
        yield
