"""Hash the files of a source, so that DVC notices every change even if timestamps do not.

Local files are compared by content. A file is not read again if it is the same file as before (`State`); size and time
alone do not prove that, because rsync, tar and renaming preserve them. Files at a URL are compared by the checksum or
tag that their server gives, or else by size and time.
"""

import hashlib
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
from rich.progress import track

from winnow.errors import InputError
from winnow.files.hashes import file_sha256, sha256
from winnow.files.json_files import write_json
from winnow.files.outputs import whole_file
from winnow.files.scratch import SEEN
from winnow.files.streams import is_stream
from winnow.images import storage
from winnow.sources import is_table, listing, locate, readable, table, torchvision
from winnow.terminal import bars

STATE = ["size", "modified", "changed", "inode"]
TICK = 100_000_000  # nanoseconds: two changes that are nearer in time may leave the same times
TELLS = ("ETag", "etag", "md5Hash", "md5", "sha256", "checksum", "mtime", "LastModified", "last_modified", "created")
AT_A_TIME = 4096  # files
DIGITS = 64  # of a SHA-256; what stands in its place where a file cannot be read is shorter

FileStamp = tuple[int, int, int, int]  # STATE of a file: whatever changes it, even in place, gives another
UNSURE: FileStamp = (0, 0, 0, 0)
Known = dict[str, tuple[FileStamp, str]]


def write(source: str, held_out: str | None, out: Path, *, follow_links: bool = False) -> None:
    """Write the fingerprint of a source (`of`) to `out`."""
    about = of(source, held_out, follow_links=follow_links)
    with whole_file(out) as partial:
        write_json(partial, about)


def of(source: str, held_out: str | None = None, *, follow_links: bool = False) -> dict[str, Any]:
    """The fingerprint of a source, and of the file of held-out ids where there is one: files, bytes, sha256.

    Raises:
        InputError: the source cannot be found, or a link leads out of it that is not to be followed.
    """
    with readable(source):
        found = {} if source.startswith(torchvision.PREFIX) else _fingerprints(source, follow_links)
    if held_out and held_out.lower().endswith(".txt"):
        found[f"held_out {held_out}"] = _list(held_out)
    lines = (f"{size} {told} {name}" for name, (size, told) in sorted(found.items()))
    return {"files": len(found), "bytes": sum(size for size, _ in found.values()), "sha256": sha256(*lines)}


def content(path: Path) -> str:
    """SHA-256 of a file, or of all files in a folder of this machine with their names; times and places do not count.

    Raises:
        InputError: it cannot be read.
    """
    if path.is_dir():
        names = sorted(inside.relative_to(path).as_posix() for inside in path.rglob("*") if inside.is_file())
        found = _local(str(path), names, f"content of {path.absolute()}")
        return sha256(*(f"{digest} {name}" for name, (_, digest) in found.items()))
    found = _local(str(path.parent), [path.name], f"content of {path.absolute()}")
    _, digest = found[path.name]
    if len(digest) != DIGITS:
        raise InputError(f"{path} cannot be read ({digest})")
    return digest


def _fingerprints(source: str, follow_links: bool) -> dict[str, tuple[int, str]]:
    """Size and hash of each file, or what is told of it, by its path."""
    base, names, _ = locate(source, follow_links=follow_links)
    files, root = storage.connect(base)
    images: list[str] = []
    if names is not None and is_table(base, names):
        images = list(dict.fromkeys(table.paths(base, names[0])))
    elif names is None and storage.is_local(files):
        images = list(listing.walk(base, follow_links=follow_links))
    if not follow_links:
        listing.refuse_links(base, images)
    if storage.is_local(files):
        return _local(root, [*(names or []), *images])
    if names is None:
        return {name.removeprefix(f"{root}/"): _told(about) for name, about in files.find(root, detail=True).items()}
    return {name: _info(files, f"{root}/{name}") for name in [*names, *images]}


def _info(files: Any, path: str) -> tuple[int, str]:
    try:
        return _told(files.info(path))
    except OSError as error:
        return 0, type(error).__name__  # prepare says what that means


def _list(held_out: str) -> tuple[int, str]:
    """The same of a list of ids; prepare says what it means that there is none."""
    files, path = storage.connect(held_out)
    if not storage.is_local(files):
        return _info(files, path)
    try:
        return Path(path).stat().st_size, "no file" if is_stream(Path(path)) else file_sha256(Path(path))
    except OSError as error:
        return 0, type(error).__name__


def _told(about: dict[str, Any]) -> tuple[int, str]:
    return int(about.get("size") or 0), str(next((about[key] for key in TELLS if about.get(key)), ""))


def _local(root: str, names: list[str], key: str | None = None) -> dict[str, tuple[int, str]]:
    """Hash the changed files on all cores; `key` names the record of known hashes."""
    memory = SEEN / f"{hashlib.sha256(os.fsencode(key or root)).hexdigest()[:16]}.parquet"
    known = _load(memory)
    now: dict[str, tuple[int, FileStamp, str]] = {}
    bar = track(
        storage.batched(names, AT_A_TIME),
        "source",
        -(-len(names) // AT_A_TIME),
        disable=bars.hidden(),
        transient=True,
    )
    with ThreadPoolExecutor() as pool:
        for batch in bar:
            now.update(zip(batch, pool.map(lambda name: _hash(root, name, known), batch), strict=True))
    lasting = [(name, *state, digest) for name, (_, state, digest) in now.items() if state != UNSURE]
    with whole_file(memory) as partial:
        pd.DataFrame(lasting, columns=["file", *STATE, "sha256"]).to_parquet(partial, index=False)
    return {name: (size, digest) for name, (size, _, digest) in now.items()}


def _hash(root: str, name: str, known: Known) -> tuple[int, FileStamp, str]:
    """Size, state and hash of a file; a state of zeros is not to be relied on."""
    path = Path(root) / name
    try:
        about, now = path.stat(), time.time_ns()
        state = about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino
        before = known.get(name)
        if before and before[0] == state:
            return about.st_size, *before
        digest = file_sha256(path) if path.is_file() else "no file"
        return about.st_size, state if max(state[1:3]) < now - TICK else UNSURE, digest
    except OSError as error:
        return 0, UNSURE, type(error).__name__  # prepare says what that means


def _load(memory: Path) -> Known:
    try:
        seen = pd.read_parquet(memory)
        states = zip(*(seen[part].tolist() for part in STATE), strict=True)
        return dict(zip(seen["file"], zip(states, seen["sha256"], strict=True), strict=True))
    except (OSError, ValueError, KeyError):
        return {}
