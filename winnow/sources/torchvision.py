"""Read a torchvision data set: `torchvision:CIFAR100`, or `torchvision:CIFAR100:folder` for a downloaded one.

The images are copied as PNG, because only torchvision's classes can read the files. Some of them unpickle (CIFAR):
torchvision first checks the file's MD5 against the published one, so no other pickle is ever loaded.
"""

import inspect
import tarfile
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from winnow.errors import InputError
from winnow.files.scratch import SCRATCH
from winnow.images import png
from winnow.sources import labels
from winnow.sources.base import Source, listed

PREFIX = "torchvision:"
SPLITS = {  # to choose from and to hold out, where they are not named train and test
    "ImageNet": ("train", "val"),
    "Imagenette": ("train", "val"),
    "OxfordIIITPet": ("trainval", "test"),
    "Places365": ("train-standard", "val"),
}
# Base classes, folders that Winnow reads itself, and sets that unpickle whatever cache lies beside them.
LEFT_OUT = ("ImageFolder", "DatasetFolder", "VisionDataset", "LSUN", "LSUNClass")
ROOT = SCRATCH / "torchvision"  # where it is downloaded to


def open_torchvision(source: str, held_out: str | None) -> Source:
    """Open a data set of images with one whole-number label each; an id is the split and the position in it.

    Raises:
        InputError: torchvision has no such set of labelled images, or it can be neither found nor downloaded.
    """
    name, _, root = source.removeprefix(PREFIX).partition(":")
    parts = {split: _make(name, root or str(ROOT), keywords) for split, keywords in _splits(name, held_out).items()}
    found = {split: _labels(name, data) for split, data in parts.items()}
    every, notes = np.concatenate(list(found.values())), list[str]()
    ids = [f"{split}/{row:08d}" for split, rows in found.items() for row in range(len(rows))]
    splits = [split for split, rows in found.items() for _ in rows]
    names = getattr(next(iter(parts.values())), "classes", None)
    if names:
        classes = [" ".join(n) if isinstance(n, tuple) else str(n) for n in names]
    else:
        classes, every, notes = labels.classes(every.astype(str), source)
    table = listed(ids, every, splits)
    return Source(source, classes, table, lambda: _images(list(parts.values())), tuple(notes))


def _splits(name: str, held_out: str | None) -> dict[str, dict[str, Any]]:
    """The arguments that give each split: sets say `train=True` or `split="train"`, or have none."""
    import torchvision

    known = [n for n in torchvision.datasets.__all__ if n not in LEFT_OUT]
    if name not in known:
        raise InputError(f"prepare.source: torchvision has no data set {name!r}; it has {', '.join(known)}")
    takes = inspect.signature(getattr(torchvision.datasets, name)).parameters
    train, test = SPLITS.get(name, ("train", "test"))
    if "split" in takes:
        return {"train": {"split": train}, "test": {"split": held_out or test}}
    if held_out not in (None, "test") or (held_out and "train" not in takes):
        raise InputError(f"prepare.held_out: torchvision's {name} has no split {held_out!r}")
    return {"train": {"train": True}, "test": {"train": False}} if "train" in takes else {"train": {}}


def _make(name: str, root: str, keywords: dict[str, Any]) -> Any:
    import torchvision

    # torchvision unpacks what it downloads without asking for a filter; this is the one it gets then, in any thread.
    tarfile.TarFile.extraction_filter = staticmethod(tarfile.data_filter)
    kind = getattr(torchvision.datasets, name)
    takes = inspect.signature(kind).parameters
    where = ({"root": root} if "root" in takes else {}) | ({"download": True} if "download" in takes else {})
    try:
        return kind(**where, **keywords)
    except Exception as error:  # whatever its class raises: files missing, damaged, no network, a package missing
        raise InputError(
            f"prepare.source: torchvision's {name} could not be opened in {root} ({error}); put its files there, or "
            f"name the folder that has them: {PREFIX}{name}:folder"
        ) from error


def _labels(name: str, data: Any) -> np.ndarray:
    said = getattr(data, "targets", None)
    if said is None:
        said = getattr(data, "labels", getattr(data, "_labels", None))
    if said is None:
        said = [data[row][1] for row in range(len(data))]
    values = np.asarray(said)
    if values.ndim != 1 or not np.issubdtype(values.dtype, np.integer) or len(values) != len(data):
        raise InputError(f"prepare.source: the labels of torchvision's {name} are not one class per image")
    return values.astype(np.int64)


def _images(parts: list[Any]) -> Iterator[bytes]:
    return (_png(data[row]) for data in parts for row in range(len(data)))


def _png(item: tuple[Any, ...]) -> bytes:
    image = item[0]
    return png.encode(image if isinstance(image, Image.Image) else Image.fromarray(np.asarray(image)))
