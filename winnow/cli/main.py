"""The `winnow` command. Imports are inside the commands, so that `--help` answers at once."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from winnow import __version__
from winnow.cli import bench, check, local, places, project, releases
from winnow.cli.options import HELP, AsJson, Quiet, option, tell
from winnow.errors import InputError, named
from winnow.releases.formats import Format
from winnow.run import environment
from winnow.selection import methods
from winnow.selection.methods import Balance, Method, Solver
from winnow.terminal.ending import ended
from winnow.terminal.say import say

if TYPE_CHECKING:
    import pandas as pd

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings=HELP,
)
app.add_typer(releases.app, name="release")
app.add_typer(bench.app, name="bench")
app.command()(project.look)
app.command()(project.init)
app.command()(check.check)
for _command in (local.up, local.status, local.down, local.ui):
    app.command()(_command)


FeatureFolder = Annotated[
    Path,
    typer.Argument(
        metavar="FEATURES",
        help="Folder with image.npy (N, d), labels.npy (N,), classes.json and, if you like, text.npy (C, d), ids.txt.",
    ),
]
MethodOption = Annotated[Method, typer.Option(help="Winnow's own, or the published one.")]
Out = Annotated[Path, typer.Option(help="Table to write: .parquet or .csv.")]
Neighbours = Annotated[
    float, typer.Option(help="Neighbours for diversity: a share of the class below 1, else a number.")
]
Seed = Annotated[int, typer.Option(min=0, max=methods.SEEDS - 1, help="Fixes every random choice.")]


def _version(asked: bool) -> None:
    if asked:
        say(f"winnow {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Keep the part of a labelled image data set that is worth training on."""


