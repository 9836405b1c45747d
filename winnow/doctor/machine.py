"""Check Python, packages, devices and disk space."""

import importlib.metadata
import platform
import shutil
import sys
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet

from winnow.doctor.finding import Finding
from winnow.extras import DISTRIBUTION
from winnow.files.json_files import read_json

DRIVER = Path("/proc/driver/nvidia/version")
GIB = 2**30
LEAST = GIB  # bytes that any run may need beside its results
SHOWN = 4  # packages that are named


def python() -> Finding:
    """Whether this Python is one that Winnow runs on."""
    wanted = importlib.metadata.metadata(DISTRIBUTION)["Requires-Python"]
    found = platform.python_version()
    if not SpecifierSet(wanted).contains(found, prereleases=True):
        return Finding("Python", "wrong", f"{found}, and Winnow needs {wanted}", "make clean demo PYTHON=python3.11")
    return Finding("Python", "ok", f"{found} at {sys.prefix}")


def packages(constraints: Path = Path("constraints.txt")) -> Finding:
    """Whether what Winnow needs is installed, in the versions that it is tested with."""
    needs = (Requirement(line) for line in importlib.metadata.requires(DISTRIBUTION) or ())
    needed = [need for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]
    broken = [f"{need} (found: {_version(need.name) or 'none'})" for need in needed if not _met(need)]
    again = "make .venv/.installed, after `touch requirements.lock`"
    if not constraints.is_file():
        again = "pip install -r requirements.txt"
    if broken:
        return Finding("packages", "wrong", f"{_some(broken)} not met", again)
    if not constraints.is_file():
        return Finding("packages", "ok", f"{len(needed)} that Winnow needs are installed")
    pins = [pin for pin in _pins(constraints) if _version(pin.name)]
    other = [f"{pin.name} {_version(pin.name)}, not {pin.specifier}" for pin in pins if not _met(pin)]
    if other:
        return Finding("packages", "warning", f"{_some(other)}: other versions can give other bytes", again)
    return Finding("packages", "ok", f"{len(pins)} installed, as in {constraints.name}")


def _met(need: Requirement) -> bool:
    found = _version(need.name)
    return found is not None and need.specifier.contains(found, prereleases=True)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _pins(constraints: Path) -> list[Requirement]:
    pins = []
    for line in constraints.read_text(encoding="utf-8").splitlines() if constraints.is_file() else ():
        try:
            pins.append(Requirement(line.partition("#")[0]))
        except InvalidRequirement:
            continue  # an empty line
    return pins


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def devices(driver: Path = DRIVER) -> Finding:
    """What there is to compute on."""
    import torch

    from winnow.compute import device

    if torch.cuda.is_available():
        gpus = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
        return Finding("devices", "ok", ", ".join(f"{gpu.name} ({gpu.total_memory / GIB:.0f} GiB)" for gpu in gpus))
    found = f"no GPU; {device.slots()} cores"
    if driver.exists():
        return Finding(
            "devices",
            "warning",
            f"{found}, though this machine has an NVIDIA driver",
            f"install a torch for that driver (this one is built for CUDA {torch.version.cuda}), or "
            "unset CUDA_VISIBLE_DEVICES",
        )
    return Finding("devices", "ok", found)


def disk(data: Path = Path("data"), side: int = 28) -> Finding:
    """Whether there is room for the next run: see `needed`; `side` is evaluate.image_size."""
    free, need = shutil.disk_usage(Path.cwd()).free, needed(data, side)
    words = f"{_size(free)} free, and the next run may take {_size(need)}"
    if free < need:
        return Finding("disk", "wrong", words, "make room: `dvc gc --workspace`, and old folders in .winnow and bench")
    return Finding("disk", "ok", words)


def needed(data: Path, side: int) -> int:
    """Bytes that the next run may take: features at work, pixels, and every result anew, here and in DVC's cache."""
    import numpy as np
    import pyarrow.parquet as pq

    index, features = data / "prepare/images/index.parquet", data / "embed/image.npy"
    images = pq.ParquetFile(index).metadata.num_rows if index.is_file() else 0
    width = np.load(features, mmap_mode="r").shape[1] if features.is_file() else 512
    source = data / "source/fingerprint.json"
    first = read_json(source).get("bytes", 0) if source.is_file() and not images else 0
    results = sum(path.stat().st_size for path in data.rglob("*") if path.is_file())
    return int(LEAST + images * (3 * 2 * width + 3 * side**2) + 2 * results + first)


def _size(count: float) -> str:
    return f"{count / GIB:,.1f} GiB"
