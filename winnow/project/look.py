"""What a source holds, by its listing alone: no image is read, and nothing is written."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from winnow import features, sources
from winnow.encoders import own_features
from winnow.errors import InputError
from winnow.images import held_out
from winnow.run.settings import Base, Prepare
from winnow.sources import torchvision

SHOWN = 10  # classes named in the summary


@dataclass(frozen=True)
class Look:
    """What lies in a source.

    Attributes:
        source: as it was named.
        kind: what a person calls it, such as "an image folder".
        classes: for each class, how many of its images are to choose from and how many are held out.
        notes: what was guessed or is passed over: a line each, with a count.
        features: rows and width of the features that were given, and the encoder's classes; None without any.
    """

    source: str
    kind: str
    classes: dict[str, tuple[int, int]]
    notes: tuple[str, ...]
    features: tuple[int, int] | None = None

    @property
    def pool(self) -> int:
        """Images to choose from."""
        return sum(pool for pool, _ in self.classes.values())

    @property
    def held_out(self) -> int:
        """Images of a split that is held out; 0 where the source names none."""
        return sum(test for _, test in self.classes.values())

    def stated(self) -> dict[str, Any]:
        """The same as plain values, for JSON."""
        return {
            "source": self.source,
            "kind": self.kind,
            "images": self.pool + self.held_out,
            "splits": {"train": self.pool, "test": self.held_out},
            "classes": {name: {"train": pool, "test": test} for name, (pool, test) in self.classes.items()},
            "notes": list(self.notes),
            "features": dict(zip(("rows", "width"), self.features, strict=True)) if self.features else None,
        }

    def lines(self) -> Iterator[str]:
        """The same in words."""
        total = self.pool + self.held_out
        yield f"{self.source} is {self.kind}: {total:,} images in {len(self.classes):,} classes"
        if self.held_out:
            yield f"  splits     {self.pool:,} to choose from, {self.held_out:,} held out as a test set"
        else:
            share = f"{Prepare().test_share:.0%}"
            yield f"  splits     none named, so prepare holds out {share} of each class as a test set"
        yield f"  classes    {_listed(self.classes)}"
        if self.features:
            yield f"  features   {self.features[0]:,} rows of {self.features[1]:,} numbers, which fit these images"
        yield from (f"  note       {note}" for note in self.notes)


def look(
    source: str,
    *,
    features_at: Path | None = None,
    label: str = "label",
    held_out: str | None = None,
    follow_links: bool = False,
) -> Look:
    """List what lies at `source`, and check that features fit it.

    Args:
        source: a folder, a file, a pattern of files, a URL of those, or `torchvision:NAME:FOLDER`.
        features_at: a folder of features, one row an image.
        label: the column of labels in tables and Parquet, or the key in a WebDataset's json.
        held_out: the split to hold out, or a .txt of ids.
        follow_links: read images that links lead to outside an image folder, or the folder of a table.

    Raises:
        InputError: it is no source, with the reason; or the features do not fit it.
    """
    if downloads(source):
        raise InputError(
            f"{source} would be downloaded, and a look downloads nothing; name the folder where it lies: "
            f"{source.rstrip(':')}:FOLDER"
        )
    try:
        opened = sources.open_source(source, label=label, held_out=held_out, follow_links=follow_links)
    except InputError as error:
        raise InputError(str(error).removeprefix("prepare.source: ")) from error
    labels = opened.table["label"].to_numpy()
    pool = (opened.table["split"] == "train").to_numpy()
    counts = [np.bincount(labels[of], minlength=len(opened.classes)).tolist() for of in (pool, ~pool)]
    classes = dict(zip(opened.classes, zip(*counts, strict=True), strict=True))
    shape = _features(opened, features_at) if features_at else None
    return Look(source, opened.kind, classes, opened.notes, shape)


def downloads(source: str) -> bool:
    """Whether to open a source is to download it."""
    return source.startswith(torchvision.PREFIX) and not source.removeprefix(torchvision.PREFIX).partition(":")[2]


def _features(source: sources.Source, folder: Path) -> tuple[int, int]:
    """Rows and width of features, once they are known to fit the images and classes of the source."""
    have = features.load(folder)
    index = source.table.reset_index(drop=True)
    if (index["split"] == "train").all():
        share, seed = Prepare().test_share, Base().seed
        chosen = held_out.choose(index["id"], index["label"].to_numpy(), len(source.classes), share, seed)
        index.loc[chosen, "split"] = "test"
    rows = own_features.match(index, have, folder)
    own_features.check_classes(source.classes, index, have, rows, folder)
    return len(have.ids), have.image.shape[1]


def _listed(classes: dict[str, tuple[int, int]]) -> str:
    """The largest classes and the smallest, with the number of images to choose from."""
    by_size = sorted(classes.items(), key=lambda item: -item[1][0])
    words = [f"{name} {pool:,}" for name, (pool, _) in by_size]
    if len(words) <= SHOWN:
        return ", ".join(words)
    half = SHOWN // 2
    return f"{', '.join(words[:half])}, ... {', '.join(words[-half:])}"
