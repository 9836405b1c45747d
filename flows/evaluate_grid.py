"""Run a preset of `winnow bench` from Prefect's pages. Finished cells are not run again."""

import csv
from itertools import islice
from pathlib import Path

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from winnow.bench import presets
from winnow.run import run_log, subcommand
from winnow.run.decorators import flow

MOST = 1000  # rows of a table that a page shows


@flow(name="evaluate-grid", log_prints=True)
def evaluate_grid(
    preset: str = "digits",
    data: str | None = None,
    seeds: int | None = None,
    only: list[str] | None = None,
    download: bool = False,
) -> str:
    """Run the grid of a preset and leave its tables as artifacts; the folder of its results.

    Args:
        preset: its name, or a file.
        data: the folder of the data that some presets work on.
        seeds: training runs of every cell; None: as many as the preset has.
        only: parts of the grid, such as method=winnow,random.
        download: agree to download data and weights.

    Raises:
        InputError: there is no such preset.
        WorkError: a cell is broken, or the request is at fault.
    """
    presets.load(preset)
    out = Path("bench") / Path(preset).stem
    command = ["winnow.cli.main", "bench", preset, *[f"--only={part}" for part in only or []]]
    command += [f"--data={data}"] * bool(data) + [f"--seeds={seeds}"] * bool(seeds) + ["--download"] * download
    with run_log.kept("evaluate-grid") as run:
        try:
            subcommand.run(command, run)
        finally:
            _report(out)
    return str(out)


def _report(out: Path) -> None:
    """Leave what is done by now on the flow's page."""
    if (out / "table.md").is_file():
        page = (out / "table.md").read_text(encoding="utf-8")
        create_markdown_artifact(page, key="evaluate-grid", description=f"{out}/table.md")
        with (out / "results.csv").open(encoding="utf-8") as file:
            rows = list(islice(csv.DictReader(file), MOST))
        create_table_artifact(rows, key="evaluate-grid-cells", description=f"{out}/results.csv")
