"""Run the grid of a preset (`winnow bench NAME`). Finished cells are not run again; failed ones are.

The folder of a run has cells/ (a JSON file per cell), logs/ (a file per failed cell), results.csv (a row per cell),
table.md, table.json, accuracy.png and wrong_left.png.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from prefect import flow

from winnow import extras, tracking
from winnow.bench import cells, grid, pictures, prepared, presets, record, tables
from winnow.bench.cells import Cell
from winnow.bench.presets import Preset
from winnow.compute import device
from winnow.errors import InputError, redacted
from winnow.files import scratch
from winnow.run import progress, settings, stage
from winnow.run.decorators import gpu_task
from winnow.run.settings import Runtime
from winnow.terminal.say import say
from winnow.training import cell_runner

BENCH = scratch.SCRATCH / "bench"


@dataclass(frozen=True)
class BenchRequest:
    """Which part of which grid, on which data, and where results go.

    Attributes:
        name: of the preset.
        data: the folder that a preset may ask for.
        seeds: how many; None: as many as the preset has.
        only: by a column of the results, the values that are wanted, as they are shown.
    """

    name: str
    preset: Preset
    data: Path | None
    out: Path
    seeds: int | None
    only: dict[str, list[str]]


def describe(name: str) -> str:
    """Two lines about a preset: how much it is and what it needs, and what it is about."""
    preset = presets.load(name)
    needs = [*preset.needs, *(["--data"] if preset.takes_data else [])]
    needed = f"needs {', '.join(needs)}" if needs else "needs nothing"
    return f"{name:<16} {len(grid.cells(preset)):>6,} cells, {needed}\n    {preset.about}"


def check(request: BenchRequest, download: bool) -> None:
    """Refuse at once what this machine or this command line lacks.

    Raises:
        InputError: a GPU, a folder of data or the consent to download is missing, or `only` names what there is not.
    """
    preset, name = request.preset, request.name
    if "gpu" in preset.needs and device.best() == "cpu":
        raise InputError(
            f"bench {name} needs a GPU, and this machine has none; the preset digits and the small ones need none"
        )
    if preset.takes_data and request.data is None:
        raise InputError(f"bench {name} works on a folder that you have: --data FOLDER ({preset.about})")
    if request.data is not None and not request.data.is_dir():
        raise InputError(f"--data {request.data} is not a folder")
    if "download" in preset.needs and not download:
        raise InputError(f"bench {name} has to download data or weights; allow it with --download ({preset.about})")
    if "cleanlab" in request.only.get("method", preset.methods):
        extras.check("cleanlab", "bench")
    for key, wanted in request.only.items():
        known = list(dict.fromkeys(grid.shown(cell, key) for cell in grid.cells(preset, request.seeds)))
        if unknown := [value for value in wanted if value not in known]:
            raise InputError(f"--only {key}: there is no {unknown[0]!r}; there are {', '.join(known)}")


@flow(name="bench", validate_parameters=False)
@redacted
def run(request: BenchRequest) -> list[Path]:
    """Run the cells that have no result, then write the tables of all; the logs of those that broke."""
    every, out = grid.cells(request.preset, request.seeds), request.out
    wanted = [cell for cell in every if all(grid.shown(cell, key) in some for key, some in request.only.items())]
    place = grid.origin(request.preset, request.data)
    prepared_folder = BENCH / prepared.key(place)
    make = gpu_task(prepared.make)
    make.submit(place, prepared_folder / "clean").result()
    shared = grid.work(request.preset, prepared_folder)
    result = {cell: out / "cells" / f"{shared.name(cell)}.json" for cell in every}
    log = {cell: out / "logs" / f"{shared.name(cell)}.log" for cell in every}
    todo = [cell for cell in wanted if not cell_runner.result(result[cell])]
    say(f"bench {request.name}: {len(wanted):,} cells, {len(wanted) - len(todo):,} of them done", error=True)
    damaged = {shared.folder(cell): (cell.damage, cell.seed) for cell in todo if cell.damage}
    making = [make.submit(place, folder, *damage) for folder, damage in damaged.items()]
    progress.watch(
        "damaged images", making, len(making), lambda: sum((folder / "pixels.npy").exists() for folder in damaged)
    )
    for cell in todo:
        log[cell].unlink(missing_ok=True)
        result[cell].unlink(missing_ok=True)
    train = gpu_task(cells.run)
    running = [train.submit(shared, cell, result[cell], log[cell]) for cell in todo]
    ends = progress.settle("cells", running, len(todo), lambda: sum(result[cell].exists() for cell in todo))
    for cell, error in zip(todo, ends, strict=True):
        if error and not log[cell].exists():  # its worker had no time to say why
            cell_runner.write_log(log[cell], str(cell), f"{type(error).__name__}: {error}\n")
    return report(request, every, result, log)


def report(request: BenchRequest, every: list[Cell], result: dict[Cell, Path], log: dict[Cell, Path]) -> list[Path]:
    """Write tables and pictures of what there is by now; the logs of the cells that are broken."""
    rows = {cell: row for cell in every if (row := cell_runner.result(result[cell]))}
    broken = [cell for cell in every if cell not in rows and log[cell].exists()]
    found, logs = tables.gather(every, rows, broken), [log[cell] for cell in broken]
    about = f"# bench {request.name}\n\n{request.preset.about}"
    tables.write(request.out, about, found, logs)
    pictures.write(request.out, found)
    if rows and (Path("params.yaml").exists() or "MLFLOW_TRACKING_URI" in os.environ):
        record_grid(request, found)
    return logs


def record_grid(request: BenchRequest, found: tables.Grid) -> None:
    """Record what there is in MLflow, whatever its server does: the tables are there all the same."""
    project = Path.cwd()
    try:
        tracking.reach(project)
        run_id = record.log(request.name, found, request.out, project)
        say(f"recorded in MLflow as run {run_id} of “{record.EXPERIMENT}”", error=True)
    except Exception as error:
        say(
            f"winnow: MLflow at {tracking.uri(project)}: {error}. The tables are written; the same command records "
            "them later",
            error=True,
        )


def main(request: BenchRequest) -> int:
    """Run what is asked for; 1 if a cell is broken, else 0."""
    chosen = settings.load().runtime if Path("params.yaml").exists() else Runtime()
    with stage.running(run, chosen) as ready:
        logs = ready(request)
    say((request.out / "table.md").read_text(encoding="utf-8"))
    for log in logs:
        say(f"winnow: broken: {log}", error=True)
    return 1 if logs else 0
