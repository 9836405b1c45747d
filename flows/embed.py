"""Stage embed: features of images and class prompts. Run as `python -m flows.embed`."""

from pathlib import Path

from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner

from flows import progress, runtime
from flows.settings import Embed, Settings
from tasks import embed
from tasks.encoders import rows
from tasks.encoders.encoder import Checkpoint
from tasks.errors import redacted
from tasks.say import say

UNITS = 1000  # tasks at most, however many shards there are


@flow(name="embed", task_runner=ThreadPoolTaskRunner(max_workers=1))  # type: ignore[arg-type]
@redacted
def run(settings: Settings) -> None:
    """Embed with an encoder, or take the features that are there."""
    how, images, out = settings.embed, runtime.DATA / "prepare" / "images", runtime.DATA / "embed"
    if how.source == "features":
        runtime.as_task(embed.run_features)(images, Path(how.path), out)
        return
    work = embed.Work(images, Checkpoint(how.model, Path(how.path), how.pretrained), how.batch_size)
    with rows.alone():
        _encode(work, how, out)


def _encode(work: embed.Work, how: Embed, out: Path) -> None:
    """Encode what has no features yet, some shards a task, and write the features."""
    plan = runtime.gpu_task(embed.start).submit(work, how.prompts, Path(how.class_names)).result()
    say(str(plan), error=True)
    encode, size = runtime.gpu_task(embed.shards), -(-len(plan.shards) // UNITS)
    units = [plan.shards[k : k + size] for k in range(0, len(plan.shards), size)]
    running = [encode.submit(work, plan.room, unit) for unit in units]
    progress.watch("embed", running, plan.todo, plan.room.done)
    runtime.as_task(embed.finish)(work, plan.room, out)


if __name__ == "__main__":
    runtime.main(run, mapped=True)
