"""The schedule: run `dvc repro`, the same command as a person's, and report what changed.

The stages' flow runs stand beside this one, linked by its tag; it holds no slot that they need.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.runtime import flow_run
from ruamel.yaml import YAML

from flows import journal
from flows.settings import load

LOCK, METRICS = Path("dvc.lock"), Path("data/evaluate/metrics.json")


@flow(name="refresh", log_prints=True)
def refresh() -> list[str]:
    """Bring every result up to date; the stages whose results changed.

    Raises:
        InputError: params.yaml is at fault.
        RuntimeError: a stage failed, or DVC is at work in this checkout already.
    """
    load()
    before, accuracy_before = locked(), accuracy()
    reproduce(f"refresh-{flow_run.get_id()}")
    changed = [stage for stage, results in locked().items() if before.get(stage) != results]
    create_markdown_artifact(report(changed, accuracy_before, accuracy()), key="refresh", description="What changed")
    get_run_logger().info("changed: %s", ", ".join(changed) or "nothing")
    return changed


def reproduce(tag: str) -> None:
    """Run `dvc repro`, its output into this flow's log, the stages' flows tagged with `tag`."""
    # The stages are runs of their own: what ties a process to this run must not reach them.
    env = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT__")}
    env |= {journal.PARENT: tag, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"}
    command = [sys.executable, "-m", "dvc", "repro"]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        lines = []
        for line in process.stdout or ():
            lines.append(line.rstrip())
            print(lines[-1])
    if process.returncode:
        raise RuntimeError(f"dvc repro ended with {process.returncode}: " + "\n".join(lines[-5:]))


def locked() -> dict[str, Any]:
    """The hashes of each stage's results, from dvc.lock."""
    stages = YAML(typ="safe").load(LOCK)["stages"] if LOCK.exists() else {}
    return {name: [out.get("md5") for out in stage.get("outs", [])] for name, stage in stages.items()}


def accuracy() -> dict[str, dict[str, float]]:
    """Accuracies of the last evaluation, by arm; none before the first."""
    return json.loads(METRICS.read_text())["accuracy"] if METRICS.exists() else {}


def report(changed: list[str], before: dict[str, dict[str, float]], after: dict[str, dict[str, float]]) -> str:
    """Markdown: which stages changed, and the accuracies before and after."""
    if not changed:
        return "Nothing changed."
    lines = [
        "Changed: " + ", ".join(f"`{stage}`" for stage in changed),
        "",
        "| trained on | before | after |",
        "|---|---|---|",
    ]
    for arm, result in after.items():
        old = f"{before[arm]['mean']:.2%}" if arm in before else ""
        lines.append(f"| {arm} | {old} | {result['mean']:.2%} |")
    return "\n".join(lines)


if __name__ == "__main__":
    refresh()
