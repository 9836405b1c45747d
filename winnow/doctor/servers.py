"""Check Prefect's server, MLflow's store and Dask's scheduler."""

from pathlib import Path

from winnow import tracking
from winnow.doctor.finding import Finding
from winnow.errors import InputError
from winnow.reach import within
from winnow.run import settings
from winnow.terminal.redact import redact

LONGEST = 60.0  # seconds for MLflow to count its versions, on a busy machine


def prefect() -> Finding:
    """Whether flows have a server to report to; without one each starts its own."""
    import prefect

    from winnow.run import prefect_server

    if not prefect_server.address():
        return Finding("Prefect", "ok", "no server is named (PREFECT_API_URL): each command starts one for itself")
    where = redact(prefect_server.address() or "")
    try:
        version = prefect_server.version()
    except prefect_server.AwayError as error:
        return Finding("Prefect", "wrong", error.found, error.cure)
    if version is None:
        return Finding("Prefect", "ok", f"{where}, Prefect Cloud")
    if version != prefect.__version__:
        cure = f"install one version on both sides (here: {prefect.__version__})"
        return Finding("Prefect", "warning", f"{where} is version {version}", cure)
    return Finding("Prefect", "ok", f"{where}, version {version}")


def dask() -> Finding:
    """Whether the scheduler answers that tasks are to go to."""
    from winnow.run import stage

    try:
        chosen = settings.load().runtime
    except InputError:
        return Finding("Dask", "warning", "unknown until params.yaml can be read")
    if chosen.runner == "local":
        return Finding("Dask", "ok", "not used: tasks run in the stage's own process (runtime.runner)")
    if not chosen.address:
        return Finding("Dask", "ok", "a worker for each GPU or core of this machine, started by each stage")
    try:
        stage.runner(chosen)
    except InputError as error:
        cure = "start it (`dask scheduler`), correct runtime.address, or leave it empty"
        return Finding("Dask", "wrong", redact(str(error)), cure)
    return Finding("Dask", "ok", f"a scheduler at {chosen.address}")


def mlflow(project: Path = Path()) -> Finding:
    """Whether releases can be recorded."""
    place = tracking.uri(project)
    where = redact(place)
    file = Path(place.removeprefix("sqlite:///"))
    if place.startswith("sqlite:///") and not file.is_file():
        return Finding("MLflow", "ok", f"{where}, which the first release makes")
    try:
        tracking.reach(project)
        runs = within(LONGEST, lambda: tracking.count(project))
    except Exception as error:  # MLflow's own, of SQLAlchemy, of requests
        why = redact(" ".join(str(error).split()))[:200]
        return Finding("MLflow", "wrong", f"{where}: {why}", _cure(why, place))
    return Finding("MLflow", "ok", f"{where}, {runs:,} versions recorded")


def _cure(why: str, place: str) -> str:
    if "401" in why or "403" in why or "authenticat" in why.lower():
        return "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
    if "CERTIFICATE" in why:
        return "set MLFLOW_TRACKING_SERVER_CERT_PATH to the certificate of the server's authority"
    if "schema" in why:
        return f"mlflow db upgrade {place}"
    return "start it (`winnow ui`), correct MLFLOW_TRACKING_URI, or unset it; `winnow release record` catches up"
