"""The `winnow` command. Imports are inside the commands, so that `--help` answers at once."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from winnow.cli import places, releases
from winnow.errors import InputError
from winnow.run import environment
from winnow.terminal.ending import ended
from winnow.terminal.say import say

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Keep the part of a labelled image data set that is worth training on.",
)
app.add_typer(releases.app, name="release")


class Method(StrEnum):
    """Values of --method."""

    winnow = "winnow"
    paper = "paper"


class Solver(StrEnum):
    """Values of --solver."""

    exact = "exact"
    gradient = "gradient"


class Balance(StrEnum):
    """Values of --balance."""

    none = "none"
    proportional = "proportional"
    uniform = "uniform"


FeatureFolder = Annotated[
    Path,
    typer.Argument(
        metavar="FEATURES",
        help="Folder with image.npy (N, d), text.npy (C, d), labels.npy (N,), classes.json and, if you like, ids.txt.",
    ),
]
MethodOption = Annotated[Method, typer.Option(help="Winnow's own, or the published one.")]
Out = Annotated[Path, typer.Option(help="Table to write: .parquet or .csv.")]
Neighbours = Annotated[
    float, typer.Option(help="Neighbours for diversity: a share of the class below 1, else a number.")
]
Seed = Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Fixes every random choice.")]


@app.command()
def select(
    features: FeatureFolder,
    keep: Annotated[float, typer.Option(help="Share of the samples to keep, above 0 and at most 1.")],
    out: Out,
    method: MethodOption = Method.winnow,
    solver: Annotated[
        Solver, typer.Option(help="Of the published method: exact, or its gradient loop.")
    ] = Solver.exact,
    balance: Annotated[Balance, typer.Option(help="How the budget is split over the classes.")] = Balance.proportional,
    neighbours: Neighbours = 0.1,
    near_duplicates: Annotated[
        float, typer.Option(min=0, max=1, help="Cosine from which two images are nearly the same.")
    ] = 0.97,
    drop_near_duplicates: Annotated[
        bool, typer.Option("--drop-near-duplicates", help="Of those, keep the one whose label is likeliest right.")
    ] = False,
    seed: Seed = 0,
) -> None:
    """Choose a subset from features that you have.

    Writes a row a sample in input order: id, label, class_name, alignment (higher: more likely rightly labelled), sas,
    sds, predicted, selected, and why it was dropped: reason and evidence.
    """
    with ended(), _table(out):
        _check_neighbours(neighbours)
        from winnow import budget
        from winnow import features as folder
        from winnow.compute import device
        from winnow.selection import select as chain
        from winnow.selection.adapt import Recipe

        data = folder.load(features)
        budget.total(keep, len(data.ids))
        table = chain.select(
            data,
            Recipe(),
            keep=keep,
            method=method.value,
            solver=solver.value,
            balance=balance.value,
            neighbours=neighbours,
            near_duplicates=near_duplicates,
            drop_near_duplicates=drop_near_duplicates,
            seed=seed,
            device=device.best(),
        )
        _write(table[[*chain.COLUMNS, *chain.CHOSEN]], out)
        say(f"kept {int(table['selected'].sum()):,} of {len(table):,} samples in {len(data.classes)} classes: {out}")


@app.command()
def score(
    features: FeatureFolder,
    out: Out,
    method: MethodOption = Method.winnow,
    neighbours: Neighbours = 0.1,
    seed: Seed = 0,
) -> None:
    """Score samples from features that you have, without choosing.

    Writes a row a sample in input order: id, label, class_name, alignment (higher: more likely rightly labelled), sas,
    sds, predicted.
    """
    with ended(), _table(out):
        _check_neighbours(neighbours)
        from winnow import features as folder
        from winnow.compute import device
        from winnow.selection import select as chain
        from winnow.selection.adapt import Recipe

        data = folder.load(features)
        table = chain.score(data, Recipe(), method=method.value, neighbours=neighbours, seed=seed, device=device.best())
        _write(table[chain.COLUMNS], out)
        say(f"scored {len(table):,} samples in {len(data.classes)} classes: {out}")


@app.command()
def export(
    release: Annotated[Path, typer.Argument(metavar="RELEASE", help="A release folder.")],
    form: Annotated[
        str,
        typer.Option(
            "--format", metavar="[ids|imagefolder|webdataset|parquet]", help="The images, or only the list of ids."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder to make.")],
    images: releases.Images = None,
    source: releases.Source = None,
    test: Annotated[bool, typer.Option("--test", help="Also the held-out images, as split test.")] = False,
    link: Annotated[
        Path | None,
        typer.Option(help="Image folder that the images came from: imagefolder links to its files, where they agree."),
    ] = None,
) -> None:
    """Write the images that a release kept, or only their list, for use elsewhere.

    The same release gives the same bytes; a broken-off export goes on; `sha256sum -c SHA256SUMS` checks it.
    """
    with ended():
        from winnow.releases import export as exporting
        from winnow.releases import manifest

        request = exporting.ExportRequest(form, test, link)
        if link and form != "imagefolder":
            raise InputError("--link is for --format imagefolder; the other formats hold images in files of their own")
        places.check("--out", out)
        count = exporting.run(manifest.load(release), out, request, images, source)
        say(f"{count:,} samples as {form}: {out} (check: cd {out} && sha256sum --quiet -c SHA256SUMS)")


@app.command()
def show(
    release: Annotated[Path, typer.Argument(help="A release folder.")] = Path("data/release"),
) -> None:
    """Say in a few lines what a release kept and dropped, and what that was worth."""
    with ended():
        from winnow.cli.show import describe

        describe(release)


@app.command()
def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="An arm or method of the table.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another.")],
    table: Annotated[
        Path, typer.Option(help="Results, a row a training run: arm or method, seed, accuracy, and what was varied.")
    ] = Path("data/evaluate/accuracy.csv"),
    measure: Annotated[str, typer.Option(help="What is compared, such as worst_class.")] = "accuracy",
) -> None:
    """Say whether models trained on A are better than those trained on B, seed by seed.

    Prints, for every setting that has both, the mean difference with its 95% bootstrap interval, and how many seeds it
    takes to tell the two apart.
    """
    with ended():
        from winnow.cli.show import differences
        from winnow.training.compare import compare as found
        from winnow.training.compare import read

        differences(a, b, found(read(table), a, b, measure))


@app.command()
def bench(
    name: Annotated[str, typer.Argument(help="A preset, or a file of your own (.yaml).")] = "",
    data: Annotated[Path | None, typer.Option(help="Folder of the data that some presets work on.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the results.  [default: bench/NAME]")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Training runs of every cell, else the preset's.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="A part, such as method=winnow,random; repeatable.")] = None,
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
def doctor() -> None:
    """Look at what a run needs: versions, devices, disk, parameters, Git, DVC's remote, servers, telemetry.

    Says what to do about each. Exit code 0: nothing is wrong; 1: something is.
    """
    with ended():
        from winnow.doctor import report as examination

        sys.exit(0 if examination.run() else 1)


def _parts(only: list[str]) -> dict[str, list[str]]:
    for part in only:
        if "=" not in part:
            raise InputError(f"--only {part}: say which column and which values, such as method=winnow,random")
    return {key: values.split(",") for key, _, values in (part.partition("=") for part in only)}


@contextmanager
def _table(out: Path) -> Iterator[None]:
    """Keep the place of a table for this command."""
    if out.suffix not in (".parquet", ".csv"):
        raise InputError(f"--out {out}: the table is written as .parquet or .csv")
    with places.reserved("--out", out):
        if out.is_dir() or not out.absolute().parent.is_dir():
            raise InputError(f"--out {out}: its folder does not exist, or it is a folder itself")
        yield


def _check_neighbours(neighbours: float) -> None:
    if not 0 < neighbours < float("inf"):
        raise InputError(f"--neighbours {neighbours}: a share of the class, or a number of neighbours, above 0")


def _write(table: "object", out: Path) -> None:
    import pandas as pd

    from winnow.files.outputs import whole_file

    assert isinstance(table, pd.DataFrame)
    with whole_file(out) as partial:
        if out.suffix == ".csv":
            table.to_csv(partial, index=False)
        else:
            table.to_parquet(partial, index=False)


def main() -> None:
    """Run the command."""
    environment.prepare()
    app()


if __name__ == "__main__":
    main()
