"""`winnow check`. Imports are inside the command, so that `--help` answers at once."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from winnow.cli.options import AsJson, Quiet, tell
from winnow.errors import InputError
from winnow.terminal.ending import ended

if TYPE_CHECKING:
    from winnow.checking.session import Session


def check(
    project: Annotated[
        Path, typer.Argument(metavar="PROJECT", help="Folder of a project whose stages have run.")
    ] = Path(),
    size: Annotated[
        int, typer.Option(min=20, max=100_000, help="Images to ask about; 100 to 300 will do for most.")
    ] = 200,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Draws the sample; another one draws others.")] = 0,
    by: Annotated[str | None, typer.Option(help="Who answers.  [default: the user of this machine]")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen at; 0: any that is free.")] = 0,
    report: Annotated[bool, typer.Option("--report", help="Say what the answers show, and serve nothing.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Answer for a few images whether their labels are right, and get a bound on the wrong labels among the kept.

    Serves a page to this machine's browser: keys R, W and U say right, wrong and unsure. Each answer is added to
    corrections.csv at once, and counts from the next `dvc repro` on. With --report, exit code 0: there is a bound, and
    it is within optimize.max_wrong where that is set; 1: there is none, or it is not.
    """
    with ended(quiet=quiet):
        from winnow.checking import session as sessions
        from winnow.run import settings

        if as_json and not report:
            raise InputError("--json: goes with --report")
        if not project.is_dir():
            raise InputError(f"{project} is no folder; name the folder of a project")
        os.chdir(project)
        opened = sessions.start(settings.load(), size, seed)
        if not report:
            from winnow.checking import page

            page.serve(opened, port, by or _user())
        good = _tell(opened, as_json, quiet)
    if report:
        sys.exit(0 if good else 1)


def _tell(session: "Session", as_json: bool, quiet: bool) -> bool:
    """Say what the answers show; whether there is a bound, within `max_wrong` where that is set."""
    state = session.state()
    found, counts, said = state["found"], state["counts"], len(state["said"])
    answered = f"{said - state['left']} of {said} answered: " + ", ".join(f"{n} {kind}" for kind, n in counts.items())
    lines = [answered, *(state["lines"] or ["a bound is stated once every image of the sample is answered"])]
    good = found is not None and (session.max_wrong is None or found["at_most"] <= session.max_wrong)
    if found and not good:
        lines.append(f"that is more than optimize.max_wrong, {session.max_wrong:.2%}; answer more with a larger --size")
    told = {"answered": said - state["left"], "left": state["left"], **counts, "found": found, "holds": good}
    tell("\n".join(lines), told | {"max_wrong": session.max_wrong}, as_json, quiet)
    return good


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container without names
        return ""
