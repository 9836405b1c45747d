"""The `winnow release` commands. Imports are inside the commands, so that `--help` answers at once."""

from pathlib import Path
from typing import Annotated

import typer

from flows.terminal import clear_errors

app = typer.Typer(no_args_is_help=True, help="Verify, compare and publish releases.")

ReleaseFolder = Annotated[Path, typer.Argument(metavar="RELEASE", help="A release folder.")]
Images = Annotated[
    Path | None,
    typer.Option(help="Where its images lie, as `prepare` leaves them. Without it: prepare/images beside the release."),
]


@app.command()
def verify(release: ReleaseFolder = Path("data/release"), images: Images = None) -> None:
    """Recompute every hash of a release, and those of its images where they are at hand.

    Names each file, shard and sample at fault. Exit code 0: whole; 1: not whole; 2: no release that can be read.
    """
    with clear_errors():
        from rich.console import Console
        from rich.markup import escape

        from tasks import manifest
        from tasks import verify as verification

        opened = manifest.load(release)
        folder = images or (opened.images if opened.images.is_dir() else None)
        faults = verification.run(opened, folder)
        console = Console(highlight=False, soft_wrap=True)
        for fault in faults:
            console.print(f"[red]✗[/red] {escape(fault.where)}: {escape(fault.what)}")
        checked = f"{len(opened.manifest['files'])} files" + (f" and the images in {folder}" if folder else "")
        if faults:
            console.print(f"{release} is not what was released ({checked})")
            raise typer.Exit(1)
        console.print(f"[green]✓[/green] {escape(str(release))} is whole: {escape(checked)}")
        if not folder:
            console.print("  no images at hand; name their folder with --images")
        console.print(f"  manifest SHA-256 {opened.fingerprint}")
