"""Stage release: the subset as a release, and a run in MLflow. Run as `python -m flows.release`."""

from prefect import get_run_logger
from prefect.runtime import flow_run

from tasks import release
from winnow.releases.recording import identities
from winnow.run import run_log, stage
from winnow.run.decorators import flow
from winnow.run.settings import Settings


@flow(name="release")
def run(settings: Settings) -> None:
    """Put the release together, then record it."""
    release.put_together(settings)
    known = {"prefect.flow_run": str(flow_run.get_id()), "winnow.run": run_log.current() or ""}
    if run_id := release.record(identities() | known):
        run_log.know(mlflow_run=run_id)
        get_run_logger().info("recorded in MLflow as run %s", run_id)


if __name__ == "__main__":
    stage.main(run, gpu=False)
