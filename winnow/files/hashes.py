"""SHA-256 of files and of lists of values."""

import hashlib
from pathlib import Path


def sha256(*parts: bytes | str) -> str:
    """SHA-256, in hexadecimal, of the parts, each preceded by its length so that no two lists of parts agree."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal, as ``sha256sum`` prints it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
