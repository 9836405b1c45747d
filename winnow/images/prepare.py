"""Stage prepare: read a source once, set aside what cannot be read, and leave an index of where every image lies.

In:  a source (`winnow.sources`). Out, in data/prepare/:

    images/             index.parquet, classes.json, source.json, and what had to be copied (`winnow.images.dataset`)
    quarantine.parquet  id and reason of each image that was set aside
    quality.parquet     one row per indexed image: id, and whether it is dark, light, blurry or blank (`images.flaws`)
    duplicates.parquet  images whose bytes are the same, and which of those have other labels (`images.duplicates`)
    summary.json        what was guessed, skipped and not used in the source, and what was found in it, one line each
    corrections.parquet a row for each decision of a person about a sample (`winnow.corrections`)
    truth.parquet       id, true label and damage of each sample with a planted fault; only evaluation and the report
                        read it

Images stay in the source. Only those that cannot be read there one by one, and those with planted damage, are copied.
"""

import logging
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from winnow import corrections as decisions
from winnow.errors import InputError
from winnow.files.json_files import write_json
from winnow.files.outputs import whole_folder
from winnow.images import Droppable, duplicates, flaws, held_out, plant, screen, storage
from winnow.images.copies import CopyWriter
from winnow.names import quoted
from winnow.sources import Source

SHARD = 2048  # images of a unit of work
INDEX = ["id", "label", "split", "shard", "row", "width", "height", "sha256", "file", "place", "size", "copied"]

log = logging.getLogger(__name__)


def run(
    source: Source,
    out: Path,
    *,
    test_share: float,
    max_rejected: float,
    wrong_labels: float,
    damaged: float,
    seed: int,
    mistaken: Mapping[str, str] | None = None,
    drop: Collection[Droppable] = (),
    corrections: Path | None = None,
) -> list[str]:
    """Read `source` and write the data set to `out`.

    Args:
        source: an opened source.
        out: the folder to write.
        test_share: share of each class to hold out where the source names no test split.
        max_rejected: share of unreadable images above which to stop.
        wrong_labels: share of the pool to give a wrong label; with `mistaken`, of the classes that are.
        damaged: share of the pool to damage.
        seed: fixes what is held out and what is planted.
        mistaken: which class wrong labels are of, by the name of the true one; None or empty: any other.
        drop: what is set aside though it can be read, of the images to choose from.
        corrections: a file of decisions about samples, which have the last word.

    Returns:
        What was found, set aside and twice there: a line each, with counts.

    Raises:
        InputError: too many images cannot be read, a class is left without any, `mistaken` names one that there is
            not, or corrections drop all that is held out.
    """
    base = source.base
    table = _plan(source, test_share, wrong_labels, mistaken or {}, damaged, seed)
    corrected = decisions.apply(table, source.classes, corrections)
    held = (table["split"] == "test").to_numpy()
    if held.any() and corrected.dropped[held].all():
        raise InputError(f"prepare.corrections: {corrections} drops every held-out image; nothing is left to test on")
    table = corrected.table.assign(true_label=table["true_label"].mask(corrected.relabelled, corrected.table["label"]))
    with whole_folder(out) as folder:
        images = folder / "images"
        images.mkdir()
        with CopyWriter(images) as writer:
            table = _copy(source, table, writer)
            if source.copy:
                source = replace(source, base=str(images), follow_links=True)
            index, measures = _read(source, table, writer, max_rejected, seed)
        index.loc[corrected.dropped & (index["reason"] == ""), "reason"] = "dropped by a person"
        lost = index.loc[corrected.kept & (index["reason"] != ""), "id"]
        if len(lost):
            log.warning("%s: %d images to keep cannot be read, %s first", corrections, len(lost), quoted(lost.iloc[0]))
        quality = flaws.judge(measures)
        twice = duplicates.exact(index[index["reason"] == ""])
        _drop(index, quality, twice, drop, corrected.kept)
        kept = index[index["reason"] == ""].reset_index(drop=True)
        _refuse_empty(kept, source.classes)
        kept = kept.assign(shard=[f"{row // SHARD:05d}" for row in kept.index], row=kept.index % SHARD)
        kept[INDEX].to_parquet(images / "index.parquet", index=False)
        write_json(images / "classes.json", source.classes)
        write_json(images / "source.json", {"source": base, "follow_links": source.follow_links})
        corrected.applied.to_parquet(folder / "corrections.parquet", index=False)
        set_aside = index.loc[index["reason"] != "", ["id", "reason"]]
        set_aside.to_parquet(folder / "quarantine.parquet", index=False)
        quality.insert(0, "id", index["id"])
        quality[index["reason"] == ""].to_parquet(folder / "quality.parquet", index=False)
        twice.to_parquet(folder / "duplicates.parquet", index=False)
        planted = kept[(kept["true_label"] != kept["label"]) | (kept["damage"] != "")]
        planted[["id", "true_label", "damage"]].to_parquet(folder / "truth.parquet", index=False)
        lines = _summary(kept, source.classes, set_aside, twice)
        write_json(folder / "summary.json", {"source": list(source.notes), "images": lines})
        return lines


