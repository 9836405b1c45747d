"""Stage embed. Reads data/prepare/images and encoders, or folders of features; writes data/embed."""

from pathlib import Path

from tasks import DATA
from winnow.encoders import embed
from winnow.encoders.embed import EmbedJob, Plan
from winnow.encoders.encoder import Checkpoint
from winnow.encoders.feature_cache import FeatureCache
from winnow.run.decorators import gpu_task, task
from winnow.run.settings import Encoder

IMAGES, OUT = DATA / "prepare" / "images", DATA / "embed"


def work(how: Encoder) -> EmbedJob:
    """What to embed, and with which encoder."""
    return EmbedJob(IMAGES, Checkpoint(how.model, Path(how.path or ""), how.pretrained), how.batch_size)


@gpu_task
def start(work: EmbedJob, how: Encoder, *, device: str) -> Plan:
    """Embed the prompts of the classes, and find out which images have no features yet."""
    return embed.start(work, how.prompts, Path(how.class_names), device=device)


@gpu_task
def shards(work: EmbedJob, cache: FeatureCache, some: list[str], *, device: str) -> None:
    """Encode the images of some shards."""
    embed.shards(work, cache, some, device=device)


@task
def finish(work: EmbedJob, cache: FeatureCache, out: Path) -> None:
    """Put the features of an encoder together."""
    embed.finish(work, cache, out)


@task
def close(caches: list[FeatureCache]) -> None:
    """Keep the rows of these encoders for the next run, and of no others."""
    if caches:
        caches[0].close(*caches[1:])


@task
def take(folder: Path, out: Path) -> None:
    """Take features of your own instead of an encoder's."""
    embed.run_features(IMAGES, folder, out)


@task
def gather(places: list[Path]) -> None:
    """Say beside the first encoder's features what made the others."""
    embed.gather(places)
