"""Stage embed: image and text features, from an encoder or from a folder of features.

In:  data/prepare/images, and an encoder or a feature folder. Out, in data/embed/:

    image.npy text.npy labels.npy classes.json ids.txt   the pool, as a feature folder (`winnow.features`); no text.npy
                                                         of an encoder that reads no text
    test.npy test_labels.npy test_ids.txt                the held-out images, where they could be embedded
    encoder.json                                         what made the features
    encoder-2 encoder-3 ...                              the same of further encoders, where there are any

`start`, then `shards` for every shard, in any order and on any machine that sees this folder, then `finish`. A shard is
encoded in batches that depend only on the positions of its images, so a resumed run ends with the same bytes.
`encoders.feature_cache` keeps what is finished.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import compress, groupby, islice
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from rich.filesize import decimal

from winnow import features
from winnow.encoders import encoder, image_only, own_features, prompts
from winnow.encoders.encoder import Checkpoint, Encoder
from winnow.encoders.feature_cache import FeatureCache
from winnow.errors import InputError
from winnow.files import hashes, json_files, outputs
from winnow.images import dataset, decoding
from winnow.images.dataset import Dataset
from winnow.images.decoding import Batch

TRIAL = 32  # images that the estimate is measured on
DECODER = 2**28  # bytes of a process that decodes


@dataclass(frozen=True)
class EmbedJob:
    """What to embed with which encoder, and how many images at a time."""

    images: Path
    checkpoint: Checkpoint
    batch_size: int


@dataclass(frozen=True)
class Plan:
    """What is to be done: where finished rows are kept, the shards, and what the rest will cost.

    Attributes:
        total: images in all.
        todo: images that have no features yet.
        seconds: to encode them, on one worker.
        memory: bytes that the worker needs.
        disk: bytes of features at the end, with the rows that are kept for the next run.
    """

    cache: FeatureCache
    shards: list[str]
    total: int
    todo: int
    seconds: float
    memory: int
    disk: int

    def __str__(self) -> str:
        hours, rest = divmod(round(self.seconds), 3600)
        return (
            f"embed: {self.todo:,} of {self.total:,} images to encode: about {hours}:{rest // 60:02}:{rest % 60:02} "
            f"a worker, {decimal(self.memory)} of memory, {decimal(self.disk)} of disk"
        )


def start(work: EmbedJob, texts: list[str], names: Path, *, device: str) -> Plan:
    """Open the encoder, embed the classes if it reads text, and find out what is left to do.

    Args:
        work: what to embed.
        texts: prompts, with {} for the name of the class.
        names: file with the names of the classes (`encoders.prompts.class_names`).
        device: where to compute.

    Raises:
        InputError: the encoder cannot be loaded, or the names of the classes do not fit.
    """
    data = _data(work.images)
    called = None if image_only.reads_no_text(work.checkpoint.model) else prompts.class_names(names, data.classes)
    opened = encoder.opened(work.checkpoint, device)
    text = None if called is None else prompts.text_features(opened, called, texts)
    key = hashes.sha256(opened.key, str(work.batch_size))[:16], hashes.file_sha256(work.images / "index.parquet")[:16]
    cache = FeatureCache(*key, opened.dim if text is None else text.shape[1])
    cache.open(data.index, text, opened.about | {"prompts": None if called is None else texts})
    todo = {shard: cache.todo(shard, len(data.of(shard))) for shard in data.shards}
    left = sum(len(wanted) for wanted in todo.values()) - cache.done()
    seconds = left * _seconds_an_image(opened, data, todo, work.batch_size) if left else 0.0
    return Plan(cache, data.shards, len(data.index), left, seconds, _memory(left), cache.disk(len(data.index)))


def _seconds_an_image(opened: Encoder, data: Dataset, todo: dict[str, np.ndarray], batch_size: int) -> float:
    """Seconds for one more image, decoded by all the workers and encoded, measured on a few that are to be done."""
    shard = next(shard for shard, wanted in todo.items() if len(wanted))
    some = list(islice(data.encoded(shard), min(TRIAL, batch_size)))
    begin = time.perf_counter()
    pixels = decoding.pixels(some, shard, 0, opened.shape)
    decoded = time.perf_counter()
    opened.images(pixels)  # the first batch on a device takes longer
    warm = time.perf_counter()
    opened.images(pixels)
    return ((decoded - begin) / decoding.workers() + time.perf_counter() - warm) / len(some)


def _memory(left: int) -> int:
    """Bytes that this process has with its model, and that the processes which decode for it will have."""
    workers = decoding.workers() if left > decoding.FEW else 0
    return psutil.Process().memory_info().rss + workers * DECODER


def shards(work: EmbedJob, cache: FeatureCache, some: list[str], *, device: str) -> None:
    """Encode what is not yet done of some shards.

    Raises:
        InputError: the encoder gives features that are no numbers, or an image cannot be read any more.
    """
    data, opened = _data(work.images), encoder.opened(work.checkpoint, device)
    counts = {shard: len(data.of(shard)) for shard in some}
    pool = decoding.decoders(sum(counts.values()) - cache.done(some))
    decoded = decoding.batches(_encoded(data, cache, counts, work.batch_size), opened.shape, pool)
    for shard, batches in groupby(decoded, lambda one: one[0].shard):
        with cache.append(shard) as write:
            for batch, pixels in batches:
                write(batch.first, _encode(opened, pixels, work.batch_size, shard))


def _encoded(data: Dataset, cache: FeatureCache, counts: dict[str, int], batch_size: int) -> Iterator[Batch]:
    """Batches of what is not yet done of some shards, one shard after the other."""
    for shard, count in counts.items():
        wanted = cache.todo(shard, count)
        begin = cache.begun(shard, batch_size, len(wanted))
        images = _only(data.encoded(shard), wanted[begin:])
        for first in range(begin, len(wanted), batch_size):
            yield Batch(shard, first, list(islice(images, batch_size)))


def _only(encoded: Iterator[bytes], wanted: np.ndarray) -> Iterator[bytes]:
    """The images at the places `wanted`, which ascend."""
    if len(wanted):
        keep = np.zeros(wanted[-1] + 1, bool)
        keep[wanted] = True
        yield from compress(encoded, keep)


def _encode(opened: Encoder, pixels: np.ndarray, batch_size: int, shard: str) -> np.ndarray:
    """(n, d) float16 features. All batches are as large as the first: then a row hardly depends on its neighbours."""
    missing = batch_size - len(pixels)
    full = np.pad(pixels, ((0, missing), (0, 0), (0, 0), (0, 0))) if missing else pixels
    found = opened.images(full)[: len(pixels)]
    if not np.isfinite(found).all():
        raise InputError(
            f"embed: {opened.name} gives features that are not finite for {shard}; its weights are damaged"
        )
    return found


def finish(work: EmbedJob, cache: FeatureCache, out: Path) -> None:
    """Gather the rows of all shards and write the features to `out`; the rows stay until the cache is closed."""
    data = _data(work.images)
    image = cache.gather(data.index, data.shards)
    _write(out, data, image, np.arange(len(image)), cache.text(), cache.about())


def run_encoder(work: EmbedJob, out: Path, texts: list[str], names: Path, *, device: str) -> None:
    """Embed every image and every class in this process and write the features to `out`.

    Raises:
        InputError: as `start` and `shards`.
    """
    plan = start(work, texts, names, device=device)
    shards(work, plan.cache, plan.shards, device=device)
    finish(work, plan.cache, out)
    plan.cache.close()


def gather(places: list[Path]) -> None:
    """Say in encoder.json of the first of several feature folders what made the others."""
    about, *others = (json_files.read_json(place / "encoder.json") for place in places)
    json_files.write_json(places[0] / "encoder.json", about | {"others": others})


def run_features(images: Path, folder: Path, out: Path) -> None:
    """Take the features of the data set in `images` from `folder` and write them to `out`.

    Raises:
        InputError: the folder does not hold a feature for each image of the pool and each class.
    """
    data, have = dataset.load(images), features.load(folder)
    places = own_features.match(data.index, have, folder)
    own_features.check_classes(data.classes, data.index, have, places, folder)
    about: dict[str, Any] = {"encoder": f"features {folder.name}", "weights_sha256": None, "prompts": None}
    if have.text is None:
        about["text"] = False
    _write(out, data, have.image, places, have.text, about)


def _write(
    out: Path, data: Dataset, image: np.ndarray, places: np.ndarray, text: np.ndarray | None, about: dict[str, Any]
) -> None:
    """Write a feature folder; `places` has for each sample of the index its row of `image`, or -1."""
    pool = (data.index["split"] == "train").to_numpy()
    labels = data.index["label"].to_numpy()
    with outputs.whole_folder(out) as folder:
        features.write_rows(folder / "image.npy", image, places[pool])
        if text is not None:
            features.write_rows(folder / "text.npy", text)
        features.write_names(folder, labels[pool], data.classes, data.index["id"][pool])
        held_out = ~pool & (places >= 0)
        if held_out.any():
            features.write_rows(folder / "test.npy", image, places[held_out])
            np.save(folder / "test_labels.npy", labels[held_out])
            features.write_ids(folder / "test_ids.txt", data.index["id"][held_out])
        json_files.write_json(folder / "encoder.json", about)


def _data(images: Path) -> Dataset:
    """The data set, its index read once a process."""
    return _load(images, (images / "index.parquet").stat().st_mtime_ns)


@lru_cache(maxsize=1)
def _load(images: Path, _: int) -> Dataset:
    return dataset.load(images)
