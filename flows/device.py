"""Where to compute."""

import torch


def best() -> str:
    """`cuda` where there is a GPU, else `cpu`."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def count() -> int:
    """GPU tasks that may run at once: the number of GPUs, or one where the CPU stands in for them."""
    return max(1, torch.cuda.device_count())
