"""Recognize the names of splits in any spelling, and decide which are used, held out or ignored."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Literal

from winnow.errors import InputError
from winnow.sources.base import find_column

Role = Literal["train", "test"]

TRAIN = "train"
# The names of held-out splits; of several, the first is held out.
HELD_OUT = ("test", "holdout", "validation", "valid", "val", "dev", "eval")
SPELLINGS = {
    "training": "train",
    "trn": "train",
    "trainval": "train",
    "testing": "test",
    "tst": "test",
    "heldout": "holdout",
    "development": "dev",
    "evaluation": "eval",
    "validate": "validation",
}
KNOWN = {name: name for name in (TRAIN, *HELD_OUT)} | SPELLINGS
# Words that may stand beside the name of a split: `train_images`, `test set`.
FILLERS = {"set", "sets", "data", "dataset", "split", "image", "images", "img", "imgs", "samples", "files", "folder"}
COLUMNS = ("split", "subset", "partition", "set", "usage", "phase", "fold", "dataset", "data_set", "data_split")
MOST = 20  # splits: a column of more values holds something else
# A column counts as one that may tell the split if one of these words, or the name of a split, is in its name.
COLUMN_WORDS = {*COLUMNS, "stage", "mode", "type", "part"}


def known(name: str) -> str | None:
    """The split that a folder's name or a table's value means; None if it means none.

    `Train`, `training` and `train_images` all mean "train"; `train station` means nothing.
    """
    words = _words(name)
    found = [word for word in words if word not in FILLERS]
    return KNOWN.get(found[0]) if len(found) == 1 else None


def among(names: Iterable[str]) -> dict[str, str | None]:
    """The split that each of some names means, `known` by itself or beside the others.

    `seg_train` and `seg_test` are a pair, in which nothing but the name of the split differs; `seg_train` alone is not.
    Where no name means the other side by itself, a longer one does: `train` is held against `public_test`, and `val`
    against `train_mini`.
    """
    found = {name: known(name) for name in names}
    pairs: dict[tuple[str, ...], dict[str, str]] = {}
    longer: dict[str, str] = {}
    for name in found:
        words = _words(name)
        places = [place for place, word in enumerate(words) if word in KNOWN]
        if len(places) == 1:
            rest = words[: places[0]] + words[places[0] + 1 :]
            pairs.setdefault(tuple(rest), {})[name] = longer[name] = KNOWN[words[places[0]]]
    for pair in pairs.values():
        if len(set(pair.values())) > 1 and TRAIN in pair.values():
            found |= pair
    sides = {split == TRAIN for split in found.values() if split}
    if len(sides) == 1:
        found |= {name: split for name, split in longer.items() if (split == TRAIN) not in sides}
    return found


def of_paths(paths: Iterable[str]) -> list[str] | None:
    """The split that each path tells by the first of its folders that means one; None unless all do, and differ."""
    parts = [next(filter(known, PurePosixPath(path).parts[:-1]), "") for path in paths]
    return parts if all(parts) and len({known(part) for part in parts}) > 1 else None


def columns(header: Sequence[str]) -> list[str]:
    """The columns that may hold the names of splits, by their own names, the likeliest first."""
    usual = [found for name in COLUMNS if (found := find_column(header, name))]
    words = COLUMN_WORDS | set(KNOWN)
    return list(dict.fromkeys([*usual, *(name for name in header if not words.isdisjoint(_words(name)))]))


def are_names(values: Iterable[object]) -> bool:
    """Whether values are the names of several splits and nothing else."""
    found = {value if isinstance(value, str) else "" for value in values}
    return 1 < len(found) <= MOST and all(among(found).values())


def look_like(names: Iterable[str]) -> bool:
    """Whether names look like those of splits, though they are spelt in no known way: `xtrain` and `xtest`."""
    words = [word for name in names for word in _words(name)]
    sides = {
        split == TRAIN
        for name, split in KNOWN.items()
        for word in words
        if word.startswith(name) or word.endswith(name)
    }
    return len(sides) == 2


def of_file(path: str) -> str:
    """The split that a file's path tells, as `train-00000-of-00002.parquet` and `test/0000.parquet` do.

    The name of the file counts first, then those of its folders, the nearest first. If none tells a split, files that
    begin with the same word belong together.
    """
    stem, *folders = [PurePosixPath(path).stem, *reversed(PurePosixPath(path).parts[:-1])]
    words = _words(stem)
    told = next((KNOWN[word] for word in words if word in KNOWN), None) or next(filter(None, map(known, folders)), None)
    return told or re.split("[-_.]", stem)[0]


def _words(name: str) -> list[str]:
    """The words of a name in lower case; `trainSet`, `TRAIN_set`, `trainset` and `train-set1` are all train, set."""
    words = [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[^\W\d_]+", name)]
    joined = " ".join(words).replace("held out", "holdout").replace("hold out", "holdout").split()
    return [part for word in joined for part in _parts(word)]


def _parts(word: str) -> list[str]:
    for filler in FILLERS:
        if word.endswith(filler) and word.removesuffix(filler) in KNOWN:
            return [word.removesuffix(filler), filler]
    return [word]


def roles(names: Iterable[str], held_out: str | None, *, strict: bool = False) -> dict[str, Role]:
    """Which parts of a source are chosen from ("train") and which are held out ("test"); others are not used.

    Args:
        names: the names of all parts, as the source spells them.
        held_out: the part to hold out, in any spelling; None takes the first of `HELD_OUT` that is there.
        strict: refuse several parts if none has the name of a split.

    Raises:
        InputError: there is no part of that name, or nothing says which part is held out.
    """
    parts = sorted(set(names))
    means = among(parts)
    test = _wanted(parts, held_out) if held_out is not None else _first_held_out(means)
    train = [part for part in parts if means[part] == TRAIN and part not in test]
    unknown = [part for part in parts if means[part] is None and part not in test]
    if train:
        pass
    elif held_out is not None:
        train = [part for part in parts if part not in test]
    elif test and not unknown:
        if len(parts) > len(test):
            raise _unclear(parts, "no split to choose from")
        train, test = test, []
    elif strict and not test and len(unknown) > 1:
        raise _unclear(parts, "splits whose names say nothing")
    else:
        train = unknown
    chosen: dict[str, Role] = dict.fromkeys(train, "train")
    return chosen | dict.fromkeys(test, "test")


def _wanted(parts: list[str], held_out: str) -> list[str]:
    """The parts that `prepare.held_out` names: as spelt, else in another case, else in another spelling."""
    means = among(parts)
    for same in (str, str.casefold, lambda name: means.get(name) or known(name) or name):
        if found := [part for part in parts if same(part) == same(held_out)]:
            return found
    raise InputError(f"prepare.held_out: the source has no split {held_out!r}; it has {shown(parts)}")


def _first_held_out(means: Mapping[str, str | None]) -> list[str]:
    for name in HELD_OUT:
        if found := [part for part, meant in means.items() if meant == name]:
            return found
    return []


def _unclear(parts: list[str], what: str) -> InputError:
    return InputError(
        f"prepare.source: it has {what}: {shown(parts)}; prepare.held_out names the one to hold out, and the others "
        "are chosen from"
    )


def note(counts: Mapping[str, object], chosen: Mapping[str, Role]) -> str | None:
    """One line on the splits that were found, how much is in each and what becomes of it; None if there are none."""
    means = among(counts)
    if all(chosen.get(name) == "train" and means[name] in (TRAIN, None) for name in counts):
        return None
    told = []
    for role, use in {"train": "to choose from", "test": "held out", None: "not used"}.items():
        parts = [f"{name} {counts[name]}" for name in sorted(counts) if chosen.get(name) == role]
        if parts:
            told.append(f"{shown(parts)} {use}")
    return "splits: " + "; ".join(told)


def shown(names: Iterable[object]) -> str:
    """The first names of many."""
    every = list(map(str, names))
    return ", ".join(every[:10]) + (f" and {len(every) - 10} more" if len(every) > 10 else "")
