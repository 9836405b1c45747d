"""Read WebDataset tar shards: members are grouped by their key, and images are read by offset, never unpacked."""

import json
import re
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from winnow.errors import InputError
from winnow.images import storage
from winnow.names import quoted
from winnow.sources import labels, listing, splits
from winnow.sources.base import SHOWN, Source, faults, find_column, listed

IMAGES = (
    *("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "avif", "ppm", "image", "img"),
    *("jfif", "jpe", "pgm", "jp2", "tga", "heic", "heif", "jxl"),  # some are set aside, with a reason
)
LARGEST_LABEL = 2**20  # bytes of a member that holds a label
LARGEST_HEADER = 2**16  # bytes of a long name, or of what else stands before a member; names have some hundreds
HEADERS = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)
NAME = re.compile(r"((?:.*/|)[^.]+)[.]([^/]*)")  # key and kind, as webdataset splits a name: at the first dot
NO_LABEL = "no label, neither `cls` nor `json`"

Member = tuple[int, int]  # where its bytes begin in the shard, and how many there are


class Header(tarfile.TarInfo):
    """A member's header. tarfile would read one that says it is of 4 GiB into memory."""

    def _proc_member(self, shard: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in HEADERS and self.size > LARGEST_HEADER:
            raise tarfile.ReadError(f"a header of {self.size:,} bytes before a member")
        return super()._proc_member(shard)  # type: ignore[misc]


@dataclass
class ShardSample:
    """What the members of a shard say of a sample.

    Attributes:
        key: its name in the shard.
        kinds: the kinds of its members.
        images: those that may be its image, and where they are.
        label: its label as text, None if it has none.
        wrong: what it has instead.
        split: the key of its json that may name its split, and what it names.
    """

    key: str
    kinds: list[str] = field(default_factory=list)
    images: dict[str, Member] = field(default_factory=dict)
    label: str | None = None
    wrong: str = NO_LABEL
    split: tuple[str, str] | None = None

    @property
    def image(self) -> str | None:
        """The kind of the member to read: of several the first of IMAGES, else the only one of a kind like left.jpg."""
        plain = [kind for kind in IMAGES if kind in self.images]
        named = [kind for kind in self.images if kind.split(".")[0] in IMAGES]
        return next(iter([*plain, *named]), next(iter(self.images)) if len(self.images) == 1 else None)

    @property
    def fault(self) -> str | None:
        """What it lacks."""
        if self.image is None:
            what = "several images, and none is called `image`" if self.images else "no image"
            return f"{what} (members: {sorted(self.kinds)})"
        return self.wrong or None


Found = list[tuple[str, ShardSample]]  # samples with their shards


def open_shards(base: str, names: list[str], label: str, held_out: str | None) -> Source:
    """List shards named for their splits; an id is the shard's stem and the sample's key.

    The label of a sample is its member `cls`, a number or a name, else the value of `label` in its `json`. If no shard
    is named for a split, `split` in the json says which samples are held out.

    Raises:
        InputError: a shard is damaged or compressed, a member would leave the folder or is a link, or samples have no
            image or label: the first of them, and how many.
    """
    told = {name: splits.of_file(name) for name in names}
    by_file = held_out in told.values() or any(map(splits.known, told.values()))
    used = splits.roles(told.values(), held_out) if by_file else {}
    passed = Counter[str]()
    found: Found = []
    for name in names:
        if not by_file or told[name] in used:
            found += [(name, sample) for sample in _samples(base, name, label, passed)]
    if not found:
        raise InputError(f"prepare.source: {base} has no samples in its shards")
    parts, strict = [told[name] for name, _ in found], False
    if not by_file and (said := _splits(found)):
        parts, strict = said, True
    roles = used or splits.roles(parts, held_out, strict=strict)
    counts: dict[str, object] = dict(Counter(parts))
    for split, shards in Counter(told[name] for name in names if by_file and told[name] not in used).items():
        counts[split] = f"({shards} shards)"
    notes = [splits.note(counts, roles), *(f"{what}: {count} passed over" for what, count in passed.items())]
    chosen = [(name, sample, roles[part]) for (name, sample), part in zip(found, parts, strict=True) if part in roles]
    _refuse_faulty(base, [(name, sample) for name, sample, _ in chosen])
    notes += _said([sample for _, sample, _ in chosen])
    members = [sample.images[str(sample.image)] for _, sample, _ in chosen]
    places = {
        "file": np.array([name for name, _, _ in chosen], dtype=object),
        "place": np.array([start for start, _ in members]),
        "size": np.array([size for _, size in members]),
    }
    classes, codes, said = labels.classes([str(sample.label) for _, sample, _ in chosen], base)
    ids = [f"{name.removesuffix('.tar')}/{sample.key}" for name, sample, _ in chosen]
    table = listed(ids, codes, [role for *_, role in chosen], places)
    return Source(base, classes, table, None, tuple(filter(None, [*notes, *said])))


def _splits(found: Found) -> list[str] | None:
    """The split of each sample, as its json names it, or the folder in the shard; None if nothing does.

    Under another key than `split` it counts only if all values are names of splits.
    """
    said = [sample.split for _, sample in found]
    keys = {split[0] for split in said if split}
    if len(keys) != 1:
        return splits.of_paths(sample.key for _, sample in found)
    values = [split[1] if split else "" for split in said]
    if keys.pop().casefold() != "split" and not splits.are_names(values):
        return None
    if bad := [f"{name}: {sample.key}" for name, sample in found if not sample.split]:
        raise faults("the shards", [f"{one} has no `split` in its json" for one in bad[:SHOWN]], len(bad), "samples")
    return values


def _refuse_faulty(base: str, found: Found) -> None:
    bad = [(name, sample) for name, sample in found if sample.fault]
    if not bad:
        return
    shown = [f"{name}: {sample.key} has {sample.fault}" for name, sample in bad[:SHOWN]]
    error = faults(base, shown, len(bad), "samples")
    if apart := _apart(bad):
        raise InputError(f"{error}\n{apart}") from error
    raise error


def _apart(bad: Found) -> str:
    """A word on samples whose image and label have different names, so that nothing brings them together."""
    images = {PurePosixPath(sample.key).name: sample for _, sample in bad if sample.images}
    for _, sample in bad:
        other = images.get(PurePosixPath(sample.key).name)
        if other and not sample.images:
            return (
                f"{other.key} and {sample.key} look like one sample; its members must have the same name and folder, "
                "and differ in the suffix alone, as `tar --transform 's,.*/,,'` makes them"
            )
    if dotted := next((kind for _, sample in bad for kind in sample.kinds if kind.endswith((".cls", ".json"))), None):
        return (
            f"the name of a sample ends at its first dot, so `{dotted}` is taken for a kind of member; rename the "
            "files so that only their suffixes begin with a dot"
        )
    if all("/" in sample.key and len(sample.kinds) == 1 for _, sample in bad):
        return "if its folders are classes, unpack the tar and name the folder: it is an image folder"
    return ""


def _said(samples: list[ShardSample]) -> list[str]:
    """Which members were taken, where that was a choice."""
    notes = []
    several = Counter(str(sample.image) for sample in samples if len(sample.images) > 1)
    for kind, count in several.items():
        notes.append(f"{count} samples have several images; `{kind}` is read")
    if both := sum("cls" in sample.kinds and "json" in sample.kinds for sample in samples):
        notes.append(f"{both} samples have `cls` and `json`; `cls` is the label")
    return notes


def _samples(base: str, name: str, label: str, passed: Counter[str]) -> list[ShardSample]:
    """The samples of a shard in the order of their first members, which need not stand together."""
    files, root = storage.connect(base)
    samples: dict[str, ShardSample] = {}
    try:
        with (
            storage.open_file(files, f"{root}/{name}") as file,
            tarfile.open(fileobj=file, mode="r:", tarinfo=Header) as shard,
        ):
            for path, member in _members(shard, name):
                if any(map(listing.is_system, PurePosixPath(path).parts)):
                    passed[listing.HIDDEN] += 1
                    continue
                if not (parts := NAME.fullmatch(path)):
                    passed["members without a suffix"] += 1
                    continue
                sample = samples.setdefault(parts[1].removeprefix("./"), ShardSample(parts[1]))
                kind = parts[2].lower()
                if kind in sample.kinds:
                    raise InputError(
                        f"prepare.source: {name}: {path}: duplicate file name; each member must have its own"
                    )
                sample.kinds.append(kind)
                _add(sample, kind, member, file, label)
            _refuse_rest(name, file, shard)
    except (tarfile.TarError, OSError, ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        why = storage.said(files, f"{root}/{name}", error)
        raise InputError(
            f"prepare.source: {name} is no readable tar shard ({why}); is it cut short, or compressed? (gunzip it)"
        ) from error
    real = [sample for sample in samples.values() if sample.images or sample.label or "cls" in sample.kinds]
    if len(real) < len(samples):
        passed["members that are no part of a sample"] += len(samples) - len(real)
    return real


def _refuse_rest(name: str, file: Any, shard: tarfile.TarFile) -> None:
    """Refuse a shard that goes on where tarfile stops, whose further members would be lost without a word."""
    file.seek(shard.offset)
    while chunk := file.read(2**20):
        if chunk.strip(b"\0"):
            raise InputError(
                f"prepare.source: {name} goes on after its end, so not all of it would be read: it is damaged, or "
                "several tars put together (`tar --concatenate` does that, `cat` does not)"
            )


def _members(shard: tarfile.TarFile, name: str) -> Iterator[tuple[str, Member]]:
    """The files of a shard, and where their bytes are.

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
        yield member.name, (member.offset_data, member.size)


def _add(sample: ShardSample, kind: str, member: Member, file: Any, label: str) -> None:
    """Take what a member says of its sample."""
    if kind.rsplit(".", 1)[-1] in IMAGES:
        sample.images[kind] = member
    elif kind == "cls":
        text, fault = _text(file, member)
        sample.label, sample.wrong = labels.text(text) if text is not None else (None, fault)
    elif kind == "json":
        text, fault = _text(file, member)
        about = _json(text)
        sample.split = next((pair for key in splits.COLUMNS if (pair := _named(about, key))), None)
        if "cls" in sample.kinds:
            return
        if text is None:
            sample.wrong = fault
        elif label in about:
            sample.label, sample.wrong = labels.text(about[label])
        else:
            sample.wrong = f"no label: its json has no `{label}`; prepare.label names another"


def _json(text: str | None) -> dict[str, Any]:
    try:
        about = json.loads(text or "")
    except (ValueError, RecursionError):
        return {}
    return about if isinstance(about, dict) else {}


def _named(about: dict[str, Any], name: str) -> tuple[str, str] | None:
    key = find_column(list(about), name)
    return (key, about[key].strip()) if key and isinstance(about[key], str) and about[key].strip() else None


def _text(file: Any, member: Member) -> tuple[str | None, str]:
    """A small member as text, or what it is instead; the file is left where tarfile had it."""
    start, size = member
    if size > LARGEST_LABEL:
        return None, f"a label of {size} bytes"
    before = file.tell()
    file.seek(start)
    data = file.read(size)
    file.seek(before)
    try:
        return data.decode("utf-8-sig"), ""
    except UnicodeDecodeError:
        return None, labels.NOT_UTF8
