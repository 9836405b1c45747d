"""Stage embed: features of images and class prompts. Run as `python -m flows.embed`."""

from pathlib import Path

from tasks import embed
from winnow.encoders import feature_cache
from winnow.run import progress, stage
from winnow.run.decorators import flow
from winnow.run.settings import Embed, Settings
from winnow.terminal.say import say

UNITS = 1000  # tasks at most, however many shards there are


@flow(name="embed")
def run(settings: Settings) -> None:
    """Embed with an encoder, or take the features that are there."""
    if settings.embed.source == "features":
        embed.take(Path(settings.embed.path or ""))
    else:
        with feature_cache.alone():
            _encode(settings.embed)


def _encode(how: Embed) -> None:
    """Encode what has no features yet, some shards a task, and write the features."""
    work = embed.work(how)
    plan = embed.start.submit(work, how).result()
    say(str(plan), error=True)
    size = -(-len(plan.shards) // UNITS)
    units = [plan.shards[k : k + size] for k in range(0, len(plan.shards), size)]
    running = [embed.shards.submit(work, plan.cache, unit) for unit in units]
    progress.watch("embed", running, plan.todo, plan.cache.done)
    embed.finish(work, plan.cache)


if __name__ == "__main__":
    stage.main(run, mapped=True, at_once=1)
