"""A release that has been opened: its manifest and tables, of a format that is known.

What publishes, exports, verifies and compares releases reads them here.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from tasks import features, files
from tasks.errors import InputError

FORMAT = 2
COLUMNS = ["id", "label", "class_name", "alignment", "predicted", "selected", "reason", "evidence", "sha256"]


@dataclass(frozen=True)
class Release:
    """The folder of a release, and its manifest."""

    folder: Path
    manifest: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the manifest, which holds a SHA-256 of everything else."""
        return files.file_sha256(self.folder / "manifest.json")

    @property
    def classes(self) -> list[str]:
        """Class names; a label is an index into them."""
        return list(self.manifest["classes"])

    @property
    def images(self) -> Path:
        """Where the images lie that the release was chosen from, if it lies where it was made."""
        return self.folder.absolute().parent / "prepare" / "images"

    @cached_property
    def scores(self) -> pd.DataFrame:
        """A row for every sample of the pool.

        Raises:
            InputError: the table is missing, cannot be read or lacks a column.
        """
        path = self.folder / "scores.parquet"
        try:
            table = pd.read_parquet(path)
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"{path} cannot be read ({error}); get the release again") from error
        if missing := [column for column in COLUMNS if column not in table]:
            raise InputError(f"{path} has no column {missing[0]!r}; get the release again")
        return table


def load(folder: Path) -> Release:
    """Open the release in a folder.

    Raises:
        InputError: there is none, or it is of another version of the format.
    """
    path = folder / "manifest.json"
    if not path.is_file():
        raise InputError(f"{folder} holds no release (no manifest.json); make one with `dvc repro`")
    try:
        manifest = files.read_json(path)
        version = manifest["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no manifest of a release ({error!r}); get the release again") from error
    if version != FORMAT:
        raise InputError(
            f"{folder} is a release of format {version}, and this Winnow reads format {FORMAT}. Its ids.txt and "
            "scores.parquet can be read by anything; for the rest, check out the commit that made it"
        )
    return Release(folder, manifest)


def digest(table: pd.DataFrame) -> str:
    """SHA-256 of the ids and labels of a table, whatever its order."""
    return features.digest(table["id"].to_numpy(dtype=str), table["label"].to_numpy())


def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A tree of dictionaries as one, with dotted keys."""
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        leaves |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return leaves
