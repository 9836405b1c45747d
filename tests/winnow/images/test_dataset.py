"""Images are found again by shard, by row and by id."""

from pathlib import Path

import numpy as np
from PIL import Image

from winnow.images import dataset
from winnow.images.dataset import Dataset


def test_images_come_in_the_order_of_the_index(images: Dataset, image_folder: Path) -> None:
    assert len(images.shards) > 2
    for name, image in zip(images.index["id"], images.all_images(), strict=True):
        assert image.tobytes() == Image.open(image_folder / name).convert("RGB").tobytes()


def test_splits_part_the_index(images: Dataset) -> None:
    train, test = images.split("train"), images.split("test")
    assert (len(train), len(test)) == (24, 6)
    assert set(train["id"]) | set(test["id"]) == set(images.index["id"])


def test_pixels_are_every_image_at_one_size(images: Dataset, image_folder: Path) -> None:
    block = dataset.pixels(images, 12)
    assert (block.shape, block.dtype) == ((30, 12, 12, 3), np.uint8)
    last = Image.open(image_folder / images.index["id"].iloc[-1]).resize((12, 12), Image.Resampling.BILINEAR)
    assert (block[-1] == np.asarray(last)).all()


def test_thumbnails_are_found_by_id_and_keep_their_proportions(images: Dataset, image_folder: Path) -> None:
    wanted = ["red/7.png", "blue/0.png", "red/1.png"]
    found = dataset.thumbnails(images, wanted, 12)
    assert set(found) == set(wanted)
    for name, thumbnail in found.items():
        assert thumbnail.tobytes() == Image.open(image_folder / name).resize((12, 10)).tobytes()
