"""Stage release: the subset as a release, and a run in MLflow. Run as `python -m flows.release`."""

import subprocess
from pathlib import Path

from prefect import flow, get_run_logger
from prefect.runtime import flow_run

from flows import runtime
from flows.settings import Settings
from tasks import release, tracking


@flow(name="release")
def run(settings: Settings) -> None:
    """Put the release together, then record it."""
    out = runtime.DATA / "release"
    parameters = runtime.dumped(settings)
    del parameters["runtime"]  # where it ran changes nothing
    licence = settings.release.license
    runtime.as_task(release.run)(runtime.DATA, out, name=settings.release.name, parameters=parameters, licence=licence)
    tags = {"git.commit": commit(), "prefect.flow_run": str(flow_run.get_id())}
    version = release.version(out, settings.prepare.source, tags)
    run_id = runtime.as_task(tracking.log)(version, Path.cwd())
    get_run_logger().info("recorded in MLflow as run %s", run_id)


def commit() -> str:
    """The Git commit of the code, marked where the tree has changes on top of it; "unknown" outside Git."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return answer.stdout.strip() or "unknown"


if __name__ == "__main__":
    runtime.main(run)
