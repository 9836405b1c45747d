"""Plan an export: which samples it contains, and the file name, key and piece of each.

A piece holds samples of one split from one shard, so that pieces can be written in parallel and repeated one by one.
"""

import pandas as pd

from winnow.errors import InputError
from winnow.images.dataset import Dataset
from winnow.names import quoted
from winnow.releases import names
from winnow.releases.manifest import Release

SAMPLES = 4096  # of one piece, at most


def plan(release: Release, data: Dataset, *, test: bool) -> pd.DataFrame:
    """The samples to export, in the order of the images, each with its file and piece.

    Raises:
        InputError: the images lack a sample of the release, or have another image or class for it.
    """
    scores = release.scores
    given = scores["given_label"] if "given_label" in scores else scores["label"]  # where some have new labels
    kept = scores.assign(given=given).loc[scores["selected"], ["id", "label", "given", "sha256"]]
    table = data.index.merge(kept, on="id", how="left", suffixes=("", "_released"))
    _check(release, data, table, kept)
    table = table[table["label_released"].notna() | (test & (table["split"] == "test"))].copy()
    table["label"] = table["label_released"].fillna(table["label"]).astype(table["label"].dtype)
    table["class_name"] = table["label"].map(dict(enumerate(data.classes)))
    table["folder"] = table["class_name"].map({name: names.safe(name) for name in data.classes})
    table["file"] = names.file_names(table, ["split", "label"])
    chunk = table.groupby(["split", "shard"]).cumcount() // SAMPLES
    table["piece"] = table.assign(chunk=chunk).groupby(["split", "shard", "chunk"], sort=False).ngroup()
    table["piece"] = table.groupby("split")["piece"].transform(lambda piece: pd.factorize(piece)[0])
    table["key"] = [f"{position:09d}" for position in table.groupby("split").cumcount()]
    return table


def _check(release: Release, data: Dataset, table: pd.DataFrame, kept: pd.DataFrame) -> None:
    way_out = "first; `winnow release verify` names them all; --format ids still gives the list"
    gone = kept.loc[~kept["id"].isin(data.index["id"]), "id"]
    if len(gone):
        raise InputError(f"{len(gone):,} ids of the release are not in {data.folder}, {quoted(gone.iloc[0])} {way_out}")
    of_release = table[table["label_released"].notna()]
    for what, column, stated in (("image", "sha256", "sha256_released"), ("label", "label", "given")):
        other = of_release.loc[of_release[column] != of_release[stated], "id"]
        if len(other):
            first = quoted(other.iloc[0])
            raise InputError(
                f"{data.folder} has another {what} for {len(other):,} ids of the release, {first} {way_out}"
            )
    if data.classes != release.classes:
        raise InputError(f"{data.folder} has other classes than the release; --format ids still gives the list")


def by_shard(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows of a plan by the shard that their images are in."""
    return {str(shard): rows for shard, rows in table.groupby("shard", sort=False)}


def counts(table: pd.DataFrame) -> dict[str, int]:
    """How many pieces each split has."""
    return {str(split): int(last) + 1 for split, last in table.groupby("split")["piece"].max().items()}
