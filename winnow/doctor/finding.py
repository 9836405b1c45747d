"""A finding: what a check found, and how to fix it."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "wrong"]


@dataclass(frozen=True)
class Finding:
    """What was found.

    Attributes:
        what: was looked at.
        state: `wrong` stops work or breaks a promise, `warning` may be meant.
        found: what was found, as text for people.
        cure: what to do; empty where nothing is.
    """

    what: str
    state: Level
    found: str
    cure: str = ""
