"""The two small adapters on CLIP's features: what they are, and how they are kept on disk."""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn


class Adapters(nn.Module):
    """Two dimension-preserving linear maps with bias, A_I for images and A_T for texts (paper, section 3.1)."""

    def __init__(self, dim: int, generator: torch.Generator | None = None) -> None:
        """Draw the usual initial weights of a linear layer, from `generator` rather than from the global state."""
        super().__init__()
        self.image = nn.Linear(dim, dim)
        self.text = nn.Linear(dim, dim)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(dim**-0.5), dim**-0.5, generator=generator)


def save(path: Path, adapters: Adapters) -> None:
    """Write adapters as safetensors."""
    save_file(adapters.state_dict(), path)


def load(path: Path) -> Adapters:
    """Read adapters that `save` wrote, frozen."""
    state = load_file(path)
    adapters = Adapters(len(state["image.bias"]))
    adapters.load_state_dict(state)
    return adapters.requires_grad_(False)
