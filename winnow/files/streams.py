"""Recognize paths that are neither files nor folders."""

from pathlib import Path


def is_stream(path: Path) -> bool:
    """Whether a path is a pipe, socket or device, from which reading could block or never end."""
    return path.exists() and not (path.is_file() or path.is_dir())
