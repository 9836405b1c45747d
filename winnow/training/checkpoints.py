"""Read initial weights from a file without running any code in it."""

from pathlib import Path

import torch
from torch import Tensor, nn

from winnow.errors import InputError

NESTS = ("state_dict", "model", "model_ema")  # where torchvision's references and others put the weights
PREFIXES = ("module.", "_orig_mod.")  # of a network that was trained on several GPUs, or compiled


def load(model: nn.Module, path: Path) -> None:
    """Load the weights in the file `path` into `model`, except a last layer that was made for other classes.

    Args:
        model: the network.
        path: a state dict, as safetensors or as torch saves it.

    Raises:
        InputError: there is no such file, it holds no weights, or those of another network.
    """
    weights, own = read(path), model.state_dict()
    head = {name for name in list(own)[-2:] if name in weights and weights[name].shape != own[name].shape}
    wrong = [name for name in own if name not in head and _differs(weights.get(name), own[name])]
    unknown = [name for name in weights if name not in own]
    if wrong or unknown:
        name = (wrong + unknown)[0]
        raise InputError(
            f"evaluate.checkpoint: {path} holds the weights of another network than evaluate.model: {name} is "
            f"{shape(weights.get(name))} there and {shape(own.get(name))} here"
        )
    model.load_state_dict({name: part for name, part in weights.items() if name not in head}, strict=False)


def _differs(theirs: Tensor | None, ours: Tensor) -> bool:
    return theirs is None or theirs.shape != ours.shape


def shape(part: Tensor | None) -> str:
    """The shape of a weight in words."""
    return "missing" if part is None else "x".join(map(str, part.shape)) or "a number"


def read(path: Path, key: str = "evaluate.checkpoint") -> dict[str, Tensor]:
    """The weights in a file, by name; `key` is the parameter that names it.

    Raises:
        InputError: there is no such file, or it holds no weights.
    """
    if not path.is_file():
        raise InputError(f"{key}: {path} does not exist")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            found = load_file(path)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged file makes them raise
        raise InputError(f"{key}: {path} holds no weights that can be read ({error})") from error
    for nest in NESTS:
        if isinstance(found, dict) and isinstance(found.get(nest), dict):
            found = found[nest]
    if not isinstance(found, dict) or not all(isinstance(part, Tensor) for part in found.values()):
        raise InputError(f"{key}: {path} holds no weights by name; save model.state_dict()")
    return {_plain(name): part for name, part in found.items()}


def _plain(name: str) -> str:
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name
