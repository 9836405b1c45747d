"""Stage score: alignment and diversity of every sample. Run as `python -m flows.score`."""

from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner

from flows import progress, runtime
from flows.settings import Settings
from tasks import files, score
from tasks.errors import redacted
from tasks.selection import near_duplicates


@flow(name="score", task_runner=ThreadPoolTaskRunner(max_workers=1))  # type: ignore[arg-type]
@redacted
def run(settings: Settings) -> None:
    """Score the pool, some classes at a time, and find what is nearly the same."""
    embed, adapted, out = (runtime.DATA / stage for stage in ("embed", "adapt", "score"))
    how = settings.score
    with files.scratch("score", score.key(embed, adapted, neighbours=how.neighbours)) as scratch:
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
