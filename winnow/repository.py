"""Run Git, and find out which repository and commit this is."""

import os
import re
import subprocess
from pathlib import Path

from winnow.errors import InputError
from winnow.terminal.redact import redact

PROTOCOLS = "file:git:http:https:ssh"  # others run programs (ext) or are remote helpers that happen to be installed
QUEUED = "/.dvc/tmp/exps/"  # in the path of a queued experiment


def git(*arguments: str, at: Path = Path()) -> str:
    """What Git prints, run in the folder `at`. Whatever an address says, Git speaks PROTOCOLS alone.

    Raises:
        InputError: it failed; with its last words.
    """
    allowed = os.environ.get("GIT_ALLOW_PROTOCOL", PROTOCOLS).split(":")
    env = os.environ | {"GIT_ALLOW_PROTOCOL": ":".join(name for name in allowed if name in PROTOCOLS.split(":"))}
    done = subprocess.run(
        ["git", "-C", str(at), *arguments],
        capture_output=True,
        check=False,
        env=env,
        encoding="utf-8",
        errors="surrogateescape",
    )  # names in Git are bytes
    if done.returncode:
        raise InputError(f"git {arguments[0]} failed: " + " ".join((done.stderr or done.stdout).split()[-40:]))
    return done.stdout


def commit() -> str:
    """The commit of the code, marked where the tree has changes on top of it; "unknown" outside Git."""
    try:
        return git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*").strip()
    except InputError:
        return "unknown"


def url() -> str | None:
    """Where others find this repository: its remote, without any name or password; None where it has none."""
    try:
        listed = git("remote", "get-url", "origin").strip()
    except InputError:
        return None
    bare = re.sub(r"^(https?://)[^/]*@", r"\1", listed, flags=re.IGNORECASE)
    return redact(bare.partition("?")[0].partition("#")[0])


def project(folder: Path) -> Path:
    """The project that lasts: a queued experiment of DVC works in a copy below it, which is removed at its end."""
    here = folder.resolve()
    return next((root.parent for root in here.parents if root.name == ".dvc" and QUEUED in str(here)), here)
