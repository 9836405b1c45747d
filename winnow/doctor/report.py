"""Print what `winnow doctor` found: each thing a run needs, its state, and how to fix it."""

from collections.abc import Callable, Iterator

from rich.table import Table

from winnow.doctor import machine, project, servers
from winnow.doctor.finding import Finding
from winnow.terminal.console import Console, plain

CHECKS: tuple[Callable[[], Finding], ...] = (
    machine.python,
    machine.packages,
    machine.devices,
    machine.disk,
    project.parameters,
    project.pipeline,
    project.git,
    project.remote,
    servers.prefect,
    servers.mlflow,
    servers.dask,
    project.telemetry,
)
MARKS = {"ok": "[green]✓[/green]", "warning": "[yellow]![/yellow]", "wrong": "[red]✗[/red]"}


def run() -> bool:
    """Print what every check finds; whether nothing is wrong. A warning is not: it may be meant."""
    console = Console(soft_wrap=False)
    with console.status("looking ..."):
        findings = list(look())
    table = Table("", "what", "found", "what to do", box=None, pad_edge=False)
    for finding in findings:
        table.add_row(MARKS[finding.state], *map(plain, (finding.what, finding.found, finding.cure)))
    console.print(table)
    counts = {state: sum(finding.state == state for finding in findings) for state in MARKS}
    console.print(f"\n{counts['ok']} in order, {counts['warning']} to know of, {counts['wrong']} wrong")
    return not counts["wrong"]


def look() -> Iterator[Finding]:
    """Every finding; a check that fails itself is one."""
    for check in CHECKS:
        try:
            yield check()
        except Exception as error:
            yield Finding(
                check.__name__,
                "wrong",
                f"it could not be looked at: {type(error).__name__}: {error}",
                "install the packages again: make .venv/.installed",
            )
