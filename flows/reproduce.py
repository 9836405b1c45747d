"""Run one stage from Prefect's pages: `dvc repro STAGE`, with the stages that it depends on."""

from typing import Literal

from winnow.run import artifacts, pipeline, run_log, subcommand
from winnow.run.decorators import flow
from winnow.run.settings import load

Stage = Literal["sample", "pretrain", "source", "prepare", "embed", "adapt", "score", "optimize", "evaluate", "release"]


@flow(name="reproduce", log_prints=True)
def reproduce(stage: Stage, force: bool = False) -> list[str]:
    """Bring a stage and those before it up to date; the stages whose results changed.

    Args:
        stage: as dvc.yaml names it.
        force: run the stage, and it alone, even if it is up to date.

    Raises:
        InputError: params.yaml is at fault.
        WorkError: a stage failed, or DVC is at work in this checkout already.
    """
    load()
    how = ["--force", "--single-item"] if force else []
    with run_log.kept("reproduce") as run, subcommand.alone() as lock:
        before = artifacts.state()
        with artifacts.progress("reproduce", pipeline.count()) as line:
            subcommand.run(["dvc", "repro", *how, stage], run, lock, line)
        names = artifacts.changed(before)
        artifacts.report("reproduce", before, names, f"`{stage}` is up to date.")
        return names
