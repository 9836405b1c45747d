"""Prefect's server, where MLflow keeps runs, and Dask's scheduler."""

import base64
import json
import urllib.error
import urllib.request
from pathlib import Path

from flows import settings
from flows.health.finding import Finding, within
from tasks import tracking
from tasks.errors import InputError
from tasks.redact import redact

PATIENCE = 10.0  # seconds for a server to answer
LONGEST = 60.0  # and for MLflow to count its versions, on a busy machine


def prefect() -> Finding:
    """Whether flows have a server to report to; without one each starts its own."""
    import prefect
    from prefect.settings import get_current_settings

    api = get_current_settings().api
    if not api.url:
        return Finding("Prefect", "ok", "no server is named (PREFECT_API_URL): each command starts one for itself")
    where, secret = redact(api.url), api.auth_string.get_secret_value() if api.auth_string else None
    try:
        version = _ask(f"{api.url.rstrip('/')}/admin/version", secret)
    except urllib.error.HTTPError as error:
        cure = (
            "set PREFECT_API_AUTH_STRING to the server's name:password" if error.code in (401, 403) else "see its log"
        )
        return Finding("Prefect", "wrong", f"{where} answers {error.code} {error.reason}", cure)
    except (OSError, ValueError) as error:
        cure = "start it (`prefect server start`), correct PREFECT_API_URL, or unset it"
        return Finding("Prefect", "wrong", f"{where} does not answer ({error})", cure)
    if version != prefect.__version__:
        cure = f"install one version on both sides (here: {prefect.__version__})"
        return Finding("Prefect", "warning", f"{where} is version {version}", cure)
    return Finding("Prefect", "ok", f"{where}, version {version}")


def _ask(url: str, secret: str | None) -> object:
    if not url.startswith(("http://", "https://")):
        raise ValueError("it is no address of the web")
    request = urllib.request.Request(url)  # noqa: S310 as checked
    if secret:
        request.add_header("Authorization", "Basic " + base64.b64encode(secret.encode()).decode())
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310
        return json.load(answer)


def dask() -> Finding:
    """Whether the scheduler answers that tasks are to go to."""
    from flows import runtime

    try:
        chosen = settings.load().runtime
    except InputError:
        return Finding("Dask", "warning", "unknown until params.yaml can be read")
    if chosen.runner == "local":
        return Finding("Dask", "ok", "not used: tasks run in the stage's own process (runtime.runner)")
    if not chosen.address:
        return Finding("Dask", "ok", "a worker for each GPU or core of this machine, started by each stage")
    try:
        runtime.runner(chosen)
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
        if not tracking.answers(project):
            raise ConnectionError("it does not answer")
        runs = within(LONGEST, lambda: tracking.count(project))
    except Exception as error:  # MLflow's own, of SQLAlchemy, of requests
        why = redact(" ".join(str(error).split())[:200])
        return Finding("MLflow", "wrong", f"{where}: {why}", _cure(why, place))
    return Finding("MLflow", "ok", f"{where}, {runs:,} versions recorded")


def _cure(why: str, place: str) -> str:
    if "401" in why or "403" in why or "authenticat" in why.lower():
        return "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    if "schema" in why:
        return f"mlflow db upgrade {place}"
    return "start it (`make ui`), correct MLFLOW_TRACKING_URI, or unset it; `winnow release record` catches up"
