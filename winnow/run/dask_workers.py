"""Start Dask workers on this machine, one per GPU or else one per core, that no other machine can reach."""

import os
from typing import TYPE_CHECKING, Any

from distributed import WorkerPlugin

from winnow.compute import device
from winnow.run import environment as surroundings

if TYPE_CHECKING:
    from distributed import SpecCluster

LOOPBACK = "127.0.0.1"  # whoever reaches a worker runs code in it: Dask asks for no password


class Prepared(WorkerPlugin):
    """Prepares a worker before it gets its first task, and with that imports what it needs."""

    name = "winnow"

    def setup(self, worker: Any) -> None:
        """Do as the programs of Winnow do."""
        surroundings.prepare()


def start() -> "SpecCluster":
    """Start a scheduler and its workers; each sees a single GPU, or computes on a single core."""
    import dask
    from distributed import Nanny, Scheduler, SpecCluster

    dask.config.set(
        {
            "distributed.worker.daemon": False,  # their processes decode, in processes of their own
            "distributed.scheduler.http.routes": [],  # pages in a browser get nothing: no dashboard, no logs
            "distributed.worker.http.routes": [],
        }
    )
    workers = {
        i: {
            "cls": Nanny,
            "options": {
                "nthreads": 1,
                "memory_limit": 0,
                "host": LOOPBACK,
                "env": environment(i),
                "plugins": (Prepared(),),
            },
        }
        for i in range(device.slots())
    }
    options = {"dashboard": False, "dashboard_address": f"{LOOPBACK}:0", "port": 0, "host": LOOPBACK}
    return SpecCluster(workers, {"cls": Scheduler, "options": options})


def environment(worker: int) -> dict[str, str]:
    """What a worker is to see of the machine."""
    import torch

    if torch.cuda.is_available():
        given = os.environ.get("CUDA_VISIBLE_DEVICES")
        return {"CUDA_VISIBLE_DEVICES": given.split(",")[worker] if given else str(worker)}
    return {"OMP_NUM_THREADS": "1"}
