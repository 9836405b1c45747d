"""The schedule: a real server, work pool and worker, and a deployment whose schedule fires."""

import subprocess
import time

from support import Project


def test_the_schedule_fires_and_runs_what_changed(project: Project) -> None:
    for command in (
        ["work-pool", "create", "winnow", "--type", "process", "--overwrite"],
        ["--no-prompt", "deploy", "--all"],
        ["deployment", "schedule", "clear", "refresh/refresh", "--accept-yes"],
        ["deployment", "schedule", "create", "refresh/refresh", "--interval", "20"],
    ):
        done = project.run("prefect", *command)
        assert done.returncode == 0, done.stdout
    project.set(optimize={"keep": 0.6})
    worker = subprocess.Popen(["prefect", "worker", "start", "--pool", "winnow"], cwd=project.folder, env=project.env,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # fmt: skip
    assert worker.stdout
    try:
        started, lines = time.monotonic(), []
        for line in worker.stdout:
            lines.append(line)
            if "changed: " in line or time.monotonic() - started > 300:
                break
    finally:
        worker.terminate()
        project.set(optimize={"keep": 0.7})
        project.run("prefect", "deployment", "schedule", "clear", "refresh/refresh", "--accept-yes")
    assert "changed: optimize, evaluate, release" in lines[-1], "".join(lines)
    assert len((project.folder / "data/release/ids.txt").read_text().splitlines()) == 2400
    assert project.repro() == [], "the results for the parameters as they were come from DVC's cache"
