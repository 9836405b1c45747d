"""Stage score: alignment and diversity of every sample. Run as `python -m flows.score`."""

from prefect import flow

from flows import runtime
from flows.settings import Settings
from tasks import score


@flow(name="score")
def run(settings: Settings) -> None:
    """Score the pool."""
    embed, adapted, out = (runtime.DATA / stage for stage in ("embed", "adapt", "score"))
    runtime.gpu_task(score.run)(embed, adapted, out, **runtime.dumped(settings.score))


if __name__ == "__main__":
    runtime.main(run)
