"""An export is read by the libraries that people use, is whole, and is the same bytes however often it broke off."""

import io
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torchvision
from PIL import Image, PngImagePlugin
from support import PARAMETERS, encoded
from typer.testing import CliRunner

from winnow.cli.main import app
from winnow.errors import InputError
from winnow.files.json_files import read_json, write_json
from winnow.images import prepare
from winnow.releases import assemble, export, export_formats, export_plan, manifest
from winnow.releases.export import ExportRequest
from winnow.sources import Source, open_source

FORMATS = ["ids", "imagefolder", "webdataset", "parquet"]


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a split have several pieces."""
    monkeypatch.setattr(export_plan, "SAMPLES", 5)


def made(released: Path, out: Path, form: str, **more: Any) -> Path:
    export.run(manifest.load(released), out, ExportRequest(form, **more))
    return out


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def example(out: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the example in the export's README makes of it."""
    code = re.search(r"```python\n(.*?)```", (out / "README.md").read_text(), re.DOTALL)
    assert code
    monkeypatch.chdir(out)
    known: dict[str, Any] = {}
    exec(code[1], known)  # noqa: S102 the example is what is tested
    return known["data"]


def sha256sum(out: Path) -> int:
    return subprocess.run(["sha256sum", "--strict", "--quiet", "-c", "SHA256SUMS"], cwd=out, check=False).returncode


def kept(released: Path) -> pd.DataFrame:
    table = manifest.load(released).scores
    return table[table["selected"]]


@pytest.mark.parametrize("form", FORMATS)
def test_an_export_is_whole_by_sha256sum_and_lists_what_was_kept(released: Path, workdir: Path, form: str) -> None:
    out = made(released, workdir / "out", form)
    assert sha256sum(out) == 0
    listed = {line.split("  ", 1)[1] for line in (out / "SHA256SUMS").read_text().splitlines()}
    assert listed == set(contents(out)) - {"SHA256SUMS"}
    samples, expected = pd.read_csv(out / "samples.csv"), kept(released)
    assert set(zip(samples["id"], samples["label"], samples["class_name"], strict=True)) == set(
        zip(expected["id"], expected["label"], expected["class_name"], strict=True)
    )
    assert form == "ids" or all((out / file).is_file() for file in samples["file"])
    assert sorted(path.name for path in workdir.iterdir() if "part" in path.name) == []


@pytest.mark.parametrize("form", FORMATS)
def test_two_exports_are_the_same_bytes(released: Path, workdir: Path, form: str) -> None:
    assert contents(made(released, workdir / "one", form)) == contents(made(released, workdir / "two", form))


def test_ids_are_those_of_the_release(released: Path, workdir: Path) -> None:
    out = made(released, workdir / "out", "ids")
    assert (out / "ids.txt").read_bytes() == (released / "ids.txt").read_bytes()


