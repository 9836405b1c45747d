"""Preparation stores every readable image, sets the others aside with the reason, and plants what it says."""

import hashlib
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, features

from winnow import budget, corrections
from winnow.errors import InputError
from winnow.files.json_files import read_json
from winnow.images import copies, dataset, decoding, held_out, prepare, screen
from winnow.sources import Source, open_source
from winnow.sources.base import listed

DEFAULTS = {"test_share": 0.2, "max_rejected": 0.2, "wrong_labels": 0.0, "damaged": 0.0, "seed": 0}


def run(source: Source | Path, out: Path, **changed: float) -> Path:
    opened = open_source(source) if isinstance(source, Path) else source
    prepare.run(opened, out, **(DEFAULTS | changed))  # type: ignore[arg-type]
    return out


def quarantine(out: Path) -> dict[str, str]:
    table = pd.read_parquet(out / "quarantine.parquet")
    return dict(zip(table["id"], table["reason"], strict=True))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_index_describes_every_image(workdir: Path, image_folder: Path) -> None:
    index = dataset.load(run(image_folder, workdir / "out") / "images").index
    assert list(index.columns) == prepare.INDEX
    assert len(index) == 30
    assert set(zip(index["width"], index["height"], strict=True)) == {(24, 20)}
    hashes = [hashlib.sha256((image_folder / name).read_bytes()).hexdigest() for name in index["id"]]
    assert index["sha256"].tolist() == hashes


def test_an_equal_share_of_each_class_is_held_out(workdir: Path, image_folder: Path) -> None:
    index = dataset.load(run(image_folder, workdir / "out") / "images").index
    assert index.query("split == 'test'")["label"].value_counts().to_dict() == {0: 2, 1: 2, 2: 2}


def test_a_split_that_the_source_names_is_kept(workdir: Path, image_folder: Path) -> None:
    (workdir / "both").mkdir()
    for split in ("train", "test"):
        (workdir / "both" / split).symlink_to(image_folder)
    source = open_source(workdir / "both", follow_links=True)
    index = dataset.load(run(source, workdir / "out") / "images").index
    assert (index["split"] == index["id"].str.split("/").str[0]).all()


@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    share=st.floats(0.05, 0.6),
    seed=st.integers(0, 99),
    added=st.integers(0, 20),
)
def test_held_out_shares_are_exact_and_hold_still_when_images_are_added(
    sizes: list[int], share: float, seed: int, added: int
) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    ids = [f"{label}/{row}" for row, label in enumerate(labels)]
    chosen = held_out.choose(ids, labels, len(sizes), share, seed)
    counts = np.bincount(labels[chosen], minlength=len(sizes))
    split = budget.shares(np.array(sizes), round(share * len(labels)), "proportional")
    assert (counts == np.minimum(split, np.array(sizes) - 1)).all()

    order = np.random.default_rng(seed).permutation(len(ids))
    again = held_out.choose([ids[i] for i in order], labels[order], len(sizes), share, seed)
    assert (again == chosen[order]).all()

    more, their = [*ids, *(f"new/{i}" for i in range(added))], np.append(labels, np.zeros(added, int))
    later = held_out.choose(more, their, len(sizes), share, seed)
    for label in range(len(sizes)):
        then = {i for i, c in zip(ids, chosen, strict=True) if c and labels[ids.index(i)] == label}
        now = {i for i, c, own in zip(more, later, their, strict=True) if c and own == label}
        old = [i for i in now if not i.startswith("new/")]
        # Who is held out of a class before and after are a beginning of the same order.
        assert then <= set(old) or set(old) <= then


def test_one_image_of_each_class_stays_in_the_pool(workdir: Path, image_folder: Path) -> None:
    index = dataset.load(run(image_folder, workdir / "out", test_share=0.99) / "images").index
    assert index.query("split == 'train'")["label"].value_counts().to_dict() == {0: 1, 1: 1, 2: 1}


def test_unreadable_images_are_set_aside_with_the_reason(workdir: Path, image_folder: Path) -> None:
    blue = image_folder / "blue"
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8))
    photo.save(blue / "cut.jpg")
    (blue / "cut.jpg").write_bytes((blue / "cut.jpg").read_bytes()[:900])
    (blue / "empty.png").write_bytes(b"")
    (blue / "text.png").write_text("no image at all")
    photo.convert("CMYK").save(blue / "print.jpg")
    out = run(image_folder, workdir / "out", max_rejected=0.1)
    reasons = quarantine(out)
    assert set(reasons) == {"blue/cut.jpg", "blue/empty.png", "blue/text.png"}
    assert reasons["blue/empty.png"] == "empty"
    assert "truncated" in reasons["blue/cut.jpg"]
    assert reasons["blue/text.png"] == "text, not an image"
    index = dataset.load(out / "images").index
    assert "blue/print.jpg" in set(index["id"])
    assert len(index) == 31
    assert len(list(dataset.load(out / "images").all_images())) == 31


