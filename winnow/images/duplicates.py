"""Find images that are the same byte for byte. `selection.near_duplicates` finds those that only look the same."""

import pandas as pd


def exact(index: pd.DataFrame) -> pd.DataFrame:
    """Images whose bytes are the same.

    Args:
        index: id, label, split and sha256 of every image.

    Returns:
        Those rows that are not alone, in groups: id, label, split, sha256, conflict (the group has several labels: all
        but one of them are wrong) and spare (the image to drop, where duplicates are dropped).

    Of copies with one label the first held-out one is kept, else the first. Where labels conflict no copy is kept to
    choose from, since nothing here says which label is right. What is held out is never dropped.
    """
    copies = index.loc[index["sha256"].duplicated(keep=False), ["id", "label", "split", "sha256"]]
    by_hash = copies.groupby("sha256", sort=False)
    conflict = by_hash["label"].transform("nunique") > 1
    held_out = copies["split"] == "test"
    known = held_out.groupby(copies["sha256"], sort=False).transform("any")
    spare = ~held_out & (conflict | known | copies["sha256"].duplicated())
    first = by_hash["id"].transform("first")
    return copies.assign(conflict=conflict, spare=spare, of=first).sort_values(["of", "id"]).drop(columns="of")
