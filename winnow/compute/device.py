"""Choose the device, and how much to compute on it at once. torch is slow to import, so only callers wait for it."""

import os


def best() -> str:
    """`cuda` where there is a GPU, else `cpu`."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def slots() -> int:
    """GPU tasks that may run at once: one a GPU; where there is none the cores stand in for them."""
    import torch

    return torch.cuda.device_count() or cores()


def cores() -> int:
    """Cores that this process may use; macOS does not say which these are, so all of the machine's count there."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
