"""Choose the precision of a network: half precision where the device has instructions for it."""

import torch

NATIVE = ("avx512_bf16", "amx_bf16", "bf16")  # x86 and Arm, as torch names them


def autocast(device: str, *, cache: bool = True) -> torch.autocast:
    """Context in which layers compute in bfloat16 on `device`, or in float32 where bfloat16 would be emulated.

    With `cache`, weights are converted once in it; a recording of what it does has to convert them itself.

    A processor without such instructions takes ten times as long for an emulated convolution as for one in float32.
    """
    kind = torch.device(device).type
    return torch.autocast(kind, torch.bfloat16, enabled=native(kind), cache_enabled=cache)


def native(kind: str) -> bool:
    """The device, `cpu` or `cuda`, computes in bfloat16 itself."""
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    has = torch.cpu.get_capabilities()
    return any(has.get(name, False) for name in NATIVE)
