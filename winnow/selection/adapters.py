"""The result of adaptation, in memory and on disk: two published adapters, or cross-fitted heads."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays
from torch import nn

from winnow.selection.alignment import Alignment


class Adapters(nn.Module):
    """Two dimension-preserving linear maps with bias, A_I for images and A_T for texts (paper, section 3.1)."""

    def __init__(self, dim: int, generator: torch.Generator | None = None) -> None:
        """Draw the usual initial weights of a linear layer, from `generator` rather than from the global state."""
        super().__init__()
        self.image = nn.utils.skip_init(nn.Linear, dim, dim)
        self.text = nn.utils.skip_init(nn.Linear, dim, dim)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(dim**-0.5), dim**-0.5, generator=generator)


Adapted = Adapters | Alignment


def save(path: Path, adapted: Adapted) -> None:
    """Write what adaptation left as safetensors."""
    if isinstance(adapted, Alignment):
        parts = {field.name: getattr(adapted, field.name) for field in fields(adapted) if field.name != "choice"}
        arrays = {name: part for name, part in parts.items() if part is not None}
    else:
        arrays = {name: tensor.numpy() for name, tensor in adapted.state_dict().items()}
    save_arrays({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path)


def load(path: Path) -> Adapted:
    """Read what `save` wrote; adapters are frozen."""
    state = load_arrays(path)
    if "log_odds" in state:
        return Alignment(**state)
    adapters = Adapters(len(state["image.bias"]))
    adapters.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})
    return adapters.requires_grad_(False)
