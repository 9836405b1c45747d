"""Packages that few need, which are installed with an extra of this one: a missing one is a line that says how."""

import importlib
from types import ModuleType

from winnow.errors import InputError

DISTRIBUTION = "winnow-images"  # what pip calls it; `winnow` is another's on the index


def load(module: str, extra: str) -> ModuleType:
    """Import a module of a package that the extra installs.

    Raises:
        InputError: it is not installed; with the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and not module.startswith(error.name):
            raise  # what it needs itself is another matter
        raise InputError(
            f"this needs the package {module.partition('.')[0]}: pip install '{DISTRIBUTION}[{extra}]'"
        ) from error
