"""Wait for cells that run in parallel, report the result of each, and name those that failed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prefect import get_run_logger
from prefect.futures import PrefectFuture

from winnow.errors import WorkError
from winnow.files import json_files
from winnow.run import progress, run_log
from winnow.training import cell_runner


def settle(cells: Mapping[str, Path], running: Sequence[PrefectFuture[Any]], *, total: int) -> None:
    """Wait until every cell has ended.

    Args:
        cells: the result file of each, by its name.
        running: their tasks, in the same order.
        total: cells in all, with those that were done before.

    Raises:
        WorkError: cells broke; those that did not are kept.
    """
    ends = progress.settle("cells", running, len(cells), lambda: sum(out.exists() for out in cells.values()))
    for out in filter(Path.exists, cells.values()):
        _tell(json_files.read_json(out))
    broken = []
    for (name, out), error in zip(cells.items(), ends, strict=True):
        if error:
            log, why = out.with_suffix(".log"), f"{type(error).__name__}: {error}"
            if not log.exists():  # its worker had no time to say why
                cell_runner.write_log(log, name, f"{why}\n")
            broken.append(f"\n  {name}: {why} ({log})")
    if broken:
        raise WorkError(
            f"{len(broken)} of {total} cells broke; the others are kept, and the same command tries "
            f"these again:{''.join(broken)}"
        )


def _tell(row: dict[str, Any]) -> None:
    """Say what came out of a cell, and how long it took."""
    told = {name: row[name] for name in ("arm", "seed", "accuracy", "samples_seen", "seconds")}
    run_log.write("trained", cell=told)
    words = "{arm}, seed {seed}: {accuracy:.2%}, {samples_seen:,} images seen, {seconds:.1f} s"
    get_run_logger().info(words.format(**told))