def test_torchvision_reads_an_image_folder(released: Path, workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = example(made(released, workdir / "out", "imagefolder"), monkeypatch)
    assert len(data) == 16
    assert {data.classes[label] for _, label in data} == set(kept(released)["class_name"])
    assert data[0][0].size == (24, 20)


def test_webdataset_reads_tar_files(released: Path, workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = made(released, workdir / "out", "webdataset")
    assert sorted(path.name for path in out.glob("*.tar")) == [f"train-{i:06d}.tar" for i in range(4)]
    data = list(example(out, monkeypatch))
    assert sorted(label for _, label in data) == sorted(kept(released)["label"])
    assert {image.size for image, _ in data} == {(24, 20)}


def test_the_datasets_library_reads_parquet(released: Path, workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(workdir / "hub"))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", workdir / "hub")
    data = example(made(released, workdir / "out", "parquet"), monkeypatch)
    assert len(data) == 16
    assert data.features["label"].names == ["blue", "green", "red"]
    assert sorted(data["id"]) == sorted(kept(released)["id"])
    assert data[0]["image"].size == (24, 20)


@pytest.mark.parametrize("form", ["imagefolder", "parquet"])
def test_prepare_reads_an_export_with_its_held_out_images(released: Path, workdir: Path, form: str) -> None:
    subset = released.parent / "optimize/subset.parquet"
    pd.read_parquet(subset).assign(selected=True, reason="").to_parquet(subset, index=False)
    assemble.run(released.parent, released, name="photos", parameters=PARAMETERS)
    source = open_source(made(released, workdir / "out", form, test=True))
    assert source.table["split"].value_counts().to_dict() == {"train": 24, "test": 6}
    assert source.classes == ["blue", "green", "red"]
    assert len(encoded(source)) == 30


def test_images_are_the_bytes_that_were_prepared(released: Path, workdir: Path) -> None:
    out = made(released, workdir / "out", "imagefolder")
    samples = pd.read_csv(out / "samples.csv").set_index("id")["file"]
    for name, file in samples.items():
        assert (out / file).read_bytes() == (released.parents[1] / "originals" / str(name)).read_bytes()


def test_files_are_linked_where_they_agree(released: Path, workdir: Path) -> None:
    library = Path(shutil.copytree(released.parents[1] / "originals", workdir / "library"))
    (library / "red/1.png").write_bytes(b"edited since")
    out = made(released, workdir / "out", "imagefolder", link=library)
    linked = {path.name for path in (out / "train/red").iterdir() if path.samefile(library / "red" / path.name)}
    copied = {path.name for path in (out / "train/red").iterdir()} - linked
    assert copied <= {"1.png"}
    assert len(linked) >= 7
    assert (library / "red/1.png").read_bytes() == b"edited since"
    assert contents(out) == contents(made(released, workdir / "copies", "imagefolder"))


def test_an_export_that_is_there_is_left_and_anything_else_is_refused(released: Path, workdir: Path) -> None:
    out = made(released, workdir / "out", "imagefolder")
    (out / "README.md").write_text("mine")
    made(released, out, "imagefolder")
    assert (out / "README.md").read_text() == "mine"
    with pytest.raises(InputError, match="exists and is not this export"):
        made(released, out, "parquet")


@pytest.mark.parametrize("form", ["imagefolder", "webdataset"])
def test_a_killed_export_goes_on_and_ends_with_the_same_bytes(released: Path, workdir: Path, form: str) -> None:
    many_shards(released)
    whole = contents(made(released, workdir / "whole", form))
    code = SLOWLY.format(form=form)
    with subprocess.Popen([sys.executable, "-c", code], cwd=workdir, env=os.environ) as process:
        until(lambda: len(list(workdir.glob(".out.*.part/done/*.json"))) >= 2)
        process.send_signal(signal.SIGKILL)
    assert not (workdir / "out").exists()
    before = {path: path.stat().st_mtime_ns for path in workdir.glob(".out.*.part/done/*.json")}
    assert 2 <= len(before) < 6
    (part,) = workdir.glob(".out.*.part")
    assert contents(made(released, workdir / "out", form)) == whole
    assert not part.exists()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def garbage(path: Path) -> None:
    path.write_text("[1]")


@pytest.mark.parametrize("kind", ["tree/*.tar", "done/*.json"])
def test_a_killed_export_whose_last_writes_were_lost_ends_with_the_same_bytes(
    released: Path, workdir: Path, kind: str
) -> None:
    """As when power was lost: files that are there, with nothing, half or zeros in them."""
    many_shards(released)
    whole = contents(made(released, workdir / "whole", "webdataset"))
    with subprocess.Popen([sys.executable, "-c", SLOWLY.format(form="webdataset")], cwd=workdir, env=os.environ) as run:
        until(lambda: len(list(workdir.glob(".out.*.part/done/*.json"))) >= 4)
        run.send_signal(signal.SIGKILL)
    (part,) = workdir.glob(".out.*.part")
    spoilt = sorted(part.glob(kind))[:4]
    for path, spoil in zip(spoilt, [empty, halve, zero, garbage], strict=True):
        spoil(path)
    assert contents(made(released, workdir / "out", "webdataset")) == whole
    assert not part.exists()


@pytest.mark.parametrize("spoil", [empty, zero, Path.unlink])
@pytest.mark.parametrize("name", ["train-000001.tar", "samples.csv", "SHA256SUMS", "export.json"])
def test_a_finished_export_that_was_damaged_does_not_pass_for_whole(
    released: Path, workdir: Path, name: str, spoil: Any
) -> None:
    out = made(released, workdir / "out", "webdataset")
    spoil(out / name)
    with pytest.raises(InputError) as refusal:
        made(released, out, "webdataset")
    words = "is not this export" if name == "export.json" else f"but {name} is not as it was written; remove {out}"
    assert words in str(refusal.value)


def test_what_a_killed_export_of_another_form_left_is_removed(released: Path, workdir: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", SLOWLY.format(form="parquet")], cwd=workdir, env=os.environ) as run:
        until(lambda: list(workdir.glob(".out.*.part/done/*.json")))
        run.send_signal(signal.SIGKILL)
    (left,) = workdir.glob(".out.*.part")
    (workdir / ".out.mine.part").mkdir()
    made(released, workdir / "out", "webdataset")
    assert not left.exists()
    assert sorted(path.name for path in workdir.glob(".out.*")) == [".out.mine.part"]


SLOWLY = """
import time
from pathlib import Path
from winnow.images import dataset
from winnow.releases import export, export_plan, manifest
export.THREADS, export_plan.SAMPLES = 1, 5
read = dataset.Dataset.read
dataset.Dataset.read = lambda self, rows: (time.sleep(0.02) or image for image in read(self, rows))
export._describe = lambda *_: time.sleep(60)  # it is killed before the export is whole
export.run(manifest.load(Path("data/release")), Path("out"), export.ExportRequest("{form}"))
"""


def until(condition: Any) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("waited in vain")


def many_shards(released: Path) -> None:
    """Spread the images over six shards."""
    path = released.parent / "prepare/images/index.parquet"
    index = pd.read_parquet(path)
    index.assign(shard=[f"{row // 5:05d}" for row in index.index], row=index.index % 5).to_parquet(path, index=False)


def test_a_link_of_a_broken_off_export_is_never_written_through(released: Path, workdir: Path) -> None:
    originals = released.parents[1] / "originals"
    victim = originals / "red/2.png"
    before = victim.read_bytes()
    piece = export_formats.Piece(workdir / "tree", "train", 0, 1, ["red"], None)
    (workdir / "tree/train/red").mkdir(parents=True)
    os.link(victim, workdir / "tree/train/red/2.png")
    export_formats.ImageFolder(piece).add(
        export_formats.ImageToWrite("red/2.png", 0, "red", "red", "2.png", "0"), b"other"
    )
    assert victim.read_bytes() == before


def test_a_name_without_a_suffix_gets_one_whatever_stands_beside_the_picture(workdir: Path) -> None:
    image, text, file = Image.new("RGB", (8, 8)), PngImagePlugin.PngInfo(), io.BytesIO()
    text.add_text("workflow", "x" * 3_000_000, zip=True)
    image.save(file, "PNG", pnginfo=text)
    piece = export_formats.Piece(workdir / "tree", "train", 0, 1, ["red"], None)
    sample = export_formats.ImageToWrite("red/2", 0, "red", "red", "2", "0")
    assert export_formats.ImageFolder(piece).add(sample, file.getvalue()).name == "2.png"


HOSTILE = ["../x", "a/b", "<script>alert(1)</script>", "..", "", "con:", "A", "a", "é\n", "x" * 300]


@pytest.fixture
def hostile(photo_stages: Path, workdir: Path, image_folder: Path) -> Path:
    """Give a release whose classes and ids have names to beware of."""
    photos, n = open_source(image_folder), 30
    names = [f"{'<b>' if i % 2 else 'up'}/{i % 3}" + (f"/{i}/same.png" if i < 20 else f"/{i}/plain") for i in range(n)]
    table = photos.table.assign(id=names, label=np.arange(n) % len(HOSTILE), split="train")
    source = Source(photos.base, HOSTILE, table)
    data = workdir / "data"
    (workdir / "params.yaml").write_text(f"prepare: {{source: {photos.base}}}\n")
    prepare.run(source, data / "prepare", test_share=0.1, max_rejected=0, wrong_labels=0, damaged=0, seed=0)
    pool = pd.read_parquet(data / "prepare/images/index.parquet").query("split == 'train'")
    scores = pd.read_parquet(photo_stages / "optimize/subset.parquet").iloc[:1]
    scores = scores.loc[scores.index.repeat(len(pool))].reset_index(drop=True)
    scores = scores.assign(id=list(pool["id"]), label=list(pool["label"]), selected=True, predicted=2, reason="")
    scores = scores.assign(class_name=[HOSTILE[label] for label in scores["label"]])
    for stage in ("embed", "adapt", "score", "evaluate", "optimize"):
        (data / stage).mkdir()
        for file in (photo_stages / stage).iterdir():
            (data / stage / file.name).write_bytes(file.read_bytes())
    scores.to_parquet(data / "optimize/subset.parquet", index=False)
    assemble.run(data, data / "release", name="photos", parameters=PARAMETERS)
    return data / "release"


def test_names_to_beware_of_do_no_harm(hostile: Path, workdir: Path) -> None:
    before = set(workdir.iterdir())
    for form in FORMATS:
        out = made(hostile, workdir / form, form)
        for path in out.rglob("*"):
            assert not set(path.name) & set('<>:"\\|?*\n')
            assert path.name[0] not in ". "
        checked = subprocess.run(
            ["sha256sum", "--strict", "-c", "SHA256SUMS"], cwd=out, capture_output=True, check=False
        )
        assert checked.returncode == 0, checked.stdout
        assert read_json(out / "classes.json") == HOSTILE
        assert "<script>" not in (out / "README.md").read_text()
    assert set(workdir.iterdir()) - before == {workdir / form for form in FORMATS}


def test_classes_and_files_with_names_to_beware_of_stay_apart(hostile: Path, workdir: Path) -> None:
    out = made(hostile, workdir / "out", "imagefolder")
    data = torchvision.datasets.ImageFolder(out / "train")
    assert len(data.classes) == len(HOSTILE)
    assert len(data) == len(pd.read_csv(out / "samples.csv")) == len((hostile / "ids.txt").read_text().splitlines())


def mistakes(released: Path) -> Iterator[tuple[str, str]]:
    """Each mistake that is made, and a word of the message."""
    index = released.parent / "prepare/images/index.parquet"
    originals = released.parents[1] / "originals"
    moved = originals.rename(originals.with_name("moved"))
    yield "the source has moved", "originals, has moved or gone; name where it lies now with --source"
    moved.rename(originals)
    table = pd.read_parquet(index)
    table.query("id != 'red/1.png'").to_parquet(index, index=False)
    yield "an id is gone", "'red/1.png' first"
    table.assign(sha256="0" * 64).to_parquet(index, index=False)
    yield "other images", "another image for 16 ids"
    table.assign(label=1).to_parquet(index, index=False)
    yield "other labels", "another label for 16 ids"
    table.to_parquet(index, index=False)
    write_json(index.with_name("classes.json"), ["a", "b", "c"])
    yield "other classes", "other classes than the release"
    index.unlink()
    yield "no images", "holds no images"


def test_images_that_are_not_those_of_the_release_are_refused(released: Path, workdir: Path) -> None:
    for mistake, word in mistakes(released):
        with pytest.raises(InputError, match=word):
            made(released, workdir / "out", "parquet")
        assert not (workdir / "out").exists(), mistake
        assert made(released, workdir / mistake, "ids").is_dir(), "the list needs no images"


def test_a_changed_image_is_named_and_nothing_is_left(released: Path, workdir: Path) -> None:
    for path in (released.parents[1] / "originals").rglob("*.png"):
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(InputError, match=r"the image .*png has changed since it was prepared"):
        made(released, workdir / "out", "webdataset")
    assert not (workdir / "out").exists()


def test_the_command_exports(released: Path, workdir: Path) -> None:
    done = CliRunner().invoke(app, ["export", str(released), "--format", "webdataset", "--out", "place/out"])
    assert done.exit_code == 0, done.output
    assert "16 samples as webdataset" in done.output
    wrong = CliRunner().invoke(app, ["export", str(released), "--format", "parquet", "--out", "x", "--link", "y"])
    assert (wrong.exit_code, Path("x").exists()) == (2, False)


@pytest.mark.parametrize(("form", "words"), [("torch", "'imagefolder', 'webdataset', 'parquet'"), ("tar", "'ids', ")])
def test_a_format_that_there_is_not_is_refused_with_those_that_there_are(
    released: Path, workdir: Path, form: str, words: str
) -> None:
    done = CliRunner().invoke(app, ["export", str(released), "--format", form, "--out", "x"])
    assert (done.exit_code, Path("x").exists()) == (2, False)
    assert words in done.stderr
