"""Run `winnow bench labels`: plant each kind of noise in each feature folder, and measure what each method finds."""

from dataclasses import dataclass
from pathlib import Path

from rich.progress import track

from winnow.bench.labels import cells, measures, methods, rows, table
from winnow.bench.labels.measures import Measures
from winnow.terminal import bars
from winnow.terminal.say import say


@dataclass(frozen=True)
class LabelsRequest:
    """What to compare.

    Attributes:
        folders: of features with true labels.
        noise: a folder of files of labels as given, if any.
        only: the kinds of noise that are wanted; none: all.
        rivals: what to compare with.
        seeds: draws of each kind of noise that is drawn.
        most: images of each folder at most.
    """

    folders: tuple[Path, ...]
    noise: Path | None = None
    only: tuple[str, ...] = ()
    rivals: tuple[str, ...] = methods.RIVALS
    seeds: int = 3
    most: int | None = None


def run(request: LabelsRequest, *, quiet: bool = False) -> dict[str, dict[str, Measures]]:
    """Measure what is asked for, and say a line a row as it is found.

    Returns:
        Means of the measures over the seeds, by row and by score.

    Raises:
        InputError: a folder or file cannot be read or does not fit, or there is no such kind of noise or rival.
    """
    names, found = methods.chosen(request.rivals), dict[str, dict[str, Measures]]()
    wanted = rows.of(request.folders, request.noise, request.only)
    for row in track(wanted, description="rows", disable=bars.hidden(), transient=True):
        seeds = range(request.seeds if row.noise.drawn else 1)
        with bars.silenced(quiet=True):  # of what is within
            draws = [cells.measured(row, seed, names, request.most) for seed in seeds]
        found[row.name] = {score: measures.mean([draw[score] for draw in draws]) for score in draws[0]}
        if not quiet:
            say(table.line(row.name, found[row.name]), error=True)
    return found
