"""Show a refresh on the page of its flow run: progress, a table of the checks, and a summary of what changed."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from ruamel.yaml import YAML

from winnow.files.json_files import read_json
from winnow.releases.gate import Check

LOCK, METRICS = Path("dvc.lock"), Path("data/evaluate/metrics.json")
STAGE = re.compile(r"(?:Running stage|Stage) '([^']+)'")


@dataclass(frozen=True)
class State:
    """Results at one time: the hashes of each stage's, and accuracies by arm."""

    stages: dict[str, list[str | None]]
    accuracy: dict[str, dict[str, float]]


def state() -> State:
    """What is there now, by dvc.lock and the last evaluation."""
    stages = YAML(typ="safe").load(LOCK)["stages"] if LOCK.exists() else {}
    hashes = {name: [out.get("md5") for out in stage.get("outs", [])] for name, stage in stages.items()}
    return State(hashes, read_json(METRICS)["accuracy"] if METRICS.exists() else {})


def changed(before: State) -> list[str]:
    """The stages whose results are others now."""
    return [stage for stage, results in state().stages.items() if before.stages.get(stage) != results]


@contextmanager
def progress(key: str, total: int) -> Iterator[Callable[[str], None]]:
    """Keep a progress artifact: what is given takes the lines of DVC, and counts the stages that it has come to."""
    artifact = create_progress_artifact(0.0, key=f"{key}-progress", description="Stages that are done")
    assert isinstance(artifact, UUID)
    seen: set[str] = set()

    def read(line: str) -> None:
        found = STAGE.match(line)
        if found and found[1] not in seen:
            update_progress_artifact(artifact, min(100.0, 100 * len(seen) / max(total, 1)), f"`{found[1]}` is at work")
            seen.add(found[1])

    yield read
    update_progress_artifact(artifact, 100.0, "Every stage is up to date")


def report(
    key: str,
    before: State,
    names: list[str],
    outcome: str,
    champion: str | None = None,
    checks: list[Check] | None = None,
    difference: dict[str, Any] | None = None,
) -> None:
    """Leave two artifacts: `key`, what changed, and where a release was judged `key`-checks."""
    page = describe(before, state(), names, outcome, champion, difference or {})
    create_markdown_artifact(page, key=key, description="What changed")
    if checks:
        create_table_artifact(table(checks), key=f"{key}-checks", description=f"Checks against {champion or 'nothing'}")


def table(checks: list[Check]) -> list[dict[str, Any]]:
    """A row a check."""
    return [
        {
            "check": c.name,
            "champion": c.champion,
            "this release": c.candidate,
            "allowed": c.allowed,
            "holds": "no" if c.fault else "yes",
            "reason": c.fault or "",
        }
        for c in checks
    ]


def describe(
    before: State, now: State, names: list[str], outcome: str, champion: str | None, difference: dict[str, Any]
) -> str:
    """Markdown: the outcome, which stages changed, accuracies before and after, samples that came and went."""
    stages = "Changed: " + ", ".join(f"`{stage}`" for stage in names) if names else "Nothing changed."
    parts = [outcome, stages, _accuracies(before, now) if names else "", _samples(champion, difference)]
    return "\n\n".join(filter(None, parts))


def _accuracies(before: State, now: State) -> str:
    rows = [
        f"| {arm} | {before.accuracy[arm]['mean']:.2%} | {result['mean']:.2%} |"
        if arm in before.accuracy
        else f"| {arm} | | {result['mean']:.2%} |"
        for arm, result in now.accuracy.items()
    ]
    return "\n".join(["| trained on | before | after |", "|---|---|---|", *rows]) if rows else ""


def _samples(champion: str | None, difference: dict[str, Any]) -> str:
    if not difference:
        return ""
    samples = difference["samples"]
    rows = [f"| kept by both | {samples['kept_by_both']:,} | |"]
    for word in ("added", "dropped"):
        rows += [f"| {word} | {len(ids):,} | {reason} |" for reason, ids in samples[word].items()]
    rows += [f"| relabelled | {len(difference['relabelled']):,} | |"] * bool(difference["relabelled"])
    return "\n".join([f"| since {champion} | images | why |", "|---|---|---|", *rows])
