"""Stage optimize: the subset for the budget. Run as `python -m flows.optimize`."""

from prefect import flow

from winnow.errors import redacted
from winnow.run import stage
from winnow.run.settings import Settings
from winnow.selection import optimize


@flow(name="optimize")
@redacted
def run(settings: Settings) -> None:
    """Choose the subset."""
    scores, embed, out = stage.DATA / "score", stage.DATA / "embed", stage.DATA / "optimize"
    corrections = stage.DATA / "prepare/corrections.parquet"
    stage.gpu_task(optimize.run)(scores, embed, corrections, out, **stage.dumped(settings.optimize))


if __name__ == "__main__":
    stage.main(run)
