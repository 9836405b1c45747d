"""The schedule: run `dvc repro`, check the new release against the last published one, and publish it if allowed.

The flow runs of the stages are separate from this one and carry its tag; it holds no slot that they need. To run it
by hand: `python -m flows.refresh`. Exit codes: 0 done; 1 the release is held back, or a stage failed; 2 bad input.
"""

from pathlib import Path
from typing import Literal

from prefect import get_run_logger
from prefect.runtime import flow_run

from winnow.errors import HeldError, InputError, WorkError
from winnow.releases import diff, gate, manifest, versions
from winnow.releases import publish as publishing
from winnow.releases.gate import Check, Limits
from winnow.run import artifacts, error_lines, pipeline, prefect_server, run_log, subcommand, webhook
from winnow.run.decorators import flow
from winnow.run.settings import Refresh, load
from winnow.terminal.ending import ended
from winnow.terminal.say import clean, say

ARTIFACT, RELEASE = "subset", Path(versions.PLACE)


@flow(name="refresh", log_prints=True)
def refresh(publish: Literal["never", "when_better"] | None = None) -> list[str]:
    """Bring every result up to date, and judge the release that came out; the stages whose results changed.

    Args:
        publish: whether a release that holds becomes the next minor version; None: as params.yaml says.

    Raises:
        InputError: params.yaml is at fault, or the release cannot be published from this checkout.
        HeldError: the release did not pass the gate; it stays a candidate.
        WorkError: a stage failed, or DVC is at work in this checkout already.
    """
    error_lines.log_errors()
    asked = load().refresh
    chosen = asked.model_copy(update={"publish": publish}) if publish else asked
    with run_log.kept("refresh") as run, subcommand.alone() as lock:
        run_log.know(flow_run=str(flow_run.get_id()))
        try:
            return _refresh(chosen, run, lock)
        except Exception as error:
            reasons = error.reasons if isinstance(error, HeldError) else [str(error)]
            webhook.send(f"{RELEASE.resolve().parents[1].name}: refresh needs you. {error}", reasons)
            raise


def _refresh(chosen: Refresh, run: str, lock: int) -> list[str]:
    before = artifacts.state()
    with artifacts.progress("refresh", pipeline.count()) as line:
        for command in (*pipeline.tracked(), ["repro"]):
            subcommand.run(["dvc", *command], run, lock, line)
    changed = artifacts.changed(before)
    get_run_logger().info("changed: %s", ", ".join(changed) or "nothing")
    champion = versions.latest(ARTIFACT)
    if not RELEASE.is_dir() or (champion and versions.same(RELEASE, champion)):
        artifacts.report(
            "refresh", before, changed, f"Nothing to publish: the release is {champion}." if champion else ""
        )
        if champion and chosen.push:
            publishing.finish(ARTIFACT, champion, RELEASE, chosen.push)  # an earlier run may not have been able to
        return changed
    _settle(chosen, champion, before, changed)
    return changed


def _settle(chosen: Refresh, champion: str | None, before: artifacts.State, changed: list[str]) -> None:
    """Judge the release, publish it where it holds and that is asked, and report; raise what stands against it."""
    checks, difference = judge(champion, Limits(**chosen.model_dump(exclude={"publish", "push"})))
    raised: Exception | None = None
    try:
        if faults := gate.faults(checks):
            raise HeldError(faults)
        outcome = (
            _publish(chosen.push)
            if chosen.publish == "when_better"
            else (f"A candidate that holds. To publish it: `winnow release publish {ARTIFACT} --bump minor`.")
        )
    except (InputError, WorkError) as error:
        raised, outcome = error, clean(f"A candidate, held back: {error}")
    run_log.write("judged", outcome=outcome, champion=champion)
    artifacts.report("refresh", before, changed, outcome, champion, checks, difference)
    get_run_logger().info(outcome)
    if raised:
        raise raised


def judge(champion: str | None, limits: Limits) -> tuple[list[Check], dict[str, object]]:
    """The checks of the release against a published version, and in what they differ.

    Raises:
        InputError: DVC cannot get that version.
    """
    candidate = manifest.load(RELEASE)
    if not champion:
        return gate.judge(candidate, None, limits), {}
    with versions.opened(champion) as published:
        checks = gate.judge(candidate, published, limits)
        return checks, diff.compare(published, candidate) if len(checks) > 1 else {}


def _publish(remote: str | None) -> str:
    """Make the release the next minor version, and push its commit and tag where a Git remote is named."""
    what = publishing.plan(ARTIFACT, None, "minor", remote)
    for words, do in publishing.steps(what, share=remote is not None):
        say(words)
        do()
    return f"Published as {what.tag}" + (f", pushed to {remote}." if remote else ".")


def main() -> None:
    """Refresh as the schedule does, with a server that is there or a temporary one."""
    with ended(), prefect_server.shared():
        refresh()


if __name__ == "__main__":
    main()
