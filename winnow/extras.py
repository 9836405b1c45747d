"""Optional packages, installed with an extra: if one is missing, the error says which extra installs it."""

import importlib
import importlib.util
from types import ModuleType

from winnow.errors import InputError

DISTRIBUTION = "winnow-images"  # what pip calls it; `winnow` is another's on the index


def check(package: str, extra: str) -> None:
    """Refuse to begin where a package that an extra installs is missing; it is not imported.

    Raises:
        InputError: with the command that installs it.
    """
    if importlib.util.find_spec(package) is None:
        raise InputError(f"this needs the package {package}: pip install '{DISTRIBUTION}[{extra}]'")


def load(module: str, extra: str) -> ModuleType:
    """Import a module of a package that the extra installs.

    Raises:
        InputError: it is not installed; with the command that installs it.
    """
    check(module.partition(".")[0], extra)
    return importlib.import_module(module)
