"""Stage embed: features of images and class prompts, by one encoder or several. Run as `python -m flows.embed`."""

from pathlib import Path

from tasks import embed
from winnow.encoders import feature_cache
from winnow.encoders.feature_cache import FeatureCache
from winnow.files import outputs
from winnow.run import progress, stage
from winnow.run.decorators import flow
from winnow.run.settings import Encoder, Settings
from winnow.terminal.say import say

UNITS = 1000  # tasks at most, however many shards there are


@flow(name="embed")
def run(settings: Settings) -> None:
    """Embed with each encoder, or take the features that are there."""
    how = settings.embed
    if how.source == "features" and not how.others:
        embed.take(Path(how.path or ""), embed.OUT)
        return
    with feature_cache.alone():
        if not how.others:
            embed.close([_encode(how, embed.OUT)])
            return
        with outputs.whole_folder(embed.OUT) as room:
            places = [room, *(room / f"encoder-{k}" for k in range(2, len(how.encoders) + 1))]
            made = [_features(one, place) for one, place in zip(how.encoders, places, strict=True)]
            embed.gather(places)
        embed.close([cache for cache in made if cache])


def _features(how: Encoder, out: Path) -> FeatureCache | None:
    """The features of one of several encoders, and where their rows are kept."""
    if how.source == "features":
        embed.take(Path(how.path or ""), out)
        return None
    return _encode(how, out)


def _encode(how: Encoder, out: Path) -> FeatureCache:
    """Encode what has no features yet, some shards a task, and write the features."""
    work = embed.work(how)
    plan = embed.start.submit(work, how).result()
    say(str(plan), error=True)
    size = -(-len(plan.shards) // UNITS)
    units = [plan.shards[k : k + size] for k in range(0, len(plan.shards), size)]
    running = [embed.shards.submit(work, plan.cache, unit) for unit in units]
    progress.watch("embed", running, plan.todo, plan.cache.done)
    embed.finish(work, plan.cache, out)
    return plan.cache


if __name__ == "__main__":
    stage.main(run, mapped=True, at_once=1)
