"""`winnow up`, `status`, `down` and `ui`. Imports are inside the commands, so that `--help` answers at once."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from winnow.terminal.ending import ended
from winnow.terminal.say import say

Mlflow = Annotated[int, typer.Option("--mlflow", metavar="PORT", help="Port of MLflow's pages.")]


def up(
    prefect: Annotated[int, typer.Option("--prefect", metavar="PORT", help="Port of Prefect's pages.")] = 4200,
    mlflow: Mlflow = 5000,
) -> None:
    """Start Prefect, MLflow, the deployments and a worker for the schedule, and say where the pages are.

    A second call starts what is not running and brings the deployments up to date with prefect.yaml.
    """
    with ended():
        from winnow.local import stack

        stack.up(prefect, mlflow)


def status() -> None:
    """Say what `winnow up` has started and whether it runs. Exit code 1: not all of it does."""
    with ended():
        from winnow.local import stack

        sys.exit(0 if stack.status() else 1)


def down() -> None:
    """End all that `winnow up` has started in this project, a run that is at work included."""
    with ended():
        from winnow.local import stack

        stack.down()


def ui(
    host: Annotated[
        str, typer.Option(help="Address to listen at; one that others reach asks for a password.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen at.")] = 5000,
) -> None:
    """Serve MLflow's pages on the versions of the subset. Exit code 2: others would be served without a password."""
    with ended():
        from winnow import tracking
        from winnow.local import mlflow_ui

        arguments = mlflow_ui.command(host, port)
        page = tracking.versions_page(f"http://{host}:{port}", Path.cwd())
    say(f"MLflow at {page} (Ctrl-C ends it)")
    os.execv(arguments[0], arguments)  # noqa: S606 this very Python
