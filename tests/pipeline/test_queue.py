"""Budgets in DVC's queue: each works in a copy of the project, and becomes a version in the project itself."""

import mlflow
import pytest
from support import Project


@pytest.mark.slow
def test_queued_budgets_become_versions_of_the_project(project: Project) -> None:
    for command in (
        ["dvc", "exp", "run", "--queue", "-S", "optimize.keep=0.3,0.5"],
        ["dvc", "exp", "run", "--run-all"],
    ):
        done = project.run(*command)
        assert done.returncode == 0, done.stdout
    assert project.run("dvc", "queue", "status").stdout.count("Success") == 2
    client = mlflow.MlflowClient(f"sqlite:///{project.folder / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("subset versions").experiment_id])
    queued = {run.data.params["optimize.keep"]: run for run in runs if run.data.tags.get("dvc.experiment")}
    assert {"0.3", "0.5"} <= set(queued)
    for keep, run in queued.items():
        assert run.info.status == "FINISHED"
        assert run.data.metrics["kept"] == round(float(keep) * 4000)
        assert run.info.artifact_uri.startswith((project.folder / "mlartifacts").as_uri())
    assert len((project.folder / "data/release/ids.txt").read_text().splitlines()) == 2800  # it is as it was
