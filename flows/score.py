"""Stage score: alignment and diversity of every sample. Run as `python -m flows.score`."""

from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner

from winnow.errors import redacted
from winnow.files import outputs
from winnow.run import progress
from winnow.run import stage as runtime
from winnow.run.settings import Settings
from winnow.selection import near_duplicates, score


@flow(name="score", task_runner=ThreadPoolTaskRunner(max_workers=1))  # type: ignore[arg-type]
@redacted
def run(settings: Settings) -> None:
    """Score the pool, some classes at a time, and find what is nearly the same."""
    embed, adapted, out = (runtime.DATA / stage for stage in ("embed", "adapt", "score"))
    how = settings.score
    with outputs.scratch("score", score.key(embed, adapted, neighbours=how.neighbours)) as scratch:
        spans = score.spans(embed)
        work = runtime.gpu_task(score.classes)
        running = [work.submit(embed, adapted, span, scratch, neighbours=how.neighbours) for span in spans]
        progress.watch("score", running, len(spans), lambda: len(list(scratch.glob("*.npz"))))
        runtime.as_task(score.gather)(embed, adapted, scratch, out)
    runtime.gpu_task(near_duplicates.run)(
        embed, out / "scores.parquet", out / "near_duplicates.parquet", cosine=how.near_duplicates
    )


if __name__ == "__main__":
    runtime.main(run, mapped=True)
