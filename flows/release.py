"""Stage release: the subset as a release, and a run in MLflow. Run as `python -m flows.release`."""

from pathlib import Path

from prefect import flow, get_run_logger
from prefect.runtime import flow_run

from flows import runtime
from flows.settings import Settings
from tasks import release, repository, tracking


@flow(name="release")
def run(settings: Settings) -> None:
    """Put the release together, then record it."""
    out = runtime.DATA / "release"
    parameters = runtime.dumped(settings)
    del parameters["runtime"]  # where it ran changes nothing
    licence = settings.release.license
    runtime.as_task(release.run)(runtime.DATA, out, name=settings.release.name, parameters=parameters, licence=licence)
    if not tracking.answers(Path.cwd()):
        where = tracking.uri(Path.cwd())
        get_run_logger().warning(
            "%s does not answer; the release is made, record it later: winnow release record", where
        )
        return
    version = described(out, settings, {"prefect.flow_run": str(flow_run.get_id())})
    run_id = runtime.as_task(tracking.log)(version, Path.cwd())
    get_run_logger().info("recorded in MLflow as run %s", run_id)


def described(out: Path, settings: Settings, tags: dict[str, str]) -> tracking.Version:
    """What MLflow is told of the release in `out`, made with these settings."""
    return release.version(out, settings.prepare.source, tags | {"git.commit": repository.commit()})


if __name__ == "__main__":
    runtime.main(run)
