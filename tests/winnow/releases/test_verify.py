"""A release is what its manifest says, or every fault is named: file, shard or sample."""

import importlib
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from winnow.cli.main import app
from winnow.errors import InputError
from winnow.files.hashes import file_sha256
from winnow.files.json_files import read_json, write_json
from winnow.images.copies import CopyWriter
from winnow.releases import images as found
from winnow.releases import manifest, verify

OTHER = "is another image than the one that was released"


def faults(released: Path) -> list[tuple[str, str]]:
    opened = manifest.load(released)
    return [(fault.where, fault.what) for fault in verify.run(opened, found.find(opened, None, None))]


def flip(path: Path, place: int) -> None:
    """Change one bit of a file."""
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(bytes(data))


def restate(released: Path, name: str) -> None:
    """Make the manifest agree with a file that was changed."""
    made = read_json(released / "manifest.json")
    made["files"][name] = file_sha256(released / name)
    write_json(released / "manifest.json", made)


def test_a_release_as_made_has_no_fault(released: Path) -> None:
    assert faults(released) == []


@pytest.mark.parametrize("name", ["card.md", "ids.txt", "figures/classes.png"])
def test_a_flipped_byte_of_a_file_is_named(released: Path, name: str) -> None:
    before = file_sha256(released / name)
    flip(released / name, 5)
    found = file_sha256(released / name)
    what = f"is not the file that was released: SHA-256 {found[:12]}…, stated {before[:12]}…"
    assert faults(released)[0] == (name, what)


def test_a_missing_file_and_one_too_many_are_named(released: Path) -> None:
    (released / "card.md").rename(released / "notes.md")
    assert faults(released) == [("card.md", "is missing"), ("notes.md", "is not part of the release")]


def test_a_file_name_of_a_stranger_forges_nothing_on_the_terminal(released: Path) -> None:
    (released / "\x1b[2K\r\u2713 it is whole\n[green]x").touch()
    done = CliRunner().invoke(app, ["release", "verify", str(released)])
    assert done.exit_code == 1
    assert "\\x1b[2K\\r\u2713 it is whole\\n[green]x: is not part of the release" in done.output
    assert not set(done.output) & {"\x1b", "\r"}


def test_an_edited_id_is_named_with_the_one_that_stood_there(released: Path) -> None:
    ids = (released / "ids.txt").read_text()
    (released / "ids.txt").write_text(ids.replace("red/1.png", "red/99.png"))
    restate(released, "ids.txt")
    assert faults(released) == [
        ("ids.txt", "'red/99.png' was not selected"),
        ("ids.txt", "'red/1.png' was selected and is not there"),
    ]


def test_ids_that_are_no_text_are_one_fault(released: Path) -> None:
    (released / "ids.txt").write_bytes(b"red/1.png\nred/\xff.png\n")
    restate(released, "ids.txt")
    assert faults(released) == [("ids.txt", "is not UTF-8 (byte 14)")]


def test_an_id_that_stands_twice_is_named(released: Path) -> None:
    with (released / "ids.txt").open("a") as file:
        file.write("red/1.png\n")
    assert ("ids.txt", "'red/1.png' occurs twice") in faults(released)


def test_a_table_that_cannot_be_trusted_or_read_does_not_hide_what_is_wrong_with_the_ids(released: Path) -> None:
    flip(released / "scores.parquet", -1)
    assert [where for where, _ in faults(released)] == ["scores.parquet"]
    ids = (released / "ids.txt").read_text()
    (released / "ids.txt").write_text(f"{ids}red/99.png\nred/1.png\n")
    found = faults(released)
    assert [where for where, _ in found] == ["ids.txt", "scores.parquet", "ids.txt"]
    assert found[2] == ("ids.txt", "'red/1.png' occurs twice")


def test_a_list_of_no_ids_is_compared_too(released: Path) -> None:
    (released / "ids.txt").write_bytes(b"")
    restate(released, "ids.txt")
    found = faults(released)
    assert len(found) == 16
    assert all(where == "ids.txt" and what.endswith("was selected and is not there") for where, what in found)


def test_without_images_the_files_alone_are_looked_at(released: Path) -> None:
    assert verify.run(manifest.load(released)) == []


def test_an_edited_label_is_noticed_even_where_the_hash_of_the_file_was_edited_too(released: Path) -> None:
    table = pd.read_parquet(released / "scores.parquet")
    table.loc[3, "label"] = (table.loc[3, "label"] + 1) % 3
    table.to_parquet(released / "scores.parquet", index=False)
    restate(released, "scores.parquet")
    assert ("scores.parquet", "ids and labels of the pool are not those in the manifest") in faults(released)
    table.loc[table["selected"], "label"] = (table.loc[table["selected"], "label"] + 1) % 3
    table.to_parquet(released / "scores.parquet", index=False)
    restate(released, "scores.parquet")
    assert ("scores.parquet", "ids and labels of the subset are not those in the manifest") in faults(released)


def test_a_flipped_byte_of_an_image_names_the_sample(released: Path) -> None:
    flip(released.parents[1] / "originals/red/1.png", 60)
    assert faults(released) == [("red/1.png", "its bytes have changed")]


def test_an_image_that_is_gone_is_named(released: Path) -> None:
    (released.parents[1] / "originals/red/1.png").unlink()
    assert faults(released) == [("red/1.png", "cannot be read (No such file or directory)")]


