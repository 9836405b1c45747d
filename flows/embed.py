"""Stage embed: features of images and class prompts. Run as `python -m flows.embed`."""

from pathlib import Path

from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner

from winnow.encoders import embed, feature_cache
from winnow.encoders.encoder import Checkpoint
from winnow.errors import redacted
from winnow.run import progress, stage
from winnow.run.settings import Embed, Settings
from winnow.terminal.say import say

UNITS = 1000  # tasks at most, however many shards there are


@flow(name="embed", task_runner=ThreadPoolTaskRunner(max_workers=1))  # type: ignore[arg-type]
@redacted
def run(settings: Settings) -> None:
    """Embed with an encoder, or take the features that are there."""
    how, images, out = settings.embed, stage.DATA / "prepare" / "images", stage.DATA / "embed"
    if how.source == "features":
        stage.as_task(embed.run_features)(images, Path(how.path), out)
        return
    work = embed.Work(images, Checkpoint(how.model, Path(how.path), how.pretrained), how.batch_size)
    with feature_cache.alone():
        _encode(work, how, out)


def _encode(work: embed.Work, how: Embed, out: Path) -> None:
    """Encode what has no features yet, some shards a task, and write the features."""
    plan = stage.gpu_task(embed.start).submit(work, how.prompts, Path(how.class_names)).result()
    say(str(plan), error=True)
    encode, size = stage.gpu_task(embed.shards), -(-len(plan.shards) // UNITS)
    units = [plan.shards[k : k + size] for k in range(0, len(plan.shards), size)]
    running = [encode.submit(work, plan.room, unit) for unit in units]
    progress.watch("embed", running, plan.todo, plan.room.done)
    stage.as_task(embed.finish)(work, plan.room, out)


if __name__ == "__main__":
    stage.main(run, mapped=True)
