"""The rows of `winnow bench labels`: each kind of noise in each feature folder that it suits."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from winnow import features
from winnow.bench.labels import noises
from winnow.bench.labels.noises import NOISES, Noise
from winnow.errors import InputError
from winnow.features import Features, Names
from winnow.files import hashes

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Row:
    """A kind of noise in a feature folder.

    Attributes:
        name: of the row.
        kind: of noise.
        noise: which plants it.
        data: features with true labels.
        digest: of the files that all this comes from.
    """

    name: str
    kind: str
    noise: Noise
    data: Features
    digest: str


def of(folders: Sequence[Path], noise: Path | None, only: Sequence[str]) -> list[Row]:
    """Every row that is wanted; what does not suit a folder is said and passed over.

    Args:
        folders: of features with true labels.
        noise: a folder of label files, each for the feature folders that have as many rows.
        only: the kinds that are wanted, label files by their names; none: all.

    Raises:
        InputError: a folder or a file cannot be read or does not fit, or there is no such kind.
    """
    loaded = {title: (folder, features.load(folder)) for title, folder in _titles(folders).items()}
    files = _label_files(noise, {len(data.labels) for _, data in loaded.values()}) if noise else {}
    kinds = [*NOISES, *files]
    if unknown := [kind for kind in only if kind not in kinds]:
        raise InputError(f"--only: there is no {unknown[0]!r}; there are {', '.join(kinds)}")
    found = []
    for title, (folder, data) in loaded.items():
        wanted = [kind for kind in kinds if not only or kind in only]
        possible = [kind for kind in wanted if kind in files or _suits(data, NOISES[kind])]
        if lacking := [kind for kind in wanted if kind not in possible]:
            log.warning("%s has too few classes or no text, so it has no row for: %s", title, ", ".join(lacking))
        for kind in possible:
            if kind in NOISES:
                found.append(Row(f"{title} {kind}", kind, NOISES[kind], data, _digest(folder)))
            elif len(given := features.read_array(files[kind].parent, kind)) == len(data.labels):
                given_noise = noises.from_file(_checked(given, data, folder, files[kind]))
                found.append(Row(f"{title} {kind}", kind, given_noise, data, _digest(folder, files[kind])))
    return found


def _titles(folders: Sequence[Path]) -> dict[str, Path]:
    """Each folder by its last two names, since the last alone is often that of an encoder; by its path if two agree."""
    found = dict.fromkeys(folder.resolve() for folder in folders)
    short = Counter(folder.parts[-2:] for folder in found)
    return {str(folder) if short[folder.parts[-2:]] > 1 else "/".join(folder.parts[-2:]): folder for folder in found}


def _suits(data: Features, noise: Noise) -> bool:
    return len(data.classes) >= noise.classes and not (noise.names and data.text is None)


def _label_files(folder: Path, lengths: set[int]) -> dict[str, Path]:
    """The label files of a folder, by their names without .npy."""
    files = {path.stem: path for path in sorted(folder.glob("*.npy"))}
    if not files:
        raise InputError(f"--noise {folder}: there is no label file in it (.npy, one whole number a sample)")
    for name, path in files.items():
        if name in NOISES:
            raise InputError(f"{path}: {name!r} is a kind of noise already; give the file another name")
        if (count := len(features.read_array(folder, name))) not in lengths:
            raise InputError(f"{path} has {count:,} labels; none of the feature folders has as many rows")
    return files


def _checked(given: np.ndarray, data: Features, folder: Path, path: Path) -> np.ndarray:
    """(N,) labels of a file, which pass the checks of those of a feature folder."""
    names = replace(Names.of_files(folder), labels=str(path))
    return features.checked(data.image, data.text, given, data.classes, list(data.ids), names).labels


def _digest(folder: Path, *more: Path) -> str:
    parts = [folder / f"{part}.npy" for part in ("image", "text", "labels")]
    return hashes.sha256(*(hashes.file_sha256(path) for path in (*parts, *more) if path.is_file()))
