"""A shifted test set is decoded once, in the classes of the data set, or refused with what is wrong."""

from pathlib import Path

import numpy as np
import pytest
from support import write_photos

from winnow.errors import InputError
from winnow.training import shifted_tests

CLASSES = ["azure", "blue", "green", "red"]


def test_images_come_with_the_classes_of_the_data_set(workdir: Path) -> None:
    write_photos(workdir / "photos")
    shifted_tests.decode("twin", "photos", CLASSES, 10, workdir / "out")
    pixels, labels = np.load("out/pixels.npy"), np.load("out/labels.npy")
    assert (pixels.shape, pixels.dtype) == ((30, 10, 10, 3), np.uint8)
    assert np.bincount(labels).tolist() == [0, 10, 10, 10]
    assert (3 - pixels.mean((1, 2)).argmax(1) == labels).all()  # classes are colours
    (workdir / "photos/red/0.png").unlink()
    shifted_tests.decode("twin", "photos", CLASSES, 10, workdir / "out")
    assert len(np.load("out/labels.npy")) == 30


@pytest.mark.parametrize("lost", ["out/pixels.npy", "out/labels.npy", "out.mark"])
def test_a_test_set_that_was_lost_is_decoded_again(workdir: Path, lost: str) -> None:
    write_photos(workdir / "photos")
    shifted_tests.decode("twin", "photos", CLASSES, 10, workdir / "out")
    before = {path: path.read_bytes() for path in (workdir / "out").iterdir()}
    Path(lost).write_bytes(b"")
    shifted_tests.decode("twin", "photos", CLASSES, 10, workdir / "out")
    assert {path: path.read_bytes() for path in (workdir / "out").iterdir()} == before


def test_of_a_source_with_splits_what_is_held_out_is_taken(workdir: Path) -> None:
    for split, colour in (("train", "red"), ("test", "blue")):
        write_photos(workdir / "all" / split)
        for other in {"red", "green", "blue"} - {colour}:
            for image in (workdir / "all" / split / other).glob("[2-9].png"):
                image.unlink()
    shifted_tests.decode("twin", "all", CLASSES, 8, workdir / "out")
    assert np.bincount(np.load("out/labels.npy")).tolist() == [0, 10, 2, 2]


def test_what_cannot_be_measured_on_is_refused(workdir: Path) -> None:
    write_photos(workdir / "photos")
    with pytest.raises(InputError, match=r"evaluate.tests.twin: photos has a class 'blue' that the data set lacks"):
        shifted_tests.check("twin", "photos", ["green", "red"])
    with pytest.raises(InputError, match=r"^evaluate.tests.twin: nowhere"):
        shifted_tests.check("twin", "nowhere", CLASSES)
    (workdir / "photos/red/3.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"evaluate.tests.twin: the image .*red/3.png cannot be read"):
        shifted_tests.decode("twin", "photos", CLASSES, 10, workdir / "out")
    assert not Path("out").exists()
