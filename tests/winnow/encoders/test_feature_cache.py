"""A run killed at any moment, and often, ends with the bytes of one that was not; new images alone are encoded."""

import multiprocessing
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from winnow.encoders import embed, feature_cache
from winnow.encoders.embed import EmbedJob
from winnow.encoders.encoder import Checkpoint, opened
from winnow.encoders.feature_cache import FeatureCache
from winnow.files import scratch
from winnow.images import dataset, decoding, prepare
from winnow.images.dataset import Dataset
from winnow.sources import open_source

PROMPTS, BATCH, KILLS = ["a {}"], 1, 10  # three times as many batches as kills: work is left for each of them


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], int]:
    """Count the batches that are begun, in this process and in those it starts."""
    log, real = tmp_path / "log", embed._encode

    def encode(*how: object) -> np.ndarray:
        with log.open("ab") as file:
            file.write(b".")
        time.sleep(0.05)
        return real(*how)  # type: ignore[arg-type]

    monkeypatch.setattr(embed, "_encode", encode)
    return lambda: log.stat().st_size if log.exists() else 0


def run(images: Dataset, encoder: Path, out: Path) -> dict[str, bytes]:
    work = EmbedJob(images.folder, Checkpoint("local-dir", encoder), BATCH)
    embed.run_encoder(work, out, PROMPTS, images.folder / "classes.json", device="cpu")
    return {path.name: path.read_bytes() for path in out.iterdir()}


