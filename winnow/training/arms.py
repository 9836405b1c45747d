"""The arms of an evaluation (what a model is trained on), and their names in tables and figures."""

from typing import Literal

Arm = Literal["subset", "random", "all"]
ARMS: dict[Arm, str] = {"subset": "this subset", "random": "random, same size", "all": "everything"}
