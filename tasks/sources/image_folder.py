"""An image folder: a folder a class, as torchvision's ImageFolder has it, at the top or within a folder a split."""

import posixpath

import numpy as np

from tasks.errors import InputError
from tasks.names import quoted
from tasks.sources import listing
from tasks.sources.base import Source, listed, split_of


def open_image_folder(base: str, held_out: str | None) -> Source:
    """List the folder; an id is the path below it.

    Every file counts but hidden ones: what turns out to be no image is set aside with its reason, not passed over.

    Raises:
        InputError: there are no folders, or a class is held out that is not among the training images.
    """
    names = listing.folders(base)
    if not names:
        raise InputError(f"prepare.source: {base} has no folders; an image folder has one for each class")
    splits = split_of(set(names), held_out) if "train" in names else split_of({"train"}, held_out)
    within = "train" in names
    classes = listing.folders(base, "train") if within else names
    if not classes:
        raise InputError(f"prepare.source: {base}/train has no folders; an image folder has one for each class")
    number = {name: label for label, name in enumerate(classes)}
    ids, labels, parts = [], [], []
    for split in sorted(splits):
        root = posixpath.join(base, split) if within else base
        for name in listing.folders(base, split) if within else classes:
            if name not in number:
                raise InputError(
                    f"prepare.source: {root} has the class {quoted(name)}, which is not among the training images"
                )
            prefix = f"{split}/{name}/" if within else f"{name}/"
            found = [prefix + file for file in listing.walk(base, prefix.rstrip("/"))]
            ids += found
            labels += [number[name]] * len(found)
            parts += [splits[split]] * len(found)
    return Source(base, classes, listed(ids, labels, parts, {"file": np.array(ids, dtype=object)}))
