"""Stage release: the subset as a release, and a run in MLflow. Run as `python -m flows.release`."""

import os
from pathlib import Path

from prefect import flow, get_run_logger
from prefect.runtime import flow_run

from winnow import repository, tracking
from winnow.errors import redacted
from winnow.files import outputs
from winnow.releases import assemble
from winnow.run import run_log, stage
from winnow.run.settings import Settings


@flow(name="release")
@redacted
def run(settings: Settings) -> None:
    """Put the release together, then record it."""
    out = stage.DATA / "release"
    parameters = stage.dumped(settings)
    del parameters["runtime"], parameters["refresh"]  # where it ran changes nothing, nor what is done with it then
    licence = settings.release.license
    stage.as_task(assemble.run)(stage.DATA, out, name=settings.release.name, parameters=parameters, licence=licence)
    known = {"prefect.flow_run": str(flow_run.get_id()), "winnow.run": run_log.current() or ""}
    run_id = record(out, identities() | known)
    if run_id:
        run_log.know(mlflow_run=run_id)
        get_run_logger().info("recorded in MLflow as run %s", run_id)


def record(out: Path, tags: dict[str, str]) -> str | None:
    """Record the release in `out` in MLflow; the id of the run, or None where that failed, whatever a server does.

    What belongs to this run is kept for `winnow release record`, which does it later from disk.
    """
    version = assemble.version(out, tags)
    run_log.know(manifest=version.fingerprint, dvc=version.tags["dvc.md5"])
    try:
        tracking.reach(Path.cwd())
        return stage.as_task(tracking.log)(version, Path.cwd(), run_log.samples(tags.get("winnow.run")))
    except Exception as error:
        with outputs.whole_file(unrecorded(version.fingerprint)) as partial:
            outputs.write_json(partial, tags)
        get_run_logger().warning(
            "MLflow at %s: %s. The release is made; record it later: winnow release record",
            tracking.uri(Path.cwd()),
            error,
        )
        return None


def unrecorded(fingerprint: str) -> Path:
    """The file of tags of a release that could not be recorded when it was made."""
    return outputs.SCRATCH / "unrecorded" / f"{fingerprint}.json"


def identities() -> dict[str, str]:
    """Tags that name the commit, where it is found, and DVC's experiment, where it is one."""
    known = {
        "git.commit": repository.commit(),
        "git.url": repository.url(),
        "dvc.experiment": os.environ.get("DVC_EXP_NAME"),
    }
    return {key: value for key, value in known.items() if value}


if __name__ == "__main__":
    stage.main(run, gpu=False)
