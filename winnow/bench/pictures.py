"""Plot a grid: a measure against the ratio, one line per method, with a band of one standard deviation."""

from pathlib import Path
from typing import Any

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from winnow.bench.baselines import EVERYTHING
from winnow.bench.tables import Grid, curve
from winnow.reports import figures

MOST_COLUMNS = 3
OURS = "winnow"


def write(out: Path, grid: Grid) -> list[Path]:
    """Write accuracy.png, and wrong_left.png where wrong labels were planted; what was written."""
    written = []
    for measure, title in (("accuracy", "test accuracy in %"), ("wrong_left", "wrong labels left in %")):
        settings = [setting for setting in panels(grid) if measure == "accuracy" or setting[0] != "clean"]
        if settings:
            written.append(out / f"{measure}.png")
            draw(grid, settings, measure, title, written[-1])
    return written


def panels(grid: Grid) -> list[tuple[Any, ...]]:
    """The settings that have a picture of their own: all of a row but its ratio."""
    return list(dict.fromkeys(setting[:-1] for setting in grid if setting[-1] < 1))


def draw(grid: Grid, settings: list[tuple[Any, ...]], measure: str, title: str, path: Path) -> None:
    """Draw a panel for each setting."""
    columns = min(MOST_COLUMNS, len(settings))
    rows = -(-len(settings) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(4 * columns, 3 * rows), layout="constrained", squeeze=False)
    methods = list(dict.fromkeys(method for entries in grid.values() for method in entries))
    for panel, setting in zip(axes.flat, settings, strict=False):
        _panel(panel, grid, setting, methods, measure)
    for panel in axes.flat[len(settings) :]:
        panel.axis("off")
    figure.supxlabel("kept of the pool in %")
    figure.supylabel(title)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=min(6, max(1, len(labels))), frameon=False)
    figures.save(figure, None, path)


def _panel(axes: Axes, grid: Grid, setting: tuple[Any, ...], methods: list[str], measure: str) -> None:
    noise, damage, model, length = setting
    fault = f"{noise} labels" if not damage else f"damage {damage:g}"
    axes.set_title(f"{fault}, {model}, {length}", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    for number, method in enumerate(methods):
        points = 100 * curve(grid, setting, method, measure)
        if not len(points):
            axes.plot([], [], color=_colour(number, method), label=method)
        elif method == EVERYTHING:
            axes.axhline(points[0, 1], color=figures.OTHER, linestyle="--", label=method)
        else:
            keep, mean, std = points.T
            ours = method == OURS
            axes.plot(
                keep,
                mean,
                "o-",
                markersize=3,
                color=_colour(number, method),
                linewidth=2 if ours else 1,
                zorder=3 if ours else 2,
                label=method,
            )
            axes.fill_between(keep, mean - std, mean + std, color=_colour(number, method), alpha=0.15, linewidth=0)


def _colour(number: int, method: str) -> Any:
    pairs, shade = 10, (number // 10) % 2  # tab20 has pairs of a strong and a faint colour; strong ones come first
    return figures.KEPT if method == OURS else plt.get_cmap("tab20")(2 * (number % pairs) + shade)
