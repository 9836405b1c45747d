"""Check parameters, Git, DVC's remote and telemetry."""

import os
from pathlib import Path

from winnow import repository
from winnow.doctor.finding import Finding
from winnow.errors import InputError
from winnow.reach import within
from winnow.run import settings
from winnow.terminal.redact import redact

PATIENCE = 15.0  # seconds for a remote to answer


def parameters() -> Finding:
    """Whether params.yaml can be run."""
    try:
        settings.load()
    except InputError as error:
        return Finding("parameters", "wrong", redact(str(error)), "correct params.yaml")
    return Finding("parameters", "ok", "params.yaml is valid")


def pipeline() -> Finding:
    """Whether DVC itself can read dvc.yaml, and finds the parameters that its stages name."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo() as repo:
            stages = list(repo.index.stages)
            named = [each for stage in stages for each in stage.params]
            missing = sorted({key for each in named for key in set(each.params) - set(each.read_params())})
    except DvcException as error:
        return Finding("pipeline", "wrong", redact(f"dvc.yaml: {error}"), "correct dvc.yaml; `dvc repro` reads it so")
    if missing:
        cure = f"add to params.yaml: {', '.join(f'{key}: {{}}' for key in missing)}"
        return Finding("pipeline", "wrong", f"params.yaml lacks {', '.join(missing)}, which dvc.yaml names", cure)
    return Finding("pipeline", "ok", f"DVC reads dvc.yaml: {len(stages)} stages")


def git() -> Finding:
    """Whether results can be told to come from a commit."""
    try:
        if not repository.git("rev-list", "--max-count=1", "--all").strip():
            return Finding("Git", "warning", "a repository without a commit", "commit before you publish a version")
        head = repository.git("rev-parse", "--short", "HEAD").strip()
        changed = repository.git("status", "--porcelain").splitlines()
    except InputError as error:
        return Finding("Git", "wrong", redact(str(error)), "run in a clone, or `git init` and commit: DVC needs it")
    where = repository.url()
    at = f"{head}" + (f" of {where}" if where else ", with no remote")
    if changed:
        files = "1 file" if len(changed) == 1 else f"{len(changed)} files"
        return Finding("Git", "warning", f"{at}; {files} changed", "commit before you publish a version")
    return Finding("Git", "ok", f"{at}, clean")


def remote() -> Finding:
    """Whether results can be pushed, and got by others."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc_objects.fs.errors import RemoteMissingDepsError

    add, where = "dvc remote add --default store s3://bucket/path (a folder will do too)", "the default one"
    try:
        repo = Repo()
        name = repo.config["core"].get("remote")
        if not name:
            return Finding("DVC remote", "warning", "none: versions stay on this machine", add)
        where = name
        place = repo.cloud.get_remote(name)
        where = redact(f"{name} at {place.fs.unstrip_protocol(place.path)}")
        within(PATIENCE, lambda: _reach(place.fs, place.path))
    except DvcException as error:
        return Finding("DVC remote", "wrong", redact(str(error)), add)
    except (RemoteMissingDepsError, ImportError) as error:  # DVC's words, or those of its file systems
        return Finding("DVC remote", "wrong", redact(f"{where}: {error}"), "install that package")
    except Exception as error:  # whatever a store's library raises
        why = redact(f"{type(error).__name__}: {error}")
        cure = "check the address (`dvc remote list`), the network, and the store's variables in your environment"
        return Finding("DVC remote", "wrong", f"{where} does not let us in ({why})", cure)
    return Finding("DVC remote", "ok", where)


def _reach(fs: object, path: str) -> None:
    """Ask the store something that needs its consent; a folder that is not there yet must be one we can make."""
    if getattr(fs, "protocol", "") != "local":
        fs.exists(path)  # type: ignore[attr-defined]
        return
    there = next(folder for folder in (Path(path), *Path(path).parents) if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise PermissionError(f"{there} cannot be written to")


def telemetry() -> Finding:
    """Whether any tool would send usage home: each is asked itself, since their switches differ."""
    from dvc.analytics import is_enabled
    from huggingface_hub import constants
    from mlflow.telemetry.utils import is_telemetry_disabled
    from prefect.settings import get_current_settings

    speaks = {
        "MLflow": (not is_telemetry_disabled(), "MLFLOW_DISABLE_TELEMETRY=true (the word true)"),
        "DVC": (is_enabled(), "DVC_NO_ANALYTICS=1"),
        "Prefect": (get_current_settings().server.analytics_enabled, "PREFECT_SERVER_ANALYTICS_ENABLED=false"),
        "the hub": (not constants.HF_HUB_DISABLE_TELEMETRY, "DO_NOT_TRACK=true"),
    }
    if on := {tool: switch for tool, (sends, switch) in speaks.items() if sends}:
        return Finding("telemetry", "wrong", f"on in {', '.join(on)}", f"export {' '.join(on.values())}")
    return Finding("telemetry", "ok", f"off in {', '.join(speaks)}")
