"""One structured log per run: `.winnow/logs/RUN.jsonl`, one JSON object per line, with the run's ids in other tools.

A run is a refresh, a `dvc repro` with all its stages, or a stage that was started alone. Its name is a tag of the flow
runs in Prefect and of the version in MLflow. Secrets are redacted, and JSON escapes control characters.
"""

import json
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from pythonjsonlogger.json import JsonFormatter

from winnow import repository
from winnow.files.scratch import SCRATCH
from winnow.run import pipeline
from winnow.run.resources import sampled
from winnow.terminal.redact import redact

LOGS = SCRATCH / "logs"
KEPT = 100  # logs; the oldest go
PARENT = "WINNOW_TAG"  # in the environment of a stage that a refresh started: the tag that links the two
PREFECT = {"flow_run": "flow_run_id", "task_run": "task_run_id"}  # as its records have them

_known: dict[str, str] = {}  # what every line says from now on
_handlers: list[logging.Handler] = []  # of the log that is open


class Line(JsonFormatter):
    """A record as one line: time, level, stage, message, the ids that are known, and an error where there is one."""

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        """Put the ids of the run into the line."""
        return {key: _redacted(value) for key, value in (log_data | _known).items() if value is not None}

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        """Choose what of a record is kept; Prefect's own ids go by one name."""
        log_data["time"] = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        log_data |= {"level": record.levelname.lower(), "logger": record.name, "message": record.getMessage()}
        log_data |= {ours: str(found) for ours, theirs in PREFECT.items() if (found := getattr(record, theirs, None))}
        log_data |= getattr(record, "fields", {})
        if record.exc_info and record.exc_info[1]:
            log_data["error"] = f"{type(record.exc_info[1]).__name__}: {record.exc_info[1]}"


def _redacted(value: Any) -> Any:
    """A value of a line without secrets: JSON would spell some of their characters in another way."""
    if isinstance(value, dict):
        return {key: _redacted(each) for key, each in value.items()}
    return redact(value) if isinstance(value, str) else value


@contextmanager
def kept(stage: str) -> Iterator[str]:
    """Keep a log of what the block does; gives the name of the run."""
    run = name(stage)
    logs = folder()
    logs.mkdir(parents=True, exist_ok=True)
    for old in sorted(logs.glob("*.jsonl"), key=lambda path: path.stat().st_mtime)[: -KEPT or None]:
        old.unlink(missing_ok=True)
    handler = logging.FileHandler(logs / f"{run}.jsonl", encoding="utf-8")
    handler.setFormatter(Line())
    know(run=run, stage=stage, git=repository.commit())
    logging.getLogger().addHandler(handler)
    _handlers.append(handler)
    begun = time.monotonic()
    write("started", command=" ".join(sys.argv), pid=os.getpid())
    try:
        with sampled(lambda sample: write("system", system=sample)):
            yield run
        write("ended", seconds=round(time.monotonic() - begun, 3))
    except BaseException as error:
        write("failed", "error", error=f"{type(error).__name__}: {error}", seconds=round(time.monotonic() - begun, 3))
        raise
    finally:
        _handlers.remove(handler)
        logging.getLogger().removeHandler(handler)
        handler.close()
        _known.clear()


def folder() -> Path:
    """Where logs are kept."""
    return repository.project(Path.cwd()) / LOGS


def know(**ids: str | None) -> None:
    """Say these ids on every line from now on: of the version in MLflow, of the release, of DVC."""
    _known.update({key: value for key, value in ids.items() if value})


def current() -> str | None:
    """The name of the run that is kept."""
    return _known.get("run")


def write(message: str, level: str = "info", **fields: object) -> None:
    """Write a line to the log that is open; nowhere else, and nothing where none is."""
    record = logging.LogRecord("winnow", getattr(logging, level.upper()), "", 0, message, None, None)
    record.fields = fields
    for handler in _handlers:
        handler.handle(record)


def name(stage: str) -> str:
    """The name of the run that this process is part of: a refresh's, that of the DVC above it, or its own."""
    if given := os.environ.get(PARENT):
        return given
    here = psutil.Process()
    above = pipeline.above()
    process, word = (above, "repro") if above else (here, stage)
    return f"{word}-{datetime.fromtimestamp(process.create_time(), UTC):%Y%m%dT%H%M%SZ}-{process.pid}"


def samples(run: str | None) -> list[dict[str, Any]]:
    """What was measured of the machine while the stages of a run worked: time, stage and `system`, in order."""
    path = folder() / f"{run}.jsonl"
    if not run or not path.is_file():
        return []
    lines = map(_parsed, path.read_text(encoding="utf-8", errors="replace").splitlines())
    return [{key: line[key] for key in ("time", "stage", "system")} for line in lines if "system" in line]


def _parsed(line: str) -> dict[str, Any]:
    """What a line of a log says; nothing where the run was killed while it wrote the line."""
    try:
        found = json.loads(line) if '"system"' in line else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