def test_duplicates_are_reported_and_dropped_by_choice(workdir: Path, image_folder: Path) -> None:
    same = (image_folder / "red/0.png").read_bytes()
    (image_folder / "red/copy.png").write_bytes(same)
    (image_folder / "blue/0.png").write_bytes((image_folder / "green/0.png").read_bytes())
    (workdir / "ids.txt").write_text("red/9.png\ngreen/9.png\nblue/9.png\n")
    source = open_source(image_folder, held_out=str(workdir / "ids.txt"))
    kept = dataset.load(run(source, workdir / "kept") / "images").index
    table = pd.read_parquet(workdir / "kept/duplicates.parquet")
    assert dict(zip(table["id"], table["conflict"], strict=True)) == {
        "blue/0.png": True,
        "green/0.png": True,
        "red/0.png": False,
        "red/copy.png": False,
    }
    out = run(source, workdir / "dropped", drop=["duplicates"])
    assert quarantine(out) == {
        "blue/0.png": "duplicate with another label",
        "green/0.png": "duplicate with another label",
        "red/copy.png": "duplicate",
    }
    assert set(dataset.load(out / "images").index["id"]) == set(kept["id"]) - set(quarantine(out))
    (workdir / "corrections.csv").write_text("id,decision,label\nred/copy.png,keep,\n")
    how = DEFAULTS | {"drop": ["duplicates"], "corrections": workdir / "corrections.csv"}
    prepare.run(source, workdir / "confirmed", **how)  # type: ignore[arg-type]
    assert set(quarantine(workdir / "confirmed")) == {"blue/0.png", "green/0.png"}, "a person has the last word"


def test_flaws_are_reported_and_dropped_by_choice(workdir: Path, image_folder: Path) -> None:
    for name in ("red/0.png", "red/1.png"):
        Image.new("RGB", (64, 64), "black").save(image_folder / name)
    (workdir / "ids.txt").write_text("red/1.png\ngreen/9.png\nblue/9.png\n")
    source = open_source(image_folder, held_out=str(workdir / "ids.txt"))
    quality = pd.read_parquet(run(source, workdir / "kept") / "quality.parquet").set_index("id")
    assert quality.index[quality["low_information"]].tolist() == ["red/0.png", "red/1.png"]
    out = run(source, workdir / "dropped", drop=["low_information"])
    assert quarantine(out) == {"red/0.png": "low information"}  # what is held out stays
    assert "red/0.png" not in set(pd.read_parquet(out / "quality.parquet")["id"])


