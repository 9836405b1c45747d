"""WebDataset tar shards: members named for their sample's key; images stay in the shard and are found by offset."""

import json
import tarfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from tasks.errors import InputError
from tasks.images import storage
from tasks.names import quoted
from tasks.sources.base import Source, counted, listed, named_split, split_of, to_classes

IMAGES = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "avif", "ppm", "image", "img")
LARGEST_LABEL = 2**20  # bytes of a member that holds a label

Member = tuple[int, int]  # where its bytes begin in the shard, and how many there are


def open_shards(base: str, names: list[str], label: str, held_out: str | None) -> Source:
    """List shards named for their splits; an id is the shard's stem and the sample's key.

    The label of a sample is its member `cls`, a whole number or a name, else the value of `label` in its `json`.

    Raises:
        InputError: a shard is damaged or compressed, a member would leave the folder or is a link, or a sample has no
            image or label.
    """
    splits = split_of({named_split(name) for name in names}, held_out)
    ids: list[str] = []
    labels: list[str] = []
    members: list[Member] = []
    counts: dict[str, int] = {}
    for name in names:
        if named_split(name) not in splits:
            continue
        for key, said, member in _samples(base, name, label):
            ids.append(f"{name.removesuffix('.tar')}/{key}")
            labels.append(said)
            members.append(member)
        counts[name] = len(ids) - sum(counts.values())
    if not ids:
        raise InputError(f"prepare.source: {base} has no samples in its shards")
    numbers = list(counts.values())
    places = {
        "file": np.repeat(np.array(list(counts), dtype=object), numbers),
        "place": np.array([start for start, _ in members]),
        "size": np.array([size for _, size in members]),
    }
    parts = np.repeat(np.array([splits[named_split(name)] for name in counts], dtype=object), numbers).tolist()
    classes, codes = _classes(labels, base)
    return Source(base, classes, listed(ids, codes, parts, places))


def _classes(labels: list[str], base: str) -> tuple[list[str], np.ndarray]:
    if all(label.isascii() and label.isdecimal() and len(label) < 10 for label in labels):
        codes = np.array([int(label) for label in labels])
        return counted(codes, base), codes
    return to_classes(labels)


def _samples(base: str, name: str, label: str) -> Iterator[tuple[str, str, Member]]:
    """Key, label and image of each sample of a shard."""
    from webdataset.tariterators import group_by_keys  # loads torch, which other sources do without

    files, root = storage.connect(base)
    try:
        with files.open(f"{root}/{name}", "rb") as file, tarfile.open(fileobj=file, mode="r:") as shard:
            for sample in group_by_keys(_members(shard, name)):
                yield _sample(sample, file, f"{name}: {sample['__key__']}", label)
    except (tarfile.TarError, OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        text = str(error.args[0]) if error.args else type(error).__name__
        raise InputError(
            f"prepare.source: {name} is no readable tar shard ({text}); is it cut short, or compressed? (gunzip it)"
        ) from error


def _members(shard: tarfile.TarFile, name: str) -> Iterator[dict[str, Any]]:
    """The files of a shard as webdataset has them, but for the bytes: where they are.

    Raises:
        InputError: a member is a link or a device, or its name would leave the folder that it is unpacked in.
    """
    for member in shard:
        shard.members = []  # type: ignore[attr-defined]  # tarfile would keep them all
        path = PurePosixPath(member.name)
        if path.is_absolute() or ".." in path.parts:
            raise InputError(f"prepare.source: {name}: the member {quoted(member.name)} leads out of its folder")
        if member.isdir():
            continue
        if not member.isreg() or member.issparse():
            raise InputError(
                f"prepare.source: {name}: the member {quoted(member.name)} is no regular file (a link, a device)"
            )
        yield {"fname": member.name, "data": (member.offset_data, member.size), "__url__": name}


def _sample(sample: dict[str, Any], file: Any, where: str, label: str) -> tuple[str, str, Member]:
    image = next((sample[kind] for kind in IMAGES if kind in sample), None)
    if image is None:
        raise InputError(f"prepare.source: {where} has no image (members: {sorted(k for k in sample if k[0] != '_')})")
    if "cls" in sample:
        return sample["__key__"], _text(file, sample["cls"], where).strip(), image
    if "json" not in sample:
        raise InputError(f"prepare.source: {where} has no label, neither `cls` nor `json`")
    try:
        value = json.loads(_text(file, sample["json"], where))[label]
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise InputError(f"prepare.source: {where}: its json has no `{label}`; prepare.label names another") from error
    return sample["__key__"], str(value), image


def _text(file: Any, member: Member, where: str) -> str:
    """A small member as text; the file is left where tarfile had it."""
    start, size = member
    if size > LARGEST_LABEL:
        raise InputError(f"prepare.source: {where} has a label of {size} bytes")
    before = file.tell()
    file.seek(start)
    data = file.read(size)
    file.seek(before)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"prepare.source: {where} has a label that is not UTF-8") from error
