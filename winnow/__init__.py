"""Keep the part of a labelled image data set that is worth training on: the library and its command.

    import winnow

    table = winnow.select(image, labels, text, keep=0.3)  # features and labels as arrays, tensors, columns or a folder
    train = winnow.subset(dataset, table)                 # for a DataLoader

Each public name is loaded when it is first used, so that `import winnow` takes no time.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for type checkers and editors; at run time each is imported when it is first asked for
    from winnow.api import load_features, open_release, score, select, subset
    from winnow.errors import InputError, WorkError
    from winnow.features import Features
    from winnow.releases.manifest import Release

__version__ = "0.2.0"
__all__ = [
    "Features",
    "InputError",
    "Release",
    "WorkError",
    "load_features",
    "open_release",
    "score",
    "select",
    "subset",
]

_WHERE = {
    "Features": "winnow.features",
    "InputError": "winnow.errors",
    "Release": "winnow.releases.manifest",
    "WorkError": "winnow.errors",
}  # the others are functions of winnow.api


if not TYPE_CHECKING:  # which would take any name for one of this module

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = globals()[name] = getattr(importlib.import_module(_WHERE.get(name, "winnow.api")), name)
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