def test_a_file_of_many_images_that_is_cut_short_is_named(released: Path) -> None:
    images = released.parent / "prepare/images"
    index = pd.read_parquet(images / "index.parquet")
    originals = released.parents[1] / "originals"
    with CopyWriter(images) as writer:
        places = [writer.add(name, (originals / name).read_bytes()) for name in index["id"]]
    places = pd.DataFrame(places, columns=["file", "place", "size"])
    index.assign(**places, copied=True).to_parquet(images / "index.parquet", index=False)
    assert faults(released) == []
    copies = images / "copies/00000.parquet"
    copies.write_bytes(copies.read_bytes()[:-200])
    ((where, what),) = faults(released)
    assert where == "shard 00000"
    assert what.startswith(f"cannot be read to its end (prepare.source: {copies} ")
    opened, long = manifest.load(released), released.parents[1].joinpath(*["n" * 100] * 4, "images")
    long.parent.mkdir(parents=True)
    images.rename(long)
    (fault,) = verify.run(opened, found.find(opened, long, None))
    reason = f"prepare.source: {long / 'copies/00000.parquet'}"
    assert fault.what == f"cannot be read to its end ({reason[:400]})"


def test_images_that_the_source_no_longer_has_are_named(released: Path) -> None:
    path = released.parent / "prepare/images/index.parquet"
    pd.read_parquet(path).query("id != 'red/1.png'").to_parquet(path, index=False)
    assert ("red/1.png", "is in the release, not among the images") in faults(released)


def test_a_source_that_has_moved_is_one_fault_and_is_found_where_it_is_said_to_lie(released: Path) -> None:
    originals = released.parents[1] / "originals"
    moved = originals.rename(originals.with_name("moved"))
    ((where, what),) = faults(released)
    assert (where, what.endswith("name where it lies now with --source")) == ("source originals", True)
    opened = manifest.load(released)
    assert verify.run(opened, found.find(opened, released.parent / "prepare/images", str(moved))) == []
    with pytest.raises(InputError, match=r"holds no images .* --images"):
        found.find(opened, released, None)


def test_other_held_out_images_are_one_fault_and_none_where_others_are_named(released: Path) -> None:
    path = released.parent / "prepare/images/index.parquet"
    index = pd.read_parquet(path)
    held_out = index["split"] == "test"
    index.assign(id=index["id"].mask(held_out, "other/" + index["id"])).to_parquet(path, index=False)
    assert ("index.parquet", "lists other held-out images than the release was measured on") in faults(released)
    index[index["id"] != "red/1.png"].to_parquet(path, index=False)
    assert [where for where, _ in faults(released)] == ["red/1.png"]


@pytest.mark.parametrize("many", [verify.SHOWN, verify.SHOWN + 1, verify.SHOWN + 4])
def test_many_faults_of_a_kind_are_counted(released: Path, many: int) -> None:
    path = released.parent / "prepare/images/index.parquet"
    index = pd.read_parquet(path)
    ids = manifest.load(released).scores["id"][:many]
    changed = index["id"].isin(ids)
    index.assign(sha256=index["sha256"].mask(changed, "0" * 64)).to_parquet(path, index=False)
    more = [("…", f"and {many - verify.SHOWN} more like it")] if many > verify.SHOWN else []
    other = [(name, OTHER) for name in ids[: verify.SHOWN]]
    spoilt = [(name, "its bytes have changed") for name in index["id"][changed][: verify.SHOWN]]
    assert faults(released) == [*other, *more, *spoilt, *more]


@pytest.mark.parametrize(
    ("content", "word"),
    [("{}", "not the manifest of a release"), ("]", "not the manifest"), ('{"format": 99}', "of format 99")],
)
def test_what_is_no_release_of_this_format_is_refused(released: Path, content: str, word: str) -> None:
    (released / "manifest.json").write_text(content)
    with pytest.raises(InputError, match=word):
        manifest.load(released)


def test_the_command_says_whole_or_not_by_its_exit_code(released: Path) -> None:
    whole = CliRunner().invoke(app, ["release", "verify", str(released)])
    assert whole.exit_code == 0, whole.output
    assert "is whole" in whole.output
    flip(released / "card.md", 5)
    broken = CliRunner().invoke(app, ["release", "verify", str(released)])
    assert broken.exit_code == 1
    assert "card.md: is not the file that was released" in broken.output
    assert CliRunner().invoke(app, ["release", "verify", str(released.parent)]).exit_code == 2


COMMANDS = {
    "verify": (["release", "verify", "data/release"], "winnow.releases.verify.run"),
    "diff": (["release", "diff", "data/release", "data/release"], "winnow.releases.diff.compare"),
    "export": (
        ["export", "data/release", "--format", "webdataset", "--out", "out"],
        "winnow.releases.export_plan.plan",
    ),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_release_that_is_replaced_while_it_is_read_is_no_result(
    released: Path, workdir: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by `dvc repro` in the same project."""
    command, where = COMMANDS[name]
    module, _, function = where.rpartition(".")
    real = getattr(importlib.import_module(module), function)

    def replaced(*arguments: Any, **more: Any) -> Any:
        found = real(*arguments, **more)
        other = read_json(released / "manifest.json")
        write_json(released / "manifest.json", other | {"name": "another"})
        return found

    with monkeypatch.context() as patch:
        patch.setattr(where, replaced)
        done = CliRunner().invoke(app, command)
    assert done.exit_code == 1, done.output
    assert done.stderr == "winnow: data/release was replaced while it was read; run the same command again\n"
    assert "whole" not in done.output
    assert not (workdir / "out").exists()
    assert CliRunner().invoke(app, command).exit_code == 0
