"""Run a stage: check its parameters, take GPU slots, run the flow, and end with a clear message on bad input."""

import atexit
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import psutil
from prefect import Flow, get_client, tags
from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from winnow.compute import device
from winnow.errors import InputError, WorkError
from winnow.files import locks
from winnow.run import STARTED, error_lines, inputs, outcomes, prefect_server, run_log, settings, stage_lock
from winnow.run.decorators import GPU
from winnow.run.settings import Runtime, Settings
from winnow.terminal.ending import ended
from winnow.terminal.say import one_line, say

P = ParamSpec("P")
R = TypeVar("R")


def runner(chosen: Runtime) -> TaskRunner[Any]:
    """Who runs the tasks that a flow maps over shards, classes or cells.

    Raises:
        InputError: no scheduler answers at `runtime.address`.
    """
    from distributed import Client
    from prefect_dask import DaskTaskRunner

    from winnow.run import dask_workers

    if not chosen.address:
        return DaskTaskRunner(cluster_class=dask_workers.start)
    try:
        with Client(chosen.address, timeout="5s", set_as_default=False) as client:
            client.register_plugin(dask_workers.Prepared())
    except (OSError, ValueError) as error:
        raise InputError(f"runtime.address: no Dask scheduler answers at {chosen.address!r} ({error})") from error
    return DaskTaskRunner(address=chosen.address)


def main(flow: Flow[[Settings], None], *, mapped: bool = False, at_once: int | None = None, gpu: bool = True) -> None:
    """Run the flow of a stage with the parameters of params.yaml, as `python -m flows.<stage>` does.

    Exits as `terminal.ended` says, and with 1 where what the stage read changed while it ran.

    Args:
        flow: the flow of the stage.
        mapped: whether it submits tasks for shards, classes or cells, which may run on other machines too
            (`runtime.runner`).
        at_once: how many tasks run at once on this machine; None: one a GPU.
        gpu: whether the stage has tasks for a GPU; one that has none need not wait until torch has counted them.
    """
    with ended():
        settings.load()  # refuse bad parameters before waiting for another stage
        with stage_lock.taken(flow.name), _compared(flow.name) as read:
            parameters = settings.load()
            chosen = parameters.runtime if mapped else Runtime()
            with running(flow, chosen, at_once=at_once, gpu=gpu) as ready:
                ready(parameters)
                if line := outcomes.of(flow.name, Path("data")):
                    say(f"winnow {flow.name}: {one_line(line)}")
                read.check()  # here, so that the log says it too


@contextmanager
def _compared(stage: str) -> Iterator[inputs.Inputs]:
    """Give what the stage reads, and compare it once more when the process ends.

    That comes after everything else, since it is registered before everything else: a temporary server alone takes
    seconds to end, and DVC looks at the files when the process is gone.
    """
    read = inputs.noted(stage, STARTED)
    atexit.register(_compare, read)
    try:
        yield read
    except BaseException:
        atexit.unregister(_compare)  # the error is what the stage ends with
        raise


def _compare(read: inputs.Inputs) -> None:
    try:
        read.check()
    except WorkError as error:
        say(f"winnow: {error}", error=True)
        os._exit(1)


@contextmanager
def running(flow: Flow[P, R], chosen: Runtime, *, at_once: int | None = None, gpu: bool = True) -> Iterator[Flow[P, R]]:
    """Give the flow with its runner, and what has to hold while it runs: a server, a log, slots, a clear end.

    Args:
        flow: any flow.
        chosen: who runs the tasks that it submits.
        at_once: how many of them run at once on this machine; None: one a GPU.
        gpu: whether it has tasks for a GPU.
    """
    signal.signal(signal.SIGINT, _stop)
    error_lines.log_errors()
    with prefect_server.shared(), run_log.kept(flow.name) as run, tags(run):
        if chosen.runner == "dask":
            flow = flow.with_options(task_runner=runner(chosen))
        elif gpu:
            flow = flow.with_options(task_runner=ThreadPoolTaskRunner(max_workers=at_once or device.slots()))  # type: ignore[arg-type]
        with gpu_slots() if gpu else nullcontext():
            yield flow


def _stop(*_: object) -> None:
    """End at once, with the server and the workers that were started: threads that train would be waited for.

    Outputs are whole or absent at any moment, and finished cells and shards are kept, so nothing is lost.
    """
    say("\nwinnow: interrupted; the same command goes on from here", error=True)
    run_log.write("interrupted", "warning")
    for child in psutil.Process().children(recursive=True):
        child.terminate()
    os._exit(130)


@contextmanager
def gpu_slots() -> Iterator[None]:
    """Limit the tasks tagged GPU, in the Prefect server in use, to the number of slots of this machine.

    A killed run would keep its slots forever. So each stage holds a lock that ends with its process, and a stage that
    finds no other on this machine with the same limit frees every slot. The lock is named by the limit, because one
    server may have several addresses, and temporary servers share one database.
    """
    with locks.locked(locks.own_folder() / f"{GPU}.lock", "counts GPUs"), get_client(sync_client=True) as client:
        limit = client.create_concurrency_limit(tag=GPU, concurrency_limit=device.slots())
    with locks.opened(locks.own_folder() / f"{limit}.lock") as lock:
        if locks.attempt(lock):
            _free_slots()
        locks.share(lock)
        yield


def _free_slots() -> None:
    with get_client(sync_client=True) as client:
        client.reset_concurrency_limit_by_tag(GPU)
        client.update_global_concurrency_limit(f"tag:{GPU}", GlobalConcurrencyLimitUpdate(active_slots=0))
