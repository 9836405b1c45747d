"""The arms of an evaluation: what a model can be trained on, and how each is called in tables and pictures."""

from typing import Literal

Arm = Literal["subset", "random", "all"]
ARMS: dict[Arm, str] = {"subset": "this subset", "random": "random, same size", "all": "everything"}
