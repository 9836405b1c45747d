"""A bar for work that runs in tasks, here or elsewhere: what is done is read from what the tasks leave."""

import sys
from collections.abc import Callable, Sequence
from typing import Any

from prefect.futures import PrefectFuture
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

PAUSE = 0.5  # seconds between two looks


class Rate(ProgressColumn):
    """Units a second."""

    def render(self, task: Task) -> Text:
        """The rate of late, or nothing at the start."""
        return Text(f"{task.speed:,.0f}/s" if task.speed else "", style="progress.data.speed")


def watch(name: str, running: Sequence[PrefectFuture[Any]], total: int, done: Callable[[], int]) -> None:
    """Show a bar until every task has ended, and raise what the first that failed raised.

    Args:
        name: what is at work.
        running: the tasks.
        total: units that were left when they began.
        done: units that are finished by now, in all.
    """
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn()
    before = done()
    with Progress(*columns, disable=not sys.stderr.isatty(), transient=True) as bars:
        bar = bars.add_task(name, total=total)
        for future in running:
            while not future.state.is_final():
                future.wait(PAUSE)
                bars.update(bar, completed=done() - before)
            future.result()