def _plan(
    source: Source, test_share: float, wrong_labels: float, mistaken: Mapping[str, str], damaged: float, seed: int
) -> pd.DataFrame:
    """Decide what is held out and what is planted: the source's table, and true_label and damage."""
    table, rng = source.table.reset_index(drop=True), np.random.default_rng(seed)
    labels = table["label"].to_numpy()
    if not (table["split"] == "test").any():
        table.loc[held_out.choose(table["id"], labels, len(source.classes), test_share, seed), "split"] = "test"
    table["true_label"], table["damage"] = labels, ""
    pool = (table["split"] == "train").to_numpy()
    if mistaken:
        to = plant.mistaken(source.classes, mistaken, "prepare.mistaken")
        table.loc[pool, "label"] = plant.asymmetric(labels[pool], to, wrong_labels, rng)
    else:
        table.loc[pool, "label"] = plant.wrong_labels(labels[pool], len(source.classes), wrong_labels, rng)
    table.loc[pool, "damage"] = plant.choose_damage(int(pool.sum()), damaged, rng)
    return table


def _copy(source: Source, table: pd.DataFrame, writer: CopyWriter) -> pd.DataFrame:
    """Write the images of a source that has no place for each, and say where they are now."""
    if source.copy is None:
        return table.assign(copied=False)
    places = [writer.add(name, data) for name, data in zip(table["id"], source.copy(), strict=True)]
    writer.flush()
    return table.assign(copied=True, **pd.DataFrame(places, columns=["file", "place", "size"]))


def _read(
    source: Source, table: pd.DataFrame, writer: CopyWriter, max_rejected: float, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Screen every image: the table with reason, width, height, size, sha256 and its place, and the measures."""
    parts, measures, rejected = [], [], 0
    places: dict[int, tuple[str, int, int]] = {}
    where = table[["file", "place", "size", "damage"]]
    for found in screen.screen(source.base, where, seed, follow_links=source.follow_links):
        for position, data in found.damaged.items():
            places[position] = writer.add(str(table.at[position, "id"]), data)
        parts.append(found.table)
        measures.append(found.measures)
        rejected += (found.table["reason"] != "").sum()
        if rejected > max_rejected * len(table):
            _stop(table["id"], pd.concat(parts)["reason"], max_rejected)
    screened = pd.concat(parts)
    in_parquet = table["size"] == storage.ROW
    index = table.assign(**screened)
    index.loc[in_parquet, "size"] = storage.ROW
    if places:
        moved = pd.DataFrame.from_dict(places, orient="index", columns=["file", "place", "size"])
        index.loc[moved.index, ["file", "place", "size"]] = moved
        index.loc[moved.index, "copied"] = True
    return index, pd.DataFrame(np.concatenate(measures), table.index, list(flaws.MEASURES))


def _stop(ids: pd.Series, reasons: pd.Series, max_rejected: float) -> None:
    bad = reasons[reasons != ""]
    examples = "".join(f"\n  {name}: {reason}" for name, reason in zip(ids[bad.index[:5]], bad[:5], strict=True))
    raise InputError(
        f"more than prepare.max_rejected = {max_rejected:.1%} of the {len(ids)} images cannot be read:{examples}\n"
        "repair or remove them, or raise prepare.max_rejected"
    )


def _drop(
    index: pd.DataFrame, quality: pd.DataFrame, twice: pd.DataFrame, drop: Collection[Droppable], kept: np.ndarray
) -> None:
    """Give a reason to what is to be dropped, of the images to choose from that can be read and no person `kept`."""
    for flaw in (name for name in flaws.FLAWS if name in drop):
        hit = quality[flaw] & (index["split"] == "train") & (index["reason"] == "") & ~kept
        index.loc[hit, "reason"] = flaw.replace("_", " ")
    if "duplicates" in drop:
        spare = twice[twice["spare"] & ~kept[twice.index]]
        words = np.where(spare["conflict"], "duplicate with another label", "duplicate")
        index.loc[spare.index, "reason"] = words


def _summary(kept: pd.DataFrame, classes: list[str], set_aside: pd.DataFrame, twice: pd.DataFrame) -> list[str]:
    lines = []
    for split, use in (("train", "to choose from"), ("test", "held out")):
        labels = kept.loc[kept["split"] == split, "label"]
        counts = np.bincount(labels, minlength=len(classes))
        by_class = _listed([f"{name}: {count}" for name, count in zip(classes, counts, strict=True)])
        lines.append(f"{len(labels)} images {use}, in {np.count_nonzero(counts)} classes ({by_class})")
    if len(set_aside):
        reasons = set_aside["reason"].value_counts()
        by_reason = _listed([f"{count} {reason}" for reason, count in reasons.items()], most=3)
        first = set_aside.iloc[0]
        lines.append(f"{len(set_aside)} images set aside: {by_reason}; {first['id']} first (quarantine.parquet)")
    if len(twice):
        groups = twice.groupby("sha256")
        conflicts = int(groups["conflict"].first().sum())
        lines.append(
            f"{len(twice)} images are copies of one another, in {groups.ngroups} groups, {conflicts} of them with "
            "different labels (duplicates.parquet)"
        )
        leaked = groups["split"].transform("nunique") > 1
        if leaks := int((leaked & (twice["split"] == "test")).sum()):
            lines.append(
                f"{leaks} images held out have a copy among those to choose from; prepare.drop: [duplicates] drops it"
            )
    return lines


def _listed(parts: list[str], most: int = 10) -> str:
    return ", ".join(parts[:most]) + (f" and {len(parts) - most} more" if len(parts) > most else "")


def _refuse_empty(index: pd.DataFrame, classes: list[str]) -> None:
    """A class with nothing to choose from, or a test split with nothing to measure on."""
    pool = index[index["split"] == "train"]
    counts = np.bincount(pool["label"], minlength=len(classes))
    if (counts == 0).any():
        raise InputError(
            f"class {quoted(classes[counts.argmin()])} has no readable image to choose from; add some or remove it"
        )
