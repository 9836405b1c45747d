"""The `winnow bench` commands. Imports are inside the commands, so that `--help` answers at once."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from winnow.cli import places
from winnow.cli.options import HELP, AsJson, Quiet
from winnow.errors import InputError
from winnow.terminal.ending import ended
from winnow.terminal.say import say


class Presets(TyperGroup):
    """Commands of which one need not be named: `winnow bench digits` is `winnow bench preset digits`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Name it where no other is named."""
        named = args and (args[0] in self.commands or args[0] in HELP["help_option_names"])
        return super().parse_args(ctx, args if named else ["preset", *args])


app = typer.Typer(
    cls=Presets,
    context_settings=HELP,
    help="Compare methods. `winnow bench NAME` is short for `winnow bench preset NAME`.",
)
Only = Annotated[list[str] | None, typer.Option(help="A part, such as method=winnow,random; repeatable.")]


@app.command()
def preset(
    name: Annotated[str, typer.Argument(help="A preset, or a file of your own (.yaml).")] = "",
    data: Annotated[Path | None, typer.Option(help="Folder of the data that some presets work on.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the results.  [default: bench/NAME]")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Training runs of every cell, else the preset's.")] = None,
    only: Only = None,
    download: Annotated[bool, typer.Option("--download", help="Agree to download data and weights.")] = False,
    show_list: Annotated[bool, typer.Option("--list", help="Say which presets there are.")] = False,
) -> None:
    """Train networks on what each method keeps, and write the table: a grid of faults, ratios, methods and seeds.

    Cells that are done are not run again. Ends with 1 if a cell is broken; the next run tries it again.
    """
    with ended():
        from winnow.bench import presets

        chosen = presets.load(name) if name and not show_list else None
        from winnow.bench import run as benching

        if chosen is None:
            say("\n".join(map(benching.describe, presets.names())))
            return
        stem = Path(name).stem
        request = benching.BenchRequest(stem, chosen, data, out or Path("bench") / stem, seeds, _parts(only or []))
        benching.check(request, download)
        with places.reserved("--out", request.out):
            sys.exit(benching.main(request))


@app.command()
def labels(
    folders: Annotated[
        list[Path], typer.Argument(metavar="FEATURES...", help="Folders of features whose labels are right.")
    ],
    noise: Annotated[
        Path | None,
        typer.Option(help="Folder of label files (.npy), each for the feature folders that have as many rows."),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help='Kinds of noise, such as "near 20%,clean", and label files by name; repeatable.'),
    ] = None,
    rivals: Annotated[
        str | None, typer.Option(help="What to compare with.  [default: all but paper, which trains]")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Draws of each kind of noise.")] = 3,
    most: Annotated[int | None, typer.Option(min=10, help="Images of each folder at most, a stratified draw.")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Plant wrong labels of many kinds, and compare how well methods find them: by score, by verdict, and at what cost.

    Prints a table and, as the last line, all of it as one JSON object with a summary. What was measured stays in
    .winnow/bench/labels, and is not measured again until something that it depends on has changed.
    """
    with ended(quiet=quiet):
        from winnow.bench.labels import methods, run, table

        chosen = tuple(rivals.split(",")) if rivals is not None else methods.RIVALS
        request = run.LabelsRequest(tuple(folders), noise, _listed(only or []), chosen, seeds, most)
        rows = run.run(request, quiet=quiet)
        found = {"rows": rows, "summary": table.summary(rows)}
        if as_json:
            say(json.dumps(found, indent=2))
        elif not quiet:
            table.show(rows)
            say(json.dumps(found))


def _listed(only: list[str]) -> tuple[str, ...]:
    return tuple(kind.strip() for part in only for kind in part.split(","))


def _parts(only: list[str]) -> dict[str, list[str]]:
    for part in only:
        if "=" not in part:
            raise InputError(f"--only {part}: say which column and which values, such as method=winnow,random")
    return {key: values.split(",") for key, _, values in (part.partition("=") for part in only)}