def batches(images: Dataset) -> int:
    return sum(-(-n // BATCH) for n in images.index["shard"].value_counts())


def test_killed_at_ten_moments_the_bytes_are_the_same(
    images: Dataset, encoder: Path, workdir: Path, encoded: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(Checkpoint("local-dir", encoder), "cpu")  # so that what is killed is at work
    decoding._kept.cache_clear()  # threads do not go with a fork
    fork = multiprocessing.get_context("fork")
    work, rng = workdir / "other", np.random.default_rng(0)
    work.mkdir()
    with monkeypatch.context() as patch:
        patch.chdir(work)
        for _ in range(KILLS):
            begun, wanted = encoded(), rng.integers(0, 2)
            process = fork.Process(target=run, args=(images, encoder, work / "out"))
            process.start()
            while process.is_alive() and encoded() <= begun + wanted:
                time.sleep(0.002)
            time.sleep(rng.random() * 0.03)
            process.kill()
            process.join()
            assert not (work / "out").exists()
        killed = run(images, encoder, work / "out")
    assert batches(images) <= encoded() <= batches(images) + KILLS
    assert killed == run(images, encoder, workdir / "out")


def test_new_images_alone_are_encoded(
    images: Dataset, encoder: Path, workdir: Path, image_folder: Path, encoded: Callable[[], int]
) -> None:
    before = run(images, encoder, workdir / "one")
    begun = encoded()
    for name in ("0", "5", "9"):  # in the midst of the others
        (image_folder / "green" / f"{name}a.png").write_bytes(changed(image_folder / "green" / f"{name}.png"))
    prepare.run(
        open_source(image_folder), workdir / "in", test_share=0.2, max_rejected=0, wrong_labels=0.2, damaged=0, seed=0
    )
    more = dataset.load(workdir / "in/images")
    kept = run(more, encoder, workdir / "two")
    assert encoded() - begun <= 3
    assert kept != before
    shutil.rmtree(".winnow")
    assert run(more, encoder, workdir / "three") == kept  # rows do not depend on the batch they were encoded in


def changed(path: Path) -> bytes:
    import io

    from PIL import Image, ImageOps

    file = io.BytesIO()
    ImageOps.flip(Image.open(path)).save(file, "PNG")
    return file.getvalue()


def test_only_the_last_run_is_kept(images: Dataset, encoder: Path, workdir: Path) -> None:
    (workdir / ".winnow/embed/other/last").mkdir(parents=True)
    run(images, encoder, workdir / "out")
    (kept,) = (workdir / ".winnow/embed").glob("*/*")
    assert sorted(path.name for path in kept.iterdir()) == ["mark.json", "rows.npy", "sha256.parquet"]
    assert np.load(kept / "rows.npy").shape == (30, 64)


def test_a_run_killed_after_its_rows_were_kept_ends_as_it_would_have(
    images: Dataset, encoder: Path, workdir: Path, monkeypatch: pytest.MonkeyPatch, encoded: Callable[[], int]
) -> None:

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(embed, "_write", stop)
        with pytest.raises(KeyboardInterrupt):
            run(images, encoder, workdir / "out")
    begun = encoded()
    again = run(images, encoder, workdir / "out")
    assert encoded() == begun
    shutil.rmtree(scratch.SCRATCH)
    assert run(images, encoder, workdir / "other") == again


def test_half_a_batch_is_written_again_and_a_finished_shard_is_not(workdir: Path) -> None:
    cache, values = FeatureCache("e", "i", 3), np.arange(30, dtype=np.float16).reshape(10, 3)
    cache.folder.mkdir(parents=True)
    encode(cache, values, 0)
    for cut, begins in ((0, 0), (5, 4), (8, 8), (10, 10)):
        (cache.folder / "a.rows").write_bytes(values.tobytes()[: cut * 6 + (cut == 5)])
        assert cache.begun("a", 4, 10) == begins
        encode(cache, values, begins)
        assert (cache.folder / "a.rows").read_bytes() == values.tobytes()
    assert cache.done() == cache.done(["a", "b"]) == 10
    assert feature_cache.CHUNK > 1


def encode(cache: FeatureCache, values: np.ndarray, begins: int) -> None:
    """Write ten rows from a place on, four at a time."""
    with cache.append("a") as write:
        for first in range(begins, 10, 4):
            write(first, values[first : first + 4])


@pytest.mark.parametrize(
    ("name", "spoil", "begins"),
    [
        ("a.rows", lambda data: data[:24] + bytes(24) + data[48:], 4),  # a batch whose bytes never came to the disk
        ("a.rows", lambda data: bytes(len(data)), 0),
        ("a.rows", lambda data: b"", 0),
        ("a.sums", lambda data: b"", 0),
        ("a.sums", lambda data: data[:-10], 8),
        ("a.sums", lambda data: data[:-30] + bytes(30), 8),
        ("a.sums", lambda data: b"garbage\n" + data, 10),
    ],
)
def test_rows_that_were_lost_are_encoded_again(
    workdir: Path, name: str, spoil: Callable[[bytes], bytes], begins: int
) -> None:
    cache, values = FeatureCache("e", "i", 3), np.arange(1, 31, dtype=np.float16).reshape(10, 3)
    cache.folder.mkdir(parents=True)
    encode(cache, values, 0)
    assert cache.begun("a", 4, 10) == 10
    path = cache.folder / name
    path.write_bytes(spoil(path.read_bytes()))
    assert cache.begun("a", 4, 10) == begins
    encode(cache, values, begins)
    assert cache.begun("a", 4, 10) == 10
    assert (cache.folder / "a.rows").read_bytes() == values.tobytes()


@pytest.mark.parametrize("spoilt", ["mark.json", "rows.npy", "sha256.parquet", "todo"])
def test_what_the_last_run_kept_is_not_trusted_where_it_was_lost(
    images: Dataset, encoder: Path, workdir: Path, image_folder: Path, spoilt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(images, encoder, workdir / "one")
    (image_folder / "green/5.png").write_bytes(changed(image_folder / "green/5.png"))
    prepare.run(
        open_source(image_folder), workdir / "in", test_share=0.2, max_rejected=0, wrong_labels=0.2, damaged=0, seed=0
    )
    more = dataset.load(workdir / "in/images")
    with monkeypatch.context() as patch:
        patch.setattr(FeatureCache, "close", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        patch.setattr(embed, "_encode", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run(more, encoder, workdir / "two")
    (last,) = (workdir / ".winnow/embed").glob("*/last")
    paths = [last / spoilt] if spoilt != "todo" else list(last.parent.glob("*/*.todo.npy"))
    assert paths
    for path in paths:
        path.write_bytes(bytes(path.stat().st_size))
    again = run(more, encoder, workdir / "two")
    shutil.rmtree(scratch.SCRATCH)
    assert run(more, encoder, workdir / "three") == again != whole
