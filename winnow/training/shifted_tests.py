"""Shifted test sets: further images of the same classes on which trained networks are measured too."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from winnow.errors import InputError
from winnow.files import marks, outputs
from winnow.images import picture, storage
from winnow.names import quoted
from winnow.sources import Source, open_source

PIXELS, LABELS = "pixels.npy", "labels.npy"


def decode(name: str, source: str, classes: list[str], size: int, out: Path, follow_links: bool = False) -> None:
    """Decode the images of a test set once, to `size` pixels, into the folder `out`: PIXELS and LABELS.

    Args:
        name: of the test set.
        source: where its images are (`winnow.sources`). Of one with splits, those held out are taken, else all.
        classes: of the data set; the test set may lack some, and may have no other.
        size: in pixels.
        out: the folder to write; what is there is not made again.
        follow_links: read images that links lead to outside the source (`prepare.follow_links`).

    Raises:
        InputError: the source is at fault, has another class, or an image of it cannot be read.
    """
    if marks.is_finished(out):
        return
    opened = check(name, source, classes, follow_links)
    wanted = _wanted(opened.table)
    number = np.array([classes.index(known) for known in opened.classes])
    block = np.empty((int(wanted.sum()), size, size, 3), np.uint8)
    for row, image in enumerate(_images(name, opened, wanted)):
        block[row] = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))
    with outputs.whole_folder(out) as folder:
        np.save(folder / PIXELS, block)
        np.save(folder / LABELS, number[opened.table["label"][wanted]])
    marks.finish(out)


def check(name: str, source: str, classes: list[str], follow_links: bool = False) -> Source:
    """Open the source of a test set.

    Raises:
        InputError: there is none, or it has a class that the data set lacks.
    """
    try:
        opened = open_source(source, follow_links=follow_links)
    except InputError as error:
        raise InputError(f"evaluate.tests.{name}: {str(error).removeprefix('prepare.source: ')}") from error
    if unknown := [known for known in opened.classes if known not in classes]:
        raise InputError(
            f"evaluate.tests.{name}: {source} has a class {quoted(unknown[0])} that the data set lacks; "
            f"its classes are {', '.join(classes)}"
        )
    return opened


def _wanted(table: pd.DataFrame) -> np.ndarray:
    """(N,) bool: the images held out, where some are."""
    held_out = (table["split"] == "test").to_numpy()
    return held_out if held_out.any() else ~held_out


def _images(name: str, source: Source, wanted: np.ndarray) -> Iterator[Image.Image]:
    """The wanted images, in order. One that cannot be read would make the test another one, so it is refused."""
    table = source.table[wanted]
    found: Iterator[bytes | OSError] = (
        (data for data, want in zip(source.copy(), wanted, strict=True) if want)
        if source.copy
        else storage.read(source.base, table, follow_links=source.follow_links)
    )
    for image_id, data in zip(table["id"], found, strict=True):
        try:
            if not isinstance(data, bytes):
                raise data
            image = picture.decode(data)
        except (OSError, picture.UnreadableImage) as error:
            raise InputError(
                f"evaluate.tests.{name}: the image {image_id} cannot be read ({error}); repair or remove it"
            ) from error
        yield image
