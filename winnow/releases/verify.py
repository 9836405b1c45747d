"""Check that a release and its images are, byte by byte, what its manifest says.

Every fault is named: the file, shard or sample, and what is wrong with it.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pandas as pd
from rich.progress import track

from winnow.errors import InputError
from winnow.files import hashes
from winnow.images.dataset import Dataset
from winnow.names import lines, quoted
from winnow.releases import manifest
from winnow.releases.images import NotNamedError
from winnow.releases.images import find as find_images
from winnow.releases.manifest import Release
from winnow.terminal import bars

SHOWN = 20  # faults of one kind that are named each; the rest is counted
LONGEST = 400  # characters of a reason: enough for a long path


@dataclass(frozen=True)
class Fault:
    """What is not as it should be: where, and how."""

    where: str
    what: str


def run(release: Release, images: Dataset | None = None) -> list[Fault]:
    """Recompute every hash in the manifest of `release`, and those of its `images` if given (`releases.images`).

    Returns:
        What is at fault, empty if nothing is.
    """
    faults = [*_files(release)]
    if any(fault.where == "scores.parquet" for fault in faults):
        return [*faults, *_cut(_ids(release, None))]
    faults += [*_cut(_ids(release, release.scores)), *_digests(release)]
    return faults + _images(release, images) if images else faults


def at_hand(release: Release, images: Path | None, source: str | None) -> tuple[Dataset | None, str]:
    """The images of a release, or None and why they are not looked at; see `releases.images.find`.

    Raises:
        InputError: the images that were named cannot be read.
    """
    try:
        data = find_images(release, images, source)
    except NotNamedError as error:
        return None, f"the images were not looked at: {error}"
    return data, "" if data else "no images at hand; name their folder with --images"


def _files(release: Release) -> Iterator[Fault]:
    """Files that are missing, changed, or not of the release."""
    stated = release.manifest.files
    for name, digest in stated.items():
        path = release.folder / name
        if not path.is_file():
            yield Fault(name, "is missing")
        elif (found := hashes.file_sha256(path)) != digest:
            yield Fault(name, f"is not the file that was released: SHA-256 {found[:12]}…, stated {digest[:12]}…")
    there = {path.relative_to(release.folder).as_posix() for path in release.folder.rglob("*") if path.is_file()}
    for name in sorted(there - set(stated) - {"manifest.json"}):
        yield Fault(name, "is not part of the release")


def _ids(release: Release, scores: pd.DataFrame | None) -> Iterator[Fault]:
    """Ids of ids.txt that are not those selected, where the table of scores can say, and ids that stand twice."""
    path = release.folder / "ids.txt"
    if not path.is_file():
        return
    try:
        listed = pd.Series(lines(path.read_bytes()))
    except UnicodeDecodeError as error:
        yield Fault("ids.txt", f"is not UTF-8 (byte {error.start})")
        return
    for name in listed[listed.duplicated()].unique():
        yield Fault("ids.txt", f"{quoted(name)} occurs twice")
    if scores is not None:
        kept = set(scores.loc[scores["selected"], "id"])
        for name in sorted(set(listed) - kept):
            yield Fault("ids.txt", f"{quoted(name)} was not selected")
        for name in sorted(kept - set(listed)):
            yield Fault("ids.txt", f"{quoted(name)} was selected and is not there")


def _digests(release: Release) -> Iterator[Fault]:
    """Ids and labels of the pool and the subset that do not have the digest stated."""
    made, scores = release.manifest, release.scores
    for name, stated, part in (("pool", made.pool, scores), ("subset", made.subset, scores[scores["selected"]])):
        if (len(part), manifest.digest(part)) != (stated.samples, stated.digest):
            yield Fault("scores.parquet", f"ids and labels of the {name} are not those in the manifest")


def _images(release: Release, data: Dataset) -> list[Fault]:
    """Images that cannot be read, or whose bytes are not those that were prepared."""
    stored = data.index.set_index("id")["sha256"]
    pool = release.scores.set_index("id")["sha256"]
    gone = pool.index.difference(stored.index)
    faults = [*_cut(Fault(name, "is in the release, not among the images") for name in gone)]
    both = pool.index.intersection(stored.index)
    other = both[(pool[both] != stored[both]).to_numpy()]
    faults += _cut(Fault(name, "is another image than the one that was released") for name in other)
    if not faults and hashes.sha256(*data.index["id"], *data.index["sha256"]) != release.manifest.images_sha256:
        faults.append(Fault("index.parquet", "lists other held-out images than the release was measured on"))
    if data.lost:
        what = "has moved or gone, so that no image can be checked; name where it lies now with --source"
        return [*faults, Fault(f"source {data.source}", what)]
    with ThreadPoolExecutor() as pool_of_threads:  # hashing lets other threads run
        found = pool_of_threads.map(lambda shard: [*_cut(_shard(data, shard))], data.shards)
        progress = track(found, "verify", len(data.shards), disable=bars.hidden(), transient=True)
        return faults + [fault for shard in progress for fault in shard]


def _shard(data: Dataset, shard: str) -> Iterator[Fault]:
    """Images of a shard that are gone or whose bytes have changed, or the file of many that cannot be read."""
    rows = data.of(shard)
    try:
        for name, stated, image in zip(rows["id"], rows["sha256"], data.stored(rows), strict=True):
            if isinstance(image, OSError):
                yield Fault(name, f"cannot be read ({image.strerror or image})")
            elif sha256(image).hexdigest() != stated:
                yield Fault(name, "its bytes have changed")
    except InputError as error:
        yield Fault(f"shard {shard}", f"cannot be read to its end ({' '.join(str(error).split())[:LONGEST]})")


def _cut(faults: Iterable[Fault]) -> list[Fault]:
    """The first faults, and how many more there are."""
    every = list(faults)
    more = [Fault("…", f"and {len(every) - SHOWN:,} more like it")] if len(every) > SHOWN else []
    return every[:SHOWN] + more
