"""Prepare what the cells of a grid share: decoded images, features, and the truth about planted faults.

    prepare/ embed/   as the stages of these names leave them
    pixels.npy        every image at the training size; written last

A mark beside such a folder (`winnow.files.marks`) says that the folder is complete.

Each kind of damage has a folder, because images are damaged before they are embedded: the encoder sees what the network
will see. All folders hold out the same images. Wrong labels need no folder, because features do not depend on labels.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from winnow import features, sources
from winnow.encoders import embed, feature_cache
from winnow.encoders.encoder import Checkpoint
from winnow.features import Features
from winnow.files import hashes, locks, marks, outputs
from winnow.images import dataset, held_out, prepare
from winnow.sources import Source, fingerprint

BUNDLED = "bundled"  # the digits, and the encoder that is trained on other digits
MAX_REJECTED = 0.05
SPLIT_SEED = 0


@dataclass(frozen=True)
class Encoding:
    """Which encoder makes features, and of which words."""

    checkpoint: Checkpoint
    prompts: tuple[str, ...]
    class_names: str | None
    batch_size: int


@dataclass(frozen=True)
class DataOrigin:
    """Where images and features come from.

    Attributes:
        source: of the images (`winnow.sources`), or BUNDLED.
        features: a feature folder, or how to make one; the path of its checkpoint may be BUNDLED.
        side: of the images that networks are trained on, in pixels.
        held_out: name of the split to hold out.
        test_share: held out where the source names no split.
    """

    source: str
    features: Path | Encoding
    side: int
    held_out: str | None = None
    test_share: float = 0.2


@dataclass(frozen=True)
class PreparedData:
    """What is in a folder that `make` filled.

    Attributes:
        data: features of the pool and their true labels.
        train, test: (n, side, side, 3) uint8 images of the pool and of what is held out.
        test_labels: (n,) classes of the latter.
        damaged: (N,) bool, the images of the pool that were damaged.
    """

    data: Features
    train: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray
    damaged: np.ndarray


def key(origin: DataOrigin) -> str:
    """Names what the folders are made from, by content: the source, and the features or the encoder.

    Raises:
        InputError: the source cannot be found.
    """
    told = (
        BUNDLED
        if origin.source == BUNDLED
        else fingerprint.of(origin.source, origin.held_out, follow_links=True)["sha256"]
    )
    given = origin.features if isinstance(origin.features, Path) else origin.features.checkpoint.path
    lies = sorted(given.rglob("*")) if given.is_dir() else [given]
    return hashes.sha256(repr(origin), told, *(hashes.file_sha256(path) for path in lies if path.is_file()))[:16]


def make(origin: DataOrigin, folder: Path, damage: float = 0.0, seed: int = 0, *, device: str = "cpu") -> None:
    """Fill a folder, if that was not done; a run that was killed goes on at the step it was in.

    Args:
        origin: images and features.
        folder: the folder to fill.
        damage: share of the pool that is damaged.
        seed: fixes which, and how.
        device: where to compute.

    Raises:
        InputError: the source, the encoder or the features are at fault.
    """
    pixels = folder / "pixels.npy"
    with locks.locked(folder.with_name(f"{folder.name}.lock"), f"makes {folder}"):
        if marks.is_finished(folder):
            return
        source = _source(origin, folder.parent)
        prepare.run(
            source,
            folder / "prepare",
            test_share=origin.test_share,
            max_rejected=MAX_REJECTED,
            wrong_labels=0,
            damaged=damage,
            seed=seed,
        )
        _embed(origin, folder, device)
        with outputs.whole_file(pixels) as partial, partial.open("wb") as file:
            np.save(file, dataset.pixels(dataset.load(folder / "prepare/images"), origin.side))
        marks.finish(folder)


def _source(origin: DataOrigin, shared: Path) -> Source:
    """The source, with what is held out already decided, so that no seed decides it anew."""
    place = origin.source
    if place == BUNDLED:
        from winnow.sample import digits

        place = str(shared / "sample")
        with locks.locked(shared / "sample.lock", f"makes {place}"):
            if not marks.is_finished(Path(place)):
                digits.run(Path(place), seed=SPLIT_SEED)
                marks.finish(Path(place))
    source = sources.open_source(place, held_out=origin.held_out, follow_links=True)
    table = source.table.reset_index(drop=True)
    if not (table["split"] == "test").any():
        labels = table["label"].to_numpy()
        chosen = held_out.choose(table["id"], labels, len(source.classes), origin.test_share, SPLIT_SEED)
        table.loc[chosen, "split"] = "test"
    return replace(source, table=table)


def _embed(origin: DataOrigin, folder: Path, device: str) -> None:
    images, how = folder / "prepare/images", origin.features
    if isinstance(how, Path):
        embed.run_features(images, how, folder / "embed")
        return
    checkpoint = how.checkpoint
    if str(checkpoint.path) == BUNDLED:
        checkpoint = replace(checkpoint, path=_pretrained(folder.parent / "pretrain", device))
    work = embed.EmbedJob(images, checkpoint, how.batch_size)
    names = Path(how.class_names) if how.class_names else images / "classes.json"
    with feature_cache.alone():
        embed.run_encoder(work, folder / "embed", list(how.prompts), names, device=device)


def _pretrained(folder: Path, device: str) -> Path:
    from winnow.sample import encoder

    with locks.locked(folder.with_name(f"{folder.name}.lock"), f"makes {folder}"):
        if not marks.is_finished(folder):
            encoder.run(folder, steps=160, batch_size=128, lr=3e-3, seed=SPLIT_SEED, device=device)
            marks.finish(folder)
    return folder


@lru_cache(maxsize=2)
def load(folder: Path) -> PreparedData:
    """What `make` left in a folder, read once a process."""
    images = dataset.load(folder / "prepare/images")
    index, block = images.index, np.load(folder / "pixels.npy", mmap_mode="r")
    train, test = ((index["split"] == split).to_numpy() for split in ("train", "test"))
    truth = pd.read_parquet(folder / "prepare/truth.parquet")
    damaged = index["id"][train].isin(truth["id"][truth["damage"] != ""]).to_numpy()
    test_labels = index.loc[test, "label"].to_numpy()
    return PreparedData(features.load(folder / "embed"), block[train], block[test], test_labels, damaged)


def digest(folder: Path) -> str:
    """Names the images, labels and features in a folder."""
    names = ("prepare/images/index.parquet", "embed/image.npy", "embed/text.npy", "pixels.npy")
    return hashes.sha256(*(hashes.file_sha256(folder / name) for name in names))
