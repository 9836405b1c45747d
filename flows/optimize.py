"""Stage optimize: the subset for the budget. Run as `python -m flows.optimize`."""

from prefect import flow

from flows import runtime
from flows.settings import Settings
from tasks import optimize
from tasks.errors import redacted


@flow(name="optimize")
@redacted
def run(settings: Settings) -> None:
    """Choose the subset."""
    scores, embed, out = runtime.DATA / "score", runtime.DATA / "embed", runtime.DATA / "optimize"
    corrections = runtime.DATA / "prepare/corrections.parquet"
    runtime.gpu_task(optimize.run)(scores, embed, corrections, out, **runtime.dumped(settings.optimize))


if __name__ == "__main__":
    runtime.main(run)
