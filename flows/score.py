"""Stage score: alignment and diversity of every sample. Run as `python -m flows.score`."""

from prefect import flow

from flows import device, runtime
from flows.settings import Settings
from tasks import near_duplicates, score


@flow(name="score")
def run(settings: Settings) -> None:
    """Score the pool, and find what is nearly the same."""
    embed, adapted, out = (runtime.DATA / stage for stage in ("embed", "adapt", "score"))
    how = settings.score
    runtime.gpu_task(score.run)(embed, adapted, out, neighbours=how.neighbours, device=device.best())
    runtime.gpu_task(near_duplicates.run)(
        embed, out / "near_duplicates.parquet", cosine=how.near_duplicates, device=device.best()
    )


if __name__ == "__main__":
    runtime.main(run)
