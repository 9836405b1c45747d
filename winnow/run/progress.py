"""Show a progress bar for work in tasks on any machine: progress is read from the files that finished tasks leave."""

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from prefect.futures import PrefectFuture
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

PAUSE = 0.5  # seconds between two looks


class Rate(ProgressColumn):
    """Units a second."""

    def render(self, task: Task) -> Text:
        """The rate of late, or nothing at the start."""
        rate = f"{task.speed:,.0f}/s" if (task.speed or 0) > 1 else f"{60 * task.speed:.1f}/min" if task.speed else ""
        return Text(rate, style="progress.data.speed")


def watch(name: str, running: Sequence[PrefectFuture[Any]], total: int, done: Callable[[], int]) -> None:
    """Show a bar until every task has ended, and raise what the first that failed raised.

    Args:
        name: what is at work.
        running: the tasks.
        total: units that were left when they began.
        done: units that are finished by now, in all.
    """
    for error in _ends(name, running, total, done):
        if error:
            raise error


def settle(
    name: str, running: Sequence[PrefectFuture[Any]], total: int, done: Callable[[], int]
) -> list[Exception | None]:
    """The same, but every task may fail: what each raised, None for one that succeeded."""
    return list(_ends(name, running, total, done))


def _ends(
    name: str, running: Sequence[PrefectFuture[Any]], total: int, done: Callable[[], int]
) -> Iterator[Exception | None]:
    """What each task raised, or None, as it ends, in order."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn()
    before = done()
    with Progress(*columns, disable=not sys.stderr.isatty(), transient=True, speed_estimate_period=600) as bars:
        bar = bars.add_task(name, total=total)
        for future in running:
            patience: float | None = PAUSE
            while True:
                try:
                    future.result(timeout=patience)
                except TimeoutError as error:
                    if patience is None:  # so it is the task's own
                        yield error
                        break
                    if future.state.is_final():  # it may have ended only now, so this error is still ours
                        patience = None
                    bars.update(bar, completed=done() - before)
                except Exception as error:  # whatever a task raises, or Dask for a worker that is gone
                    yield error
                    break
                else:
                    yield None
                    break