def test_processes_find_what_threads_find(workdir: Path, image_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (image_folder / "blue/text.png").write_text("no image at all")
    run(image_folder, workdir / "threads", damaged=0.2)
    monkeypatch.setattr(decoding, "FEW", 0)
    monkeypatch.setattr(screen, "CHUNK", 7)
    run(image_folder, workdir / "processes", damaged=0.2)
    assert contents(workdir / "threads") == contents(workdir / "processes")


def test_reasons_hold_no_address_that_changes_from_run_to_run(workdir: Path, image_folder: Path) -> None:
    (image_folder / "blue/text.png").write_text("no image at all")
    one, two = (run(image_folder, workdir / name) for name in ("one", "two"))
    assert contents(one) == contents(two)


def test_an_image_too_large_to_be_honest_is_set_aside(
    workdir: Path, image_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    Image.new("RGB", (60, 60)).save(image_folder / "red/bomb.png")
    reasons = quarantine(run(image_folder, workdir / "out"))
    assert reasons == {"red/bomb.png": "its 3,600 pixels exceed the limit of 1,000"}


def test_too_many_unreadable_images_stop_the_run_and_leave_the_old_result(workdir: Path, image_folder: Path) -> None:
    before = contents(run(image_folder, workdir / "out"))
    for i in range(4):
        (image_folder / f"red/{i}.png").write_text("no image")
    with pytest.raises(InputError, match=r"(?s)prepare\.max_rejected = 10\.0% of the 30 images.*red/0\.png: .*repair"):
        run(image_folder, workdir / "out", max_rejected=0.1)
    assert contents(workdir / "out") == before


def test_a_class_left_without_a_readable_image_is_named(workdir: Path, image_folder: Path) -> None:
    for path in (image_folder / "green").iterdir():
        path.write_text("no image")
    with pytest.raises(InputError, match="class 'green' has no readable image"):
        run(image_folder, workdir / "out", max_rejected=0.5)
    assert not (workdir / "out").exists()


def test_planted_faults_are_told_in_the_truth_alone(workdir: Path, image_folder: Path) -> None:
    out = run(image_folder, workdir / "out", wrong_labels=0.25, damaged=0.25)
    index, truth = (
        dataset.load(out / "images").index.set_index("id"),
        pd.read_parquet(out / "truth.parquet").set_index("id"),
    )
    said = index.index.str.split("/").str[0].map({"blue": 0, "green": 1, "red": 2})
    wrong = set(index.index[said != index["label"]])
    changed = {
        i for i, h in index["sha256"].items() if h != hashlib.sha256((image_folder / str(i)).read_bytes()).hexdigest()
    }
    assert (len(wrong), len(changed)) == (6, 6)
    assert set(truth.index) == wrong | changed
    assert set(truth.index[truth["damage"] != ""]) == changed
    assert (truth["true_label"] == pd.Series(said, index.index).loc[truth.index]).all()
    assert set(index.loc[truth.index, "split"]) == {"train"}


def test_wrong_labels_can_be_of_the_classes_that_are_mistaken(workdir: Path, image_folder: Path) -> None:
    out = run(image_folder, workdir / "out", wrong_labels=0.5, mistaken={"red": "blue"})
    truth = pd.read_parquet(out / "truth.parquet").set_index("id")
    given = dataset.load(out / "images").index.set_index("id").loc[truth.index, "label"]
    assert set(zip(truth["true_label"], given, strict=True)) == {(2, 0)}
    assert len(truth) == 4  # half of the eight that are chosen from
    with pytest.raises(InputError, match=r"prepare.mistaken: there is no class 'pink'; there are blue, green, red"):
        run(image_folder, workdir / "other", wrong_labels=0.5, mistaken={"red": "pink"})


def test_the_same_seed_gives_the_same_bytes(workdir: Path, image_folder: Path) -> None:
    one, two, other = (
        contents(run(image_folder, workdir / str(i), wrong_labels=0.2, damaged=0.2, seed=seed))
        for i, seed in enumerate((3, 3, 4))
    )
    assert one == two
    assert one["truth.parquet"] != other["truth.parquet"]


def test_images_stay_where_they_are_and_the_index_says_where(workdir: Path, image_folder: Path) -> None:
    out = run(image_folder, workdir / "out")
    index = dataset.load(out / "images").index
    assert sorted(contents(out / "images")) == ["classes.json", "index.parquet", "source.json"]
    assert (index["file"] == index["id"]).all()
    assert index["size"].tolist() == [(image_folder / name).stat().st_size for name in index["id"]]
    assert not index["copied"].any()


def test_copies_are_no_larger_than_they_may_be(
    workdir: Path, image_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "COPY_BYTES", 1)
    out = run(image_folder, workdir / "out", damaged=0.5)
    data = dataset.load(out / "images")
    copied = data.index[data.index["copied"]]
    assert copied["file"].nunique() == len(copied) == 12
    for name, image in zip(data.index["id"], data.read(data.index), strict=True):
        assert (image == (image_folder / name).read_bytes()) == (name not in set(copied["id"]))


def test_shards_are_units_of_work_in_order(workdir: Path, image_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "SHARD", 8)
    data = dataset.load(run(image_folder, workdir / "out") / "images")
    assert [len(list(data.encoded(shard))) for shard in data.shards] == [8, 8, 8, 6]
    assert data.index["row"].tolist() == [row % 8 for row in range(30)]


def spoilt(kind: str, count: int) -> list[bytes]:
    """Encode a photo and, seeded, change a few bytes of it, near the head in half of the copies; some are cut short."""
    rng, file = np.random.default_rng(0), io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (16, 16, 3)).astype(np.uint8)).save(file, kind)
    copies = []
    for i in range(count):
        data = bytearray(file.getvalue())
        for place in rng.integers(0, 60 if i % 2 else len(data), 3):
            data[place] = rng.integers(256)
        copies.append(bytes(data[: rng.integers(1, len(data))] if i % 5 == 0 else data))
    return [*copies, file.getvalue(), file.getvalue()]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", *["AVIF"] * features.check("avif")])
def test_no_damage_to_the_bytes_stops_the_run(workdir: Path, kind: str) -> None:
    images = spoilt(kind, 200)
    ids = [f"{i:03d}" for i in range(len(images))]
    table = listed(ids, [0] * 202, ["train"] * 201 + ["test"])
    out = run(Source("made here", ["photo"], table, lambda: iter(images)), workdir / "out", max_rejected=0.999)
    stored, rejected = set(dataset.load(out / "images").index["id"]), quarantine(out)
    assert stored | set(rejected) == set(ids)
    assert "200" in stored
    assert rejected
    assert all(rejected.values())


