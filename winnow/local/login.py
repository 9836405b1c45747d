"""Create and keep the random password of the Prefect server that `winnow up` starts, readable by its user only."""

import os
import secrets

from dotenv import dotenv_values

from winnow.files.outputs import whole_file
from winnow.local.daemon import ROOM

VARIABLE = "PREFECT_API_AUTH_STRING"  # name:password, as clients read it
SERVERS = "PREFECT_SERVER_API_AUTH_STRING"  # the same, as the server does
PLACE = ROOM / "prefect.env"  # for a shell to read: `. .winnow/services/prefect.env`


def given() -> str | None:
    """The one that the user has set."""
    return os.environ.get(SERVERS) or os.environ.get(VARIABLE)


def make(url: str) -> str:
    """Give the one that is kept, or a new one, and write down that it is of the server at `url`."""
    login = _kept().get(VARIABLE) or f"winnow:{secrets.token_hex(16)}"
    with whole_file(PLACE) as partial:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)  # never readable by others
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(f"export PREFECT_API_URL={url}\nexport {VARIABLE}={login}\n")
    return login


def of(url: str) -> str | None:
    """The one of the server at `url`, if `winnow up` has started that one in this project."""
    kept = _kept()
    same = kept.get("PREFECT_API_URL") == url.rstrip("/").replace("//localhost:", "//127.0.0.1:")
    return kept.get(VARIABLE) if same else None


def _kept() -> dict[str, str | None]:
    return dotenv_values(PLACE) if PLACE.is_file() else {}
