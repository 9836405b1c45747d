"""Measure the resources that a stage uses while it runs: processor, memory, disk, GPU memory."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import psutil

PAUSE = 2.0  # seconds between two samples
MIB = 2**20


@contextmanager
def sampled(take: Callable[[dict[str, float]], None], pause: float = PAUSE) -> Iterator[None]:
    """Give `take` a sample of this machine at once, then every `pause` seconds while the block runs, and at its end."""
    over = Event()
    psutil.cpu_percent()  # the first answer covers no time

    def go_on() -> None:
        while not over.wait(pause):
            take(sample())

    thread = Thread(target=go_on, name="vitals", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        take(sample())


def sample() -> dict[str, float]:
    """Measures by the names that MLflow gives its own, and the memory of this process and what it started."""
    memory, disk = psutil.virtual_memory(), psutil.disk_usage(str(Path.cwd()))
    return {
        "cpu_utilization_percentage": psutil.cpu_percent(),
        "system_memory_usage_megabytes": round((memory.total - memory.available) / MIB, 1),
        "system_memory_usage_percentage": memory.percent,
        "disk_available_megabytes": round(disk.free / MIB, 1),
        "process_memory_megabytes": round(_own_memory() / MIB, 1),
    } | _gpus()


def _own_memory() -> int:
    """Resident bytes of this process and its children."""
    total, here = 0, psutil.Process()
    for process in (here, *here.children(recursive=True)):
        try:
            total += process.memory_info().rss
        except psutil.Error:
            continue  # it has ended
    return total


def _gpus() -> dict[str, float]:
    """Memory in use on each GPU, where this process uses any: to ask would else take one."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return {}
    used = [torch.cuda.mem_get_info(gpu) for gpu in range(torch.cuda.device_count())]
    return {f"gpu_{i}_memory_usage_megabytes": round((total - free) / MIB, 1) for i, (free, total) in enumerate(used)}
