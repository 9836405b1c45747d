"""Draw the figures of a release, as PNG or as SVG in the colours of its page; same data, same bytes."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from winnow.training.arms import ARMS, Arm

plt.rcParams["text.parse_math"] = False  # a class name may hold a dollar sign
plt.switch_backend("Agg")  # files only: no window, whatever the machine

KEPT, DROPPED, OTHER = "#1b6ca8", "#d1495b", "#9aa5b1"
MOST_CLASSES = 40  # more are not told apart in a bar chart
LONGEST_NAME = 32  # characters of a class name that are shown
COLUMNS = 8  # of the gallery
MOST_POINTS = 20_000  # more only blacken a scatter plot
MOST_SHAPES = 3_000  # of an SVG, in which each point takes bytes
INK = "#010203"  # text and lines of an SVG, until they take the colour of the page
THEME = {INK: "currentColor", KEPT: "var(--kept)", DROPPED: "var(--dropped)", OTHER: "var(--other)"}
SVG: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "winnow",
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "font.family": "sans-serif",
}


def accuracy(means: dict[Arm, dict[str, float]], seeds: int, path: Path) -> None:
    """Test accuracy of the arms with one standard deviation."""
    with _style(path):
        figure, axes = plt.subplots(figsize=(6, 2.4), layout="constrained")
        _accuracy(axes, means, seeds)
        save(figure, axes, path)


def _accuracy(axes: Axes, means: dict[Arm, dict[str, float]], seeds: int) -> None:
    arms = list(ARMS)[::-1]
    values = [means[arm]["mean"] * 100 for arm in arms]
    errors = [means[arm]["std"] * 100 for arm in arms]
    colours = [KEPT if arm == "subset" else OTHER for arm in arms]
    axes.barh(
        [ARMS[arm] for arm in arms], values, xerr=errors, color=colours, capsize=4, ecolor=plt.rcParams["text.color"]
    )
    for row, (value, error) in enumerate(zip(values, errors, strict=True)):
        axes.text(value + error + 1, row, f"{value:.1f} ± {error:.1f}", va="center")
    axes.set(xlabel=f"test accuracy in %, mean of {seeds} seeds", xlim=(0, 120))  # bars from 0 exaggerate no difference
    axes.set_xticks(range(0, 101, 20))


@contextmanager
def _style(path: Path) -> Iterator[None]:
    with mpl.rc_context(SVG if path.suffix == ".svg" else {}):
        yield


def class_counts(pool: np.ndarray, kept: np.ndarray, classes: list[str], path: Path) -> None:
    """What was kept of each class: (C,) counts; the largest classes where there are many."""
    order = np.argsort(-pool, kind="stable")[:MOST_CLASSES]
    figure, axes = plt.subplots(figsize=(max(6, 0.28 * len(order)), 3), layout="constrained")
    axes.bar(range(len(order)), pool[order], color=OTHER, label="pool")
    axes.bar(range(len(order)), kept[order], color=KEPT, label="kept")
    axes.set_xticks(range(len(order)), [shortened(classes[c]) for c in order], rotation=60, ha="right")
    axes.set_ylabel("images")
    axes.legend(frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1, 1))
    save(figure, axes, path)


def shortened(name: str) -> str:
    """A class name that fits beside others."""
    plain = " ".join(name.split())
    return plain if len(plain) <= LONGEST_NAME else plain[: LONGEST_NAME - 1] + "…"


def scores(table: pd.DataFrame, path: Path) -> None:
    """Alignment against diversity of what was kept and what was dropped."""
    most = MOST_SHAPES if path.suffix == ".svg" else MOST_POINTS
    shown = table.iloc[:: -(-len(table) // most) or 1]
    with _style(path):
        figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
        for selected, colour, name in ((False, DROPPED, "dropped"), (True, KEPT, "kept")):
            part = shown[shown["selected"] == selected]
            axes.scatter(part["alignment"], part["sds"], s=6, c=colour, alpha=0.5, linewidths=0, label=name)
        axes.set(xlabel="alignment with the label", ylabel="diversity (SDS)")
        axes.legend(frameon=False, markerscale=3)
        save(figure, axes, path)


def gallery(images: list[Image.Image], captions: list[str], path: Path) -> None:
    """A sheet of images, each with a caption."""
    rows, columns = max(1, -(-len(images) // COLUMNS)), COLUMNS
    size = (1.25 * columns, 1.6 * rows)
    figure, grid = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, image, caption in zip(grid.flat, images, captions, strict=False):
        axes.imshow(image, interpolation="nearest")
        axes.set_title(caption, fontsize=8)
    save(figure, None, path)


def save(figure: Figure, axes: Axes | None, path: Path) -> None:
    """Write a figure as PNG or SVG and close it; `axes` lose their upper and right lines."""
    if axes is not None:
        axes.spines[["top", "right"]].set_visible(False)
    if path.suffix == ".svg":
        _save_svg(figure, path)
    else:
        figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def _save_svg(figure: Figure, path: Path) -> None:
    """Write the part of the SVG that goes into a page, with the page's colours for ours."""
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    for ours, pages in THEME.items():
        text = text.replace(ours, pages)
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    path.write_text(text, encoding="utf-8")
