"""`@flow`, `@task` and `@gpu_task`: Prefect's decorators with our settings. They remove secrets from error messages.

    @gpu_task
    def classes(span: tuple[int, int], *, device: str) -> None: ...

    @flow
    def score(settings: Settings) -> None:
        classes.submit((0, 10)).result()

DVC is the only cache of results, so Prefect caches and stores none.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, overload

import prefect
from prefect import Flow, Task
from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext
from prefect.futures import PrefectFuture
from prefect.task_runners import ThreadPoolTaskRunner

from winnow.compute import device
from winnow.errors import redacted
from winnow.terminal.say import guard_logs, say

guard_logs()  # also in a worker of Prefect or Dask, which knows none of our commands

GPU = "gpu"  # the tag of tasks that wait for a free device

P = ParamSpec("P")
R = TypeVar("R")


@overload
def flow(work: Callable[P, R], /) -> Flow[P, R]: ...
@overload
def flow(*, name: str | None = None, log_prints: bool | None = None) -> Callable[[Callable[P, R]], Flow[P, R]]: ...
def flow(work: Callable[P, R] | None = None, /, *, name: str | None = None, log_prints: bool | None = None) -> Any:
    """Make a function a Prefect flow of its name; prints are logged too where `log_prints` says so."""

    def decorate(work: Callable[P, R]) -> Flow[P, R]:
        return prefect.flow(name=name or work.__name__, log_prints=log_prints)(redacted(work))

    return decorate(work) if work else decorate


def task(work: Callable[P, R]) -> Task[P, R]:
    """Make a function a Prefect task."""
    return prefect.task(name=_name(work), cache_policy=NO_CACHE, persist_result=False)(redacted(work))


def gpu_task(work: Callable[..., R]) -> Task[..., R]:
    """Make a function that computes on a device a Prefect task; it gets the device as `device`, wherever it runs.

    On this machine as many run at once as there are GPUs (`device.slots`). A worker of Dask has a device of its own.
    """
    return GpuTask(
        redacted(_on_device(work)), name=_name(work), cache_policy=NO_CACHE, persist_result=False, tags={GPU}
    )


class GpuTask(Task[P, R]):
    """A task for a device, which a flow may also give to workers of Dask."""

    def submit(self, *args: Any, **kwargs: Any) -> PrefectFuture[R]:  # type: ignore[override]
        """Give the task to the flow's runner."""
        if not _on_dask():
            return super().submit(*args, **kwargs)
        there = prefect.task(name=self.name, cache_policy=NO_CACHE, persist_result=False)(_on_worker(self.fn))
        return there.submit(*args, **kwargs)


def _on_device(work: Callable[..., R]) -> Callable[..., R]:
    def on_device(*args: Any, **kwargs: Any) -> R:
        from winnow.compute import gpu  # torch takes seconds to import

        with gpu.explained():
            return work(*args, **kwargs, device=device.best())

    return on_device


def _on_worker(work: Callable[..., R]) -> Callable[..., R]:
    """Work in the folder of this process, which a worker has to see by the same name.

    A worker that has lost its device would take every task and break it. So it ends: another takes its place, and Dask
    gives that one the task.
    """
    here = Path.cwd()

    def on_worker(*args: Any, **kwargs: Any) -> R:
        from winnow.compute import gpu

        os.chdir(here)
        try:
            return work(*args, **kwargs)
        except gpu.LostError as error:
            say(f"winnow: {error}", error=True)
            os._exit(1)

    return on_worker


def _name(work: Callable[..., Any]) -> str:
    return f"{work.__module__.removeprefix('winnow.').removeprefix('tasks.')}.{work.__name__}"


def _on_dask() -> bool:
    """Whether the flow that runs gives its tasks to workers of Dask."""
    context = FlowRunContext.get()
    return isinstance(context, FlowRunContext) and not isinstance(context.task_runner, ThreadPoolTaskRunner)