@app.command()
def select(
    features: FeatureFolder,
    keep: Annotated[float, typer.Option(help="Share of the samples to keep, above 0 and at most 1.")],
    out: Out,
    method: MethodOption = methods.METHOD,
    solver: Annotated[
        Solver, typer.Option(help="Of the published method: exact, or its gradient loop.")
    ] = methods.SOLVER,
    balance: Annotated[Balance, typer.Option(help="How the budget is split over the classes.")] = methods.BALANCE,
    neighbours: Neighbours = methods.NEIGHBOURS,
    near_duplicates: Annotated[
        float, typer.Option(min=0, max=1, help="Cosine from which two images are nearly the same.")
    ] = methods.NEAR_DUPLICATES,
    drop_near_duplicates: Annotated[
        bool, typer.Option("--drop-near-duplicates", help="Of those, keep the one whose label is likeliest right.")
    ] = methods.DROP_NEAR_DUPLICATES,
    seed: Seed = methods.SEED,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Choose a subset from features that you have.

    Writes a row for each sample, in input order: id, label, class_name, alignment (higher: more likely rightly
    labelled), sas, sds, predicted, selected, and why it was dropped: reason and evidence.
    """
    with ended(quiet=quiet), named(option), _table(out):
        import winnow

        table = winnow.select(
            features,
            keep=keep,
            method=method,
            solver=solver,
            balance=balance,
            neighbours=neighbours,
            near_duplicates=near_duplicates,
            drop_near_duplicates=drop_near_duplicates,
            seed=seed,
        )
        _write(table, out)
        kept, classes = int(table["selected"].sum()), int(table["label"].nunique())
        where = f"in {classes} classes{_textless(features)}: {out}"
        dropped = {str(reason): int(n) for reason, n in table["reason"].value_counts().items() if reason}
        found = {"samples": len(table), "kept": kept, "classes": classes, "dropped": dropped, "table": str(out)}
        tell(f"kept {kept:,} of {len(table):,} samples {where}", found, as_json, quiet)


@app.command()
def score(
    features: FeatureFolder,
    out: Out,
    method: MethodOption = methods.METHOD,
    neighbours: Neighbours = methods.NEIGHBOURS,
    seed: Seed = methods.SEED,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Score samples from features that you have, without choosing.

    Writes a row for each sample, in input order: id, label, class_name, alignment (higher: more likely rightly
    labelled), sas, sds, predicted.
    """
    with ended(quiet=quiet), named(option), _table(out):
        import winnow

        table = winnow.score(features, method=method, neighbours=neighbours, seed=seed)
        _write(table, out)
        classes = int(table["label"].nunique())
        where = f"in {classes} classes{_textless(features)}: {out}"
        found = {"samples": len(table), "classes": classes, "table": str(out)}
        tell(f"scored {len(table):,} samples {where}", found, as_json, quiet)


@app.command()
def export(
    release: Annotated[Path, typer.Argument(metavar="RELEASE", help="A release folder.")],
    form: Annotated[Format, typer.Option("--format", help="The images, or only the list of ids.")],
    out: Annotated[Path, typer.Option(help="Folder to make.")],
    images: releases.Images = None,
    source: releases.Source = None,
    test: Annotated[bool, typer.Option("--test", help="Also the held-out images, as split test.")] = False,
    link: Annotated[
        Path | None,
        typer.Option(help="Image folder that the images came from: imagefolder links to its files, where they agree."),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Write the images that a release kept, or only their list, for use elsewhere.

    The same release gives the same bytes; a broken-off export goes on; `sha256sum -c SHA256SUMS` checks it.
    """
    with ended(quiet=quiet), named(option):
        import winnow

        places.check("--out", out)
        count = winnow.open_release(release).export(out, form, images=images, source=source, test=test, link=link)
        if not quiet:
            say(f"{count:,} samples as {form}: {out} (check: cd {out} && sha256sum --quiet -c SHA256SUMS)")


@app.command()
def show(
    release: Annotated[Path, typer.Argument(help="A release folder.")] = Path("data/release"),
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Say in a few lines what each stage found, what the release kept and dropped, and what that was worth."""
    with ended(quiet=quiet):
        from winnow.cli import show

        facts = show.facts(release)
        if as_json:
            say(json.dumps(facts, indent=2))
        elif not quiet:
            show.describe(release)


@app.command()
def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="An arm or method of the table.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another.")],
    table: Annotated[
        Path, typer.Option(help="Results, a row a training run: arm or method, seed, accuracy, and what was varied.")
    ] = Path("data/evaluate/accuracy.csv"),
    measure: Annotated[str, typer.Option(help="What is compared, such as worst_class.")] = "accuracy",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Say whether models trained on A are better than those trained on B, seed by seed.

    Prints, for every setting that has both, the mean difference with its 95% bootstrap interval, and how many seeds it
    takes to tell the two apart.
    """
    with ended(quiet=quiet):
        from winnow.cli import show
        from winnow.training import compare as comparison

        found = comparison.compare(comparison.read(table), a, b, measure)
        if as_json:
            say(json.dumps(show.as_facts(a, b, measure, found), indent=2))
        elif not quiet:
            show.differences(a, b, found)


@app.command()
def doctor() -> None:
    """Look at what a run needs: versions, devices, disk, parameters, Git, DVC's remote, servers, telemetry.

    Says what to do about each. Exit code 0: nothing is wrong; 1: something is.
    """
    with ended():
        from winnow.doctor import report as examination

        sys.exit(0 if examination.run() else 1)


@contextmanager
def _table(out: Path) -> Iterator[None]:
    """Keep the place of a table for this command."""
    if out.suffix not in (".parquet", ".csv"):
        raise InputError(f"--out {out}: the table is written as .parquet or .csv")
    with places.reserved("--out", out):
        if out.is_dir() or not out.absolute().parent.is_dir():
            raise InputError(f"--out {out}: its folder does not exist, or it is a folder itself")
        yield


def _textless(features: Path) -> str:
    """What a line adds where a folder has no text features, which are optional: it may be that they were forgotten."""
    return "" if (features / "text.npy").exists() else ", known by their means, as there is no text.npy"


def _write(table: "pd.DataFrame", out: Path) -> None:
    from winnow.files.outputs import whole_file

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
