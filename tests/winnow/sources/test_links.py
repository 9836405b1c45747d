"""Links within a source are followed; one that leads out of it is refused by name, until the parameter allows it."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from winnow.errors import InputError
from winnow.files.json_files import read_json
from winnow.images import dataset, prepare
from winnow.sources import Source, fingerprint, open_source
from winnow.training import shifted_tests

SECRET = b"of the machine, not of the data set"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A folder outside the source."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/x.png").write_bytes(SECRET)
    return tmp_path / "elsewhere"


def a_file(photos: Path, secret: Path) -> Path:
    (photos / "red/x.png").symlink_to(secret / "x.png")
    return photos / "red/x.png"


def a_relative_file(photos: Path, secret: Path) -> Path:
    (photos / "red/x.png").symlink_to("../../elsewhere/x.png")
    return photos / "red/x.png"


def a_class(photos: Path, secret: Path) -> Path:
    (photos / "white").symlink_to(secret)
    return photos / "white"


def a_folder_in_a_class(photos: Path, secret: Path) -> Path:
    (photos / "red/more").symlink_to(secret)
    return photos / "red/more"


def the_whole_disk(photos: Path, secret: Path) -> Path:
    (photos / "red/more").symlink_to("/")
    return photos / "red/more"


def a_chain(photos: Path, secret: Path) -> Path:
    (photos / "red/x.png").symlink_to("y.png")
    (photos / "red/y.png").symlink_to(secret / "x.png")
    return photos / "red/x.png"


def one_beside(photos: Path, secret: Path) -> Path:
    """A folder whose name begins with that of the source is not in it."""
    (photos.parent / "photos-private").mkdir()
    (photos.parent / "photos-private/x.png").write_bytes(SECRET)
    (photos / "red/x.png").symlink_to(photos.parent / "photos-private/x.png")
    return photos / "red/x.png"


LINKS = [a_file, a_relative_file, a_class, a_folder_in_a_class, the_whole_disk, a_chain, one_beside]


@pytest.mark.parametrize("link", LINKS)
def test_a_link_out_of_an_image_folder_is_refused_by_name(
    workdir: Path, image_folder: Path, secret: Path, link: Callable[[Path, Path], Path]
) -> None:
    path = link(image_folder, secret)
    for look in (open_source, fingerprint.of, lambda source: shifted_tests.check("twin", source, ["red"])):
        with pytest.raises(InputError) as error:
            look(str(image_folder))
        assert f"{path} leads out of the source by a link, to " in str(error.value)
        assert "set prepare.follow_links: true" in str(error.value)


def prepared(source: Source, out: Path) -> dataset.Dataset:
    prepare.run(source, out, test_share=0.2, max_rejected=0.5, wrong_labels=0, damaged=0, seed=0)
    return dataset.load(out / "images")


def test_links_are_followed_where_the_parameter_says_so(workdir: Path, image_folder: Path) -> None:
    (workdir / "links").mkdir()
    for name in ("red", "blue"):
        (workdir / "links" / name).symlink_to(image_folder / name)
    (workdir / "links/green").mkdir()
    for path in (image_folder / "green").iterdir():
        (workdir / "links/green" / path.name).symlink_to(path)
    data = prepared(open_source("links", follow_links=True), workdir / "out")
    assert len(list(data.all_images())) == 30
    assert fingerprint.of("links", follow_links=True) == fingerprint.of(str(image_folder))


def test_links_within_a_source_are_followed(workdir: Path, image_folder: Path) -> None:
    (image_folder / "red/again.png").symlink_to("0.png")
    (image_folder / "rouge").symlink_to("red")
    (image_folder / "red/absolute.png").symlink_to(image_folder / "blue/0.png")
    (workdir / "link").symlink_to(image_folder)
    for source in (str(image_folder), "link", "link/../photos"):
        data = prepared(open_source(source), workdir / "out")
        assert len(list(data.all_images())) == 30 + 2 + 12
        assert fingerprint.of(source)["files"] == 30 + 2 + 12


def test_the_images_of_a_table_are_refused_likewise(workdir: Path, image_folder: Path, secret: Path) -> None:
    (image_folder / "red/x.png").symlink_to(secret / "x.png")
    (image_folder / "list.csv").write_text("path,label\nred/0.png,red\nred/x.png,red\n")
    source = str(image_folder / "list.csv")
    for look in (open_source, fingerprint.of):
        with pytest.raises(InputError, match=r"red/x\.png leads out of the source by a link"):
            look(source)
    assert len(open_source(source, follow_links=True).table) == 2


def test_files_that_are_named_may_be_links(workdir: Path, image_folder: Path) -> None:
    """A cache of the hub has its Parquet files as links to blobs elsewhere."""
    (workdir / "blobs").mkdir()
    images = sorted(image_folder.rglob("*.png"))
    table = pd.DataFrame(
        {"image": [path.read_bytes() for path in images], "label": [path.parent.name for path in images]}
    )
    table.to_parquet(workdir / "blobs/0123")
    (workdir / "snapshot/data").mkdir(parents=True)
    (workdir / "snapshot/data/train.parquet").symlink_to("../../blobs/0123")
    for source in ("snapshot/data", "snapshot/data/*.parquet", "snapshot/data/train.parquet", "snapshot"):
        assert len(list(prepared(open_source(source), workdir / "out").all_images())) == 30
        assert fingerprint.of(source)["files"] == 1


def test_a_link_that_comes_after_listing_is_set_aside(workdir: Path, image_folder: Path) -> None:
    source = open_source(image_folder)
    (image_folder / "red/0.png").rename(workdir / "away.png")
    (image_folder / "red/0.png").symlink_to(workdir / "away.png")
    assert len(prepared(source, workdir / "out").index) == 29
    ((name, reason),) = pd.read_parquet(workdir / "out/quarantine.parquet").itertuples(index=False)
    assert name == "red/0.png"
    assert "a link that leads out of" in reason
    assert "prepare.follow_links" in reason


def test_a_link_that_comes_after_prepare_is_refused_when_it_is_read(workdir: Path, image_folder: Path) -> None:
    data = prepared(open_source(image_folder), workdir / "out")
    assert read_json(workdir / "out/images/source.json")["follow_links"] is False
    (image_folder / "red/0.png").rename(workdir / "away.png")
    (image_folder / "red/0.png").symlink_to(workdir / "away.png")
    with pytest.raises(
        InputError, match=r"red/0\.png cannot be read any more \(it is a link that leads out of .*follow"
    ):
        list(data.all_images())
    followed = prepared(open_source(image_folder, follow_links=True), workdir / "out")
    assert read_json(workdir / "out/images/source.json")["follow_links"] is True
    assert len(list(followed.all_images())) == 30
