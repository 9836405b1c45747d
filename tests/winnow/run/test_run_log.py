"""One log a run: every line an object with the ids, whatever spoke and however it ended, and no secret in it."""

import contextlib
import json
import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from winnow.run import resources, run_log


def lines(run: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run_log.LOGS / f"{run}.jsonl").read_text().splitlines()]


def test_whoever_speaks_is_on_a_line_with_the_ids_of_the_run(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(run_log.PARENT, "refresh-1")
    with run_log.kept("embed") as run:
        logging.getLogger("a.library").warning("it is %s", "late", extra={"flow_run_id": "f1", "task_run_id": "t1"})
        run_log.know(mlflow_run="m1", manifest=None)
        run_log.write("recorded", count=2)
    assert run == "refresh-1"
    begun, warned, recorded, measured, ended = lines(run)
    assert (begun["message"], ended["message"]) == ("started", "ended")
    for line in (begun, warned, recorded, measured, ended):
        assert (line["run"], line["stage"], line["git"]) == (run, "embed", "unknown")
        assert line["time"].endswith("+00:00")
    assert (warned["level"], warned["logger"], warned["message"]) == ("warning", "a.library", "it is late")
    assert (warned["flow_run"], warned["task_run"]) == ("f1", "t1")
    assert (recorded["mlflow_run"], recorded["count"], "manifest" in recorded) == ("m1", 2, False)
    assert measured["system"]["process_memory_megabytes"] > 10
    assert run_log.current() is None
    logging.getLogger("a.library").warning("nobody listens any more")
    assert len(lines(run)) == 5


def test_stages_of_a_run_share_its_log_and_what_was_measured_is_read_back(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(run_log.PARENT, "refresh-1")
    for stage in ("embed", "adapt"):
        with run_log.kept(stage) as run:
            pass
    assert [(found["stage"], set(found)) for found in run_log.samples(run)] == [
        ("embed", {"time", "stage", "system"}),
        ("adapt", {"time", "stage", "system"}),
    ]
    assert run_log.samples("another") == run_log.samples(None) == []


def test_an_error_is_the_last_line_and_a_secret_is_on_none(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORE_PASSWORD", "open sesame")
    error = OSError("https://me:hunter2@host/a.csv?x=1&X-Amz-Signature=c0ffee is away; open sesame")
    with contextlib.suppress(OSError), run_log.kept("prepare") as run:
        logging.getLogger().error("cannot read", exc_info=error)
        raise error
    text = (run_log.LOGS / f"{run}.jsonl").read_text()
    for secret in ("hunter2", "c0ffee", "open sesame"):
        assert secret not in text
    *_, told, _, last = lines(run)
    assert told["error"] == "OSError: https://***@host/a.csv?x=1&X-Amz-Signature=*** is away; ***"
    assert (last["message"], last["level"], last["error"]) == ("failed", "error", told["error"])


def test_a_secret_that_json_spells_in_another_way_is_on_no_line(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORE_PASSWORD", 'op"en\\ s\u00e9same')
    with run_log.kept("prepare") as run:
        logging.getLogger().error("it said %s", os.environ["STORE_PASSWORD"])
        run_log.write("told", nested={"by": os.environ["STORE_PASSWORD"]})
    text = (run_log.LOGS / f"{run}.jsonl").read_text()
    assert "same" not in text
    assert [line["nested"] for line in lines(run) if "nested" in line] == [{"by": "***"}]


def test_a_stage_below_dvc_is_part_of_its_run_and_one_alone_is_a_run_of_its_own(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(run_log.PARENT, raising=False)
    ask = [sys.executable, "-c", "from winnow.run import run_log as journal; print(journal.name('embed'))"]
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    alone = subprocess.run(ask, env=env, capture_output=True, text=True, check=True).stdout
    assert alone.startswith("embed-")
    (workdir / "dvc").write_text(f"import subprocess\nfor _ in range(2): subprocess.run({ask!r})")
    started = subprocess.Popen([sys.executable, "dvc"], env=env, stdout=subprocess.PIPE, text=True)
    first, second = started.communicate()[0].split()
    assert first == second
    assert first.startswith("repro-")
    assert first.endswith(f"-{started.pid}")


def test_the_oldest_logs_go(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_log, "KEPT", 3)
    run_log.LOGS.mkdir(parents=True)
    for age in range(6):
        path = run_log.LOGS / f"old-{age}.jsonl"
        path.touch()
        os.utime(path, (time.time() - age * 60,) * 2)
    with run_log.kept("embed") as run:
        pass
    left = {path.stem for path in run_log.LOGS.iterdir()}
    assert left == {run, "old-0", "old-1", "old-2"}


def test_samples_are_taken_while_the_work_goes_on() -> None:
    taken: list[dict[str, float]] = []
    with resources.sampled(taken.append, pause=0.05):
        while len(taken) < 3:
            time.sleep(0.01)
    assert len(taken) >= 4
    assert all(0 < sample["system_memory_usage_percentage"] <= 100 for sample in taken)
