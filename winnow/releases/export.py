"""Export the images that a release kept, or only their list, in a form that other tools read.

Each piece of an export comes from one shard of the images, and pieces are written in parallel. An interrupted export
continues with the missing shards. The export appears in one rename, with checksums, and is the same bytes each time.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path

import pandas as pd
from rich.progress import track

from winnow.errors import InputError
from winnow.files import disk, hashes, locks, marks, scratch
from winnow.files.json_files import read_json, write_json
from winnow.files.marks import Mark
from winnow.images.dataset import Dataset
from winnow.releases import export_plan
from winnow.releases import images as release_images
from winnow.releases.export_formats import WRITERS, ImageToWrite, Piece, Writer
from winnow.releases.manifest import Release
from winnow.reports import pages
from winnow.terminal import bars
from winnow.terminal.say import one_line

THREADS = min(8, os.cpu_count() or 1)  # a piece in memory each
LISTED = ["id", "label", "class_name", "split", "file"]


@dataclass(frozen=True)
class ExportRequest:
    """What to export: a format, with the held-out images or without, and a folder to link images from."""

    format: str
    test: bool = False
    link: Path | None = None


def run(
    release: Release, out: Path, request: ExportRequest, images: Path | None = None, source: str | None = None
) -> int:
    """Export the release to the folder `out`; the number of samples in it.

    Args:
        release: the release.
        out: the folder to make. One that holds this very export already is left as it is.
        request: what to export.
        images: the folder of images as `prepare` leaves it; the list of ids needs none.
        source: where the source of the images lies now, if it was moved.

    Raises:
        InputError: `out` holds something else, or the images are not those of the release.
    """
    with locks.locked(locks.of(out), f"writes {out}"):
        return _run(release, out, request, images, source)


def _run(release: Release, out: Path, request: ExportRequest, images: Path | None, source: str | None) -> int:
    data = _images(release, request, images, source)
    table = _listed(release) if data is None else export_plan.plan(release, data, test=request.test)
    about = _about(release, request, table)
    release.check_unchanged()
    if not _is_free(out, about):
        return len(table)
    plan = pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes()
    with scratch.beside(out, hashes.sha256(*map(str, about.values()), plan)[:16]) as part:
        tree, done = part / "tree", part / "done"
        for folder in (tree, done):
            folder.mkdir(exist_ok=True)
        sums = _write(tree, done, data, table, WRITERS[request.format], request.link) if data else {}
        _describe(tree, release, table, about, sums)
        disk.sync_folder(tree)
        if out.is_dir():
            out.rmdir()
        tree.rename(out)
        disk.sync(out.absolute().parent)
    return len(table)


def _images(release: Release, request: ExportRequest, images: Path | None, source: str | None) -> Dataset | None:
    """The images, where they are needed."""
    if request.format == "ids":
        return None
    try:
        data = release_images.find(release, images, source)
    except release_images.NotNamedError as error:
        raise InputError(f"the images were not opened: {error}. --format ids needs no images") from error
    if data is None:
        raise InputError(f"{release.images} {release_images.NONE}")
    if data.lost:
        raise InputError(
            f"the source of the images, {one_line(data.source)}, has moved or gone; name where it lies now with "
            "--source. --format ids needs no images"
        )
    return data


def _listed(release: Release) -> pd.DataFrame:
    """What was kept, in the order of the ids."""
    kept = release.scores[release.scores["selected"]].sort_values("id")
    return kept[["id", "label", "class_name"]].assign(split="train", file="")


def _about(release: Release, request: ExportRequest, table: pd.DataFrame) -> dict[str, object]:
    """What is exported, as it is written to export.json: the same for the same export."""
    return {
        "name": release.manifest.name,
        "manifest_sha256": release.fingerprint,
        "format": request.format,
        "samples": len(table),
        "splits": sorted(table["split"].unique(), reverse=True),
    }


def _is_free(out: Path, about: dict[str, object]) -> bool:
    """Whether `out` is to be made; not where it holds this export already, whole."""
    if out.is_mount():
        raise InputError(f"--out {out} is a mount point, and cannot be replaced; name a folder in it")
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return True
    known = out / "export.json"
    if _read(known) == about:
        if fault := _fault(out):
            raise InputError(
                f"--out {out} is this export, but {fault} is not as it was written; remove {out}, and the "
                "same command makes it again"
            )
        return False
    raise InputError(f"--out {out} exists and is not this export; name another place, or remove it first")


def _read(path: Path) -> object:
    """What a JSON file holds; None where there is none, or power was lost before it was on the disk."""
    try:
        return read_json(path)
    except (OSError, ValueError):
        return None


def _fault(out: Path) -> str | None:
    """The first file of a finished export that its checksums do not fit; people may write into README.md."""
    try:
        lines = (out / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
        sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    except (OSError, ValueError):
        return "SHA256SUMS"
    if "samples.csv" not in sums:
        return "SHA256SUMS"
    here = {path.relative_to(out).as_posix(): path for path in out.rglob("*") if path.is_file()}
    names = sorted(sums.keys() - {"README.md"})
    return next((name for name in names if name not in here or hashes.file_sha256(here[name]) != sums[name]), None)


def _write(
    tree: Path, done: Path, data: Dataset, table: pd.DataFrame, writer: Callable[[Piece], Writer], link: Path | None
) -> dict[str, str]:
    """Write the shards that are missing, side by side; puts the file of each sample into `table`.

    Returns:
        SHA-256 by file below `tree`.
    """
    counts, shards = export_plan.counts(table), export_plan.by_shard(table)

    def open_piece(split: str, number: int) -> Writer:
        return writer(Piece(tree, split, number, counts[split], data.classes, link))

    def write(shard: str) -> Mark:
        mark = done / f"{sha256(shard.encode()).hexdigest()}.json"
        if finished := marks.read(mark, tree):
            return finished
        written = _shard(tree, data, shard, shards[shard], open_piece)
        return marks.write(mark, tree, written, note=written)

    sums: dict[str, str] = {}
    for rows, finished in zip(shards.values(), _side_by_side([partial(write, shard) for shard in shards]), strict=True):
        table.loc[rows.index, "file"] = finished.note
        sums |= finished.sums
    return sums


def _side_by_side(jobs: list[Callable[[], Mark]]) -> list[Mark]:
    """Do all jobs in threads with a progress bar; the first that fails stops those that have not begun."""
    pool = ThreadPoolExecutor(THREADS)
    try:
        futures = [pool.submit(job) for job in jobs]
        ended = as_completed(futures)
        for future in track(ended, "export", len(jobs), disable=bars.hidden(), transient=True):
            future.result()
        return [future.result() for future in futures]
    finally:
        pool.shutdown(cancel_futures=True)


def _shard(
    tree: Path, data: Dataset, shard: str, rows: pd.DataFrame, open_piece: Callable[[str, int], Writer]
) -> list[str]:
    """Write the samples of one shard; the file of each in order."""
    stored = data.of(shard)
    stored = stored[stored["id"].isin(rows["id"])]
    wanted = {row["id"]: row for row in rows.to_dict("records")}
    current: dict[str, tuple[int, Writer]] = {}  # the piece of each split that is being written
    written: list[str] = []
    for name, image in zip(stored["id"], data.read(stored), strict=True):
        row = wanted[name]
        split, number = row["split"], row["piece"]
        if split not in current or current[split][0] != number:
            if split in current:
                current[split][1].close()
            current[split] = number, open_piece(split, number)
        sample = ImageToWrite(**{field: row[field] for field in ImageToWrite.__dataclass_fields__})
        written.append(current[split][1].add(sample, image).relative_to(tree).as_posix())
    for _, piece in current.values():
        piece.close()
    return written


def _describe(
    tree: Path, release: Release, table: pd.DataFrame, about: dict[str, object], sums: dict[str, str]
) -> None:
    """Write what stands beside the images: lists, a README, and the checksums of everything."""
    if about["format"] == "ids":
        (tree / "ids.txt").write_text("".join(f"{name}\n" for name in table["id"]), encoding="utf-8")
        table = table.drop(columns="file")
    listed = table[[column for column in LISTED if column in table]]
    listed.to_csv(tree / "samples.csv", index=False, lineterminator="\n")
    write_json(tree / "classes.json", release.classes)
    write_json(tree / "export.json", about)
    text = pages.render("export.md.jinja", about | {"classes": len(release.classes)})
    (tree / "README.md").write_text(text, encoding="utf-8")
    lists = ("README.md", "classes.json", "export.json", "ids.txt", "samples.csv")
    sums = sums | {name: hashes.file_sha256(tree / name) for name in lists if (tree / name).exists()}
    lines = [f"{digest}  {name}\n" for name, digest in sorted(sums.items())]
    (tree / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")
