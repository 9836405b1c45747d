"""Record a release in MLflow: when it is made, or later from disk if MLflow could not be reached then."""

import logging
import os
from pathlib import Path
from typing import Any

from winnow import repository, tracking
from winnow.errors import InputError, WorkError
from winnow.files import json_files, outputs, scratch
from winnow.releases import assemble
from winnow.run import run_log

Log = logging.Logger | logging.LoggerAdapter[Any]


def attempt(out: Path, tags: dict[str, str], log: Log) -> str | None:
    """Record the release in `out`; the id of the run, or None where that failed, whatever a server does.

    What belongs to this run is kept for `winnow release record`, which does it later from disk.
    """
    version = assemble.version(out, tags)
    run_log.know(manifest=version.fingerprint, dvc=version.tags["dvc.md5"])
    try:
        tracking.reach(Path.cwd())
        return tracking.log(version, Path.cwd(), run_log.samples(tags.get("winnow.run")))
    except Exception as error:
        with outputs.whole_file(unrecorded(version.fingerprint)) as partial:
            json_files.write_json(partial, tags)
        log.warning(
            "MLflow at %s: %s. The release is made; record it later: winnow release record",
            tracking.uri(Path.cwd()),
            error,
        )
        return None


def again(out: Path) -> str:
    """Record the release in `out` if it is not recorded yet, with the tags that were kept; the id of the run.

    Raises:
        InputError: there is no release in `out`, or MLflow cannot be reached.
        WorkError: MLflow broke off.
    """
    kept = unrecorded(assemble.version(out, {}).fingerprint)
    try:
        tags = json_files.read_json(kept)
    except InputError:  # none was kept, or power was lost before it was on the disk
        tags = identities()
    try:
        tracking.reach(Path.cwd())
    except ConnectionError as error:
        raise InputError(
            f"MLflow at {tracking.uri(Path.cwd())}: {error}; start it, or unset MLFLOW_TRACKING_URI"
        ) from error
    samples = run_log.samples(tags.get("winnow.run"))
    try:
        run = tracking.log(assemble.version(out, tags), Path.cwd(), samples)
    except Exception as error:
        raise WorkError(f"MLflow failed ({error}); the same command continues") from error
    kept.unlink(missing_ok=True)
    return run


def unrecorded(fingerprint: str) -> Path:
    """The file of tags of a release that could not be recorded when it was made."""
    return scratch.SCRATCH / "unrecorded" / f"{fingerprint}.json"


def identities() -> dict[str, str]:
    """Tags that name the commit, where it is found, and DVC's experiment, where it is one."""
    known = {
        "git.commit": repository.commit(),
        "git.url": repository.url(),
        "dvc.experiment": os.environ.get("DVC_EXP_NAME"),
    }
    return {key: value for key, value in known.items() if value}
