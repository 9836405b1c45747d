"""Figures are pictures, the same bytes for the same data, and take the edge cases that releases have."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from PIL import Image

from winnow.reports import figures

MEANS = {"subset": {"mean": 0.9, "std": 0.01}, "random": {"mean": 0.8, "std": 0.0}, "all": {"mean": 1.0, "std": 0.0}}
TABLE = pd.DataFrame({"alignment": [0.1, 0.5, 0.9], "sds": [1.0, 2, 3], "selected": [False, True, True]})
PHOTOS = [Image.new("RGB", (9, 12), colour) for colour in ("red", "blue", "white")]

Draw = Callable[[Path], None]
FIGURES: dict[str, Draw] = {
    "accuracy": lambda path: figures.accuracy(MEANS, 3, path),
    "accuracy of nothing learnt": lambda path: figures.accuracy({a: {"mean": 0.0, "std": 0.0} for a in MEANS}, 1, path),
    "class counts": lambda path: figures.class_counts(np.array([9, 4]), np.array([3, 0]), ["cat", "dog"], path),
    "many classes": lambda path: figures.class_counts(
        np.arange(99), np.arange(99) // 2, [f"c{i}" for i in range(99)], path
    ),
    "names with dollars": lambda path: figures.class_counts(np.array([2]), np.array([1]), [r"A$AP \frac$"], path),
    "scores": lambda path: figures.scores(TABLE, path),
    "scores, all kept": lambda path: figures.scores(TABLE.assign(selected=True), path),
    "gallery": lambda path: figures.gallery(PHOTOS, ["cat?\ndog", "$", "_{"], path),
    "gallery, nothing dropped": lambda path: figures.gallery([], [], path),
}


@pytest.mark.parametrize("draw", FIGURES.values(), ids=FIGURES)
def test_a_figure_is_the_same_picture_again(draw: Draw, tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        draw(tmp_path / name)
    with Image.open(tmp_path / "one.png") as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 50
        assert "Software" not in picture.info
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_bars_of_accuracy_start_at_zero_so_that_no_difference_is_exaggerated() -> None:
    close = {arm: {"mean": mean, "std": 0.002} for arm, mean in (("subset", 0.983), ("random", 0.977), ("all", 0.981))}
    figure, axes = plt.subplots()
    figures._accuracy(axes, close, 3)
    assert axes.get_xlim()[0] == 0
    assert axes.get_xticks()[[0, -1]].tolist() == [0, 100]
    plt.close(figure)
