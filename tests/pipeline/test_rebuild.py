"""The sample's release is made again from nothing but its commit, and is the same bytes."""

import pytest
from support import Project


@pytest.mark.slow
def test_the_release_of_the_sample_is_made_again_byte_by_byte(project: Project) -> None:
    runs = (project.folder / "mlflow.db").read_bytes()
    done = project.run("winnow", "release", "verify", "--rebuild")
    assert done.returncode == 0, done.stdout
    assert {line[6:] for line in done.stdout.splitlines() if line.startswith("- run ")} == STAGES
    assert "✓ report.html" in done.stdout
    assert "files are the same bytes" in done.stdout
    assert (project.folder / "mlflow.db").read_bytes() == runs, "runs of the rebuild are its own"


STAGES = {"sample", "source", "prepare", "pretrain", "embed", "adapt", "score", "optimize", "evaluate", "release"}
