"""The tasks of each stage: which files they read and write. What they compute is in winnow."""

from pathlib import Path

DATA = Path("data")
