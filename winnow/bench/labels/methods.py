"""The methods that judge labels in `winnow bench labels`, ours first."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np

from winnow import extras
from winnow.bench.labels import ours, published, rivals
from winnow.bench.labels.judgement import Judgements
from winnow.errors import InputError
from winnow.features import Features

OURS = "winnow"


@dataclass(frozen=True)
class Method:
    """How to judge labels.

    Attributes:
        judge: features with labels as given, and a seed, to one or several judgements by name.
        names: whether it needs text features.
        cleanlab: whether it needs that package.
    """

    judge: Callable[[Features, int], Judgements]
    names: bool = False
    cleanlab: bool = False


METHODS: dict[str, Method] = {
    OURS: Method(ours.winnow),
    "zero_shot": Method(rivals.zero_shot, names=True),
    "zero_shot_confident": Method(rivals.zero_shot_confident, names=True, cleanlab=True),
    "cleanlab_1": Method(rivals.cleanlab_1, cleanlab=True),
    "cleanlab_10": Method(rivals.cleanlab_10, cleanlab=True),
    "knn": Method(rivals.knn),
    "simifeat": Method(rivals.simifeat),
    "paper": Method(published.paper, names=True),
}
RIVALS = tuple(name for name in METHODS if name not in (OURS, "paper"))  # which are quick; that one trains


def chosen(wanted: Iterable[str]) -> list[str]:
    """Ours, and the rivals that are wanted.

    Raises:
        InputError: there is no such rival, or it needs a package that is not installed.
    """
    wanted = set(wanted)
    if unknown := sorted(wanted - METHODS.keys()):
        raise InputError(f"--rivals: there is no {unknown[0]!r}; there are {', '.join(list(METHODS)[1:])}")
    names = [name for name in METHODS if name == OURS or name in wanted]
    if any(METHODS[name].cleanlab for name in names):
        extras.check("cleanlab", "bench")
    return names


@cache
def warm_up(name: str) -> None:
    """Judge a few labels: the first call in a process pays for loading libraries."""
    rng, labels = np.random.default_rng(0), np.repeat(np.arange(3), 10)
    text = rng.normal(size=(3, 8))
    image = text[labels] + rng.normal(size=(30, 8))
    METHODS[name].judge(Features(image, text, labels, list("abc"), np.arange(30).astype(str)), 0)
