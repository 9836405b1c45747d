"""The `winnow release` commands. Imports are inside the commands, so that `--help` answers at once."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from winnow.cli import places
from winnow.cli.options import HELP, AsJson, Quiet
from winnow.errors import InputError
from winnow.terminal.ending import ended
from winnow.terminal.say import say

app = typer.Typer(no_args_is_help=True, context_settings=HELP, help="Verify, compare and publish releases.")


Bump = Literal["major", "minor", "patch"]
ReleaseFolder = Annotated[Path, typer.Argument(metavar="RELEASE", help="A release folder.")]
Images = Annotated[
    Path | None,
    typer.Option(help="Where its images lie, as `prepare` leaves them. Without it: prepare/images beside the release."),
]


Source = Annotated[
    str | None, typer.Option(help="Where the source of the images lies, if not where prepare.source said at the time.")
]


@app.command()
def verify(
    release: ReleaseFolder = Path("data/release"),
    images: Images = None,
    source: Source = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Make the release again in a fresh clone, and compare the bytes.")
    ] = False,
    repository: Annotated[
        str | None, typer.Option(help="With --rebuild: path or URL of its Git repository, if it lies in another.")
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Recompute every hash of a release, and those of its images where they are at hand.

    Names each file, shard and sample at fault. Exit code 0: whole, and with --rebuild the same bytes again; 1: not;
    2: that cannot be told.
    """
    with ended(quiet=quiet):
        from winnow.cli import release_verify
        from winnow.releases import manifest

        whole = release_verify.run(manifest.load(release), images, source, rebuild, repository, as_json, quiet)
        sys.exit(0 if whole else 1)


@app.command()
def diff(
    before: Annotated[str, typer.Argument(help="A release folder, a version such as v1.2.0, or a Git revision.")],
    after: Annotated[str, typer.Argument(help="Another.")] = "data/release",
    as_json: Annotated[bool, typer.Option("--json", help="Print everything, with every id, as JSON.")] = False,
    page: Annotated[Path | None, typer.Option(help="Also write a self-contained HTML page.")] = None,
    quiet: Quiet = False,
) -> None:
    """Say what changed from one release to another, and why samples came and went."""
    with ended(quiet=quiet):
        import json

        from winnow.cli import release_diff
        from winnow.releases import diff as difference
        from winnow.releases import versions

        if page:
            places.check("--page", page)
        with versions.opened(before) as old, versions.opened(after) as new:
            found = difference.compare(old, new)
            for read in (old, new):
                read.check_unchanged()
        if page:
            with places.reserved("--page", page):
                release_diff.write(found, before, after, page)
        if as_json:
            say(json.dumps(found, indent=2))
        elif not quiet:
            release_diff.show(found, before, after)


@app.command()
def publish(
    name: Annotated[str, typer.Argument(help="The artifact in dvc.yaml, such as subset.")],
    version: Annotated[str | None, typer.Option(help="Publish as this version, such as 1.2.0.")] = None,
    bump: Annotated[Bump | None, typer.Option(help="Publish as the version after the last, by this part.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything and say what would be done.")] = False,
) -> None:
    """Make the release a version that others can get.

    Checks that the tree is clean and the results are up to date, commits dvc.lock and the release's small files, pushes
    the data with DVC, registers the version as a Git tag in GTO's form, and tags the run in MLflow. Interrupted, the
    same command goes on; a version is never overwritten, and one that the Git remote has from another clone is refused.
    Git is not pushed: that is yours to do.
    """
    with ended():
        if (version is None) == (bump is None):
            raise InputError("say either --version 1.2.0 or --bump major, minor or patch")
        from winnow.releases import publish as publication
        from winnow.releases import versions
        from winnow.run import subcommand

        with subcommand.alone():
            what = publication.plan(name, version, bump)
            say(f"{what.tag}{': would' if dry_run else ''}")
            for words, do in publication.steps(what):
                say(f"- {words}")
                if not dry_run:
                    do()
        if not dry_run:
            artifact, path = versions.in_full(name), f"{versions.below()}{what.path}"
            say(
                f"published in this clone. Now share it: git push --atomic {what.shared or 'REMOTE'} HEAD {what.tag}\n"
                "    (where Git refuses that, another clone was first: the same command says what to do then)\n"
                f"others get it with         dvc artifacts get REPOSITORY {artifact} --rev {what.version}\n"
                f"or follow it with          dvc import REPOSITORY {path} --rev {what.tag}"
            )


@app.command()
def record(release: ReleaseFolder = Path("data/release")) -> None:
    """Record a release in MLflow, if it is not there yet: one made while the server was down, or on another machine."""
    with ended():
        from winnow.releases import recording

        say(f"recorded as run {recording.again(release)}")