def test_a_person_has_the_last_word(workdir: Path, image_folder: Path) -> None:
    """Decisions change what they name: neither what is held out, nor what is planted elsewhere."""
    planted = {"wrong_labels": 0.3, "damaged": 0.1}
    before = run(image_folder, workdir / "before", **planted)
    index = pd.read_parquet(before / "images/index.parquet").set_index("id")
    truth = pd.read_parquet(before / "truth.parquet").set_index("id")
    wrong = truth.index[truth["true_label"] != index.loc[truth.index, "label"]][0]
    right = ["blue", "green", "red"][truth.loc[wrong, "true_label"]]
    drop = index.index[(index["split"] == "train") & ~index.index.isin(truth.index)][0]
    file = workdir / "corrections.csv"
    file.write_text(f"id,decision,label,by\n{wrong},relabel,{right},Ada\n{drop},drop,,Ada\n")
    how = DEFAULTS | planted
    prepare.run(open_source(image_folder), workdir / "after", **how, corrections=file)  # type: ignore[arg-type]
    after = pd.read_parquet(workdir / "after/images/index.parquet").set_index("id")
    assert set(index.index) - set(after.index) == {drop}
    rest, columns = after.index.drop(wrong), ["label", "split", "sha256"]
    pd.testing.assert_frame_equal(after.loc[rest, columns], index.loc[rest, columns])
    assert after.loc[wrong, "label"] == truth.loc[wrong, "true_label"]
    still = pd.read_parquet(workdir / "after/truth.parquet").set_index("id")
    assert (still["true_label"] != after.loc[still.index, "label"]).sum() == 6
    applied = pd.read_parquet(workdir / "after/corrections.parquet")
    assert applied[["id", "decision", "by"]].to_numpy().tolist() == [[wrong, "relabel", "Ada"], [drop, "drop", "Ada"]]
    assert sum(1 for _ in dataset.load(workdir / "after/images").all_images()) == len(after)


def test_decisions_about_held_out_images_count_too(workdir: Path, image_folder: Path) -> None:
    index = pd.read_parquet(run(image_folder, workdir / "before") / "images/index.parquet").query("split == 'test'")
    relabelled, dropped, kept = index["id"].iloc[:3]
    file = workdir / "corrections.csv"
    file.write_text(f"id,decision,label\n{relabelled},relabel,red\n{dropped},drop,\n{kept},keep,\n")
    prepare.run(open_source(image_folder), workdir / "out", **DEFAULTS, corrections=file)  # type: ignore[arg-type]
    after = dataset.load(workdir / "out/images").split("test").set_index("id")
    assert set(index["id"]) - set(after.index) == {dropped}, "nothing takes its place"
    assert after.loc[relabelled, "label"] == 2
    assert corrections.kept(workdir / "out/corrections.parquet", after.index.to_numpy(str)).sum() == 1
    file.write_text("id,decision,label\n" + "".join(f"{name},drop,\n" for name in index["id"]))
    with pytest.raises(InputError, match="drops every held-out image"):
        prepare.run(open_source(image_folder), workdir / "no", **DEFAULTS, corrections=file)  # type: ignore[arg-type]


def test_what_was_found_set_aside_and_twice_there_is_said_with_counts(workdir: Path, image_folder: Path) -> None:
    same = (image_folder / "red/0.png").read_bytes()
    (image_folder / "red/copy.png").write_bytes(same)
    (image_folder / "blue/1.png").write_bytes(same)
    (image_folder / "blue/empty.png").write_bytes(b"")
    (workdir / "ids.txt").write_text("red/copy.png\ngreen/9.png\nblue/9.png\n")
    source = open_source(image_folder, held_out=str(workdir / "ids.txt"))
    lines = prepare.run(source, workdir / "out", **DEFAULTS)  # type: ignore[arg-type]
    assert read_json(workdir / "out/summary.json") == {"source": [], "images": lines}
    assert lines == [
        "28 images to choose from, in 3 classes (blue: 9, green: 9, red: 10)",
        "3 images held out, in 3 classes (blue: 1, green: 1, red: 1)",
        "1 images set aside: 1 empty; blue/empty.png first (quarantine.parquet)",
        "3 images are copies of one another, in 1 groups, 1 of them with different labels (duplicates.parquet)",
        "1 images held out have a copy among those to choose from; prepare.drop: [duplicates] drops it",
    ]
