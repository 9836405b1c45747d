"""Stage release. Reads the results of all stages; writes data/release, and a run in MLflow."""

from prefect import get_run_logger

from tasks import DATA
from winnow.releases import assemble, recording
from winnow.run.decorators import task
from winnow.run.settings import Settings

OUT = DATA / "release"


@task
def put_together(settings: Settings) -> None:
    """Write the subset, its scores, and what made it into one folder."""
    parameters = settings.model_dump(exclude={"runtime", "refresh"})  # neither changes a result
    assemble.run(DATA, OUT, name=settings.release.name, parameters=parameters, licence=settings.release.license)


@task
def record(tags: dict[str, str]) -> str | None:
    """Record the release in MLflow; the id of the run, or None where MLflow cannot be reached."""
    return recording.attempt(OUT, tags, get_run_logger())
