"""DVC in this project: how it is run, and what it has to do."""

import json
import os
import subprocess
import sys
from pathlib import Path

ALWAYS = ["always changed"]  # all that DVC says of a stage that looks at the source every time


def dvc(*arguments: str, env: dict[str, str] | None = None, quiet: bool = False) -> subprocess.CompletedProcess[str]:
    """Run DVC in this project, with this Python first on the path, so that stages run with it too."""
    python = Path(sys.executable)
    env = dict(env or os.environ)
    env["PATH"] = f"{python.parent}{os.pathsep}{env['PATH']}"
    return subprocess.run([python, "-m", "dvc", *arguments], env=env, stdout=subprocess.PIPE, text=True, check=False,
                          stderr=subprocess.DEVNULL if quiet else None)  # fmt: skip


def stale() -> list[str]:
    """Names of the stages that are not up to date, once those that look every time have looked."""
    waiting = _status()
    if waiting and all(why == ALWAYS for why in waiting.values()):
        if dvc("repro", "--quiet", "--single-item", *waiting, quiet=True).returncode:
            return sorted(waiting)  # `dvc repro` says what is wrong
        waiting = _status()
    return sorted(name for name, why in waiting.items() if why != ALWAYS)


def _status() -> dict[str, list[object]]:
    done = dvc("status", "--json")
    return dict(json.loads(done.stdout)) if done.returncode == 0 else {"dvc.yaml": []}
