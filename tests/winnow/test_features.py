"""A feature folder is read as it is, or refused with the file, row or class at fault."""

import logging
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow import features
from winnow.errors import InputError
from winnow.features import Features
from winnow.reach import within

Write = Callable[..., Path]


def with_row(rows: np.ndarray, row: int, value: float) -> np.ndarray:
    changed = rows.copy()
    changed[row] = value
    return changed


def refusal(folder: Path) -> str:
    with pytest.raises(InputError) as error:
        within(60, lambda: features.load(folder))
    return str(error.value)


def test_what_was_written_is_read(write_features: Write, planted: Features) -> None:
    data = features.load(write_features())
    assert (data.image == planted.image).all()
    assert (data.text == planted.text).all()
    assert (data.labels == planted.labels).all()
    assert (data.classes, data.ids.tolist()) == (planted.classes, planted.ids.tolist())
    assert data.counts.sum() == len(planted.labels)


def test_every_row_is_in_its_class_once_and_in_order(planted: Features) -> None:
    parts = planted.by_class()
    assert [len(part) for part in parts] == planted.counts.tolist()
    for c, part in enumerate(parts):
        assert part.tolist() == [row for row, label in enumerate(planted.labels) if label == c]


@given(st.lists(st.integers(0, 5), max_size=40))
def test_a_class_without_rows_has_none(labels: list[int]) -> None:
    data = Features(np.ones((len(labels), 2)), np.ones((6, 2)), np.array(labels, int), list("abcdef"), np.array(labels))
    parts = data.by_class()
    assert [part.tolist() for part in parts] == [[i for i, c in enumerate(labels) if c == k] for k in range(6)]


def test_rows_are_unit_features_in_single_precision(planted: Features) -> None:
    rows = planted.rows(np.array([7, 3]))
    assert rows.dtype == np.float32
    assert np.linalg.norm(rows, axis=1) == pytest.approx([1, 1], abs=1e-6)
    cosine = (rows * planted.image[[7, 3]]).sum(1) / np.linalg.norm(planted.image[[7, 3]], axis=1)
    assert cosine == pytest.approx([1, 1], abs=1e-6)


def test_images_stay_on_disk(write_features: Write) -> None:
    assert isinstance(features.load(write_features()).image, np.memmap)


def test_saved_features_are_unit_rows_in_half_precision(tmp_path: Path, planted: Features) -> None:
    features.save(tmp_path, planted)
    data = features.load(tmp_path)
    assert data.image.dtype == np.float16
    assert np.abs(data.image - features.unit(planted.image)).max() < 1e-3
    assert data.digest == planted.digest


def test_without_ids_a_sample_is_its_row_number(write_features: Write) -> None:
    assert features.load(write_features(ids=None)).ids[:2].tolist() == ["00000000", "00000001"]


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.uint64])
def test_labels_of_any_whole_number_type_are_read(write_features: Write, planted: Features, kind: type) -> None:
    assert (features.load(write_features(labels=planted.labels.astype(kind))).labels == planted.labels).all()


def test_a_class_with_one_image_is_read_with_a_warning(
    write_features: Write, planted: Features, caplog: pytest.LogCaptureFixture
) -> None:
    labels = with_row(np.where(planted.labels == 4, 3, planted.labels), 9, 4)
    with caplog.at_level(logging.WARNING):
        assert features.load(write_features(labels=labels)).counts[4] == 1
    assert "single image" in caplog.text
    assert "elk" in caplog.text


@pytest.mark.parametrize("part", ["image", "labels", "classes"])
def test_a_missing_file_is_named(write_features: Write, part: str) -> None:
    message = refusal(write_features(**{part: None}))
    assert f"{part}.{'json' if part == 'classes' else 'npy'} is missing" in message


def test_without_text_class_means_stand_for_the_classes(write_features: Write, planted: Features) -> None:
    data = features.load(write_features(text=None))
    assert data.text is None
    rows = features.unit(planted.image)
    means = np.stack([rows[planted.labels == c].mean(0) for c in range(5)])
    assert data.anchors == pytest.approx(features.unit(means), abs=1e-6)
    assert features.load(write_features("other")).anchors == pytest.approx(features.unit(planted.text))


def test_images_that_cancel_out_leave_a_class_without_a_direction(planted: Features) -> None:
    rows = np.array([[1.0, 0], [-1, 0], [0, 1]])
    data = Features(rows, None, np.array([0, 0, 1]), ["a", "b"], np.array(["x", "y", "z"]))
    assert data.anchors.tolist() == [[0, 0], [0, 1]]


def test_a_link_to_text_that_leads_nowhere_is_no_text_left_out(write_features: Write) -> None:
    folder = write_features(text=None)
    (folder / "text.npy").symlink_to("nowhere")
    assert "text.npy is missing" in refusal(folder)


@pytest.mark.parametrize(("value", "fault"), [(np.nan, "NaN"), (np.inf, "infinite"), (0.0, "is all zeros")])
def test_a_bad_row_of_images_is_named(write_features: Write, planted: Features, value: float, fault: str) -> None:
    message = refusal(write_features(image=with_row(planted.image, 17, value)))
    assert all(part in message for part in ("image.npy", "row 17", planted.ids[17], fault))


def test_a_bad_row_beyond_the_first_chunk_is_named(
    write_features: Write, planted: Features, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "CHUNK", 50)
    assert f"row 271 ({planted.ids[271]})" in refusal(write_features(image=with_row(planted.image, 271, np.nan)))


def test_a_bad_row_of_texts_is_named_with_its_class(write_features: Write, planted: Features) -> None:
    message = refusal(write_features(text=with_row(planted.text, 2, 0)))
    assert all(part in message for part in ("text.npy", "row 2", "'cat'", "all zeros"))


@pytest.mark.parametrize(
    ("part", "change", "words"),
    [
        ("labels", lambda labels: with_row(labels, 3, 9), ("labels.npy", "row 3", "label 9", "5 classes")),
        ("labels", lambda labels: with_row(labels, 4, -1), ("labels.npy", "row 4", "label -1")),
        ("labels", lambda labels: labels[:-2], ("labels.npy", "(298,)", "300 rows")),
        ("labels", lambda labels: labels.astype(float), ("labels.npy", "float64", "whole numbers")),
        ("labels", lambda labels: np.where(labels == 1, 0, labels), ("no image", "'bee'", "drop them")),
        ("text", lambda text: text[:3], ("text.npy", "3 rows", "5 names", "missing from class 'dog'")),
        ("text", lambda text: text[:, :7], ("16 dimensions", "text.npy 7", "same encoder")),
        ("image", lambda image: image.astype(int), ("image.npy", "int64", "floating point")),
        ("image", lambda image: image[:, 0], ("image.npy", "(300,)")),
        ("image", lambda image: image[0, 0], ("image.npy",)),
        ("image", lambda image: image[:0], ("image.npy", "0 rows")),
        ("image", lambda image: image.astype(object), ("image.npy", "numpy.save")),
        ("ids", lambda ids: ids[1:], ("ids.txt", "299 ids", "300 rows")),
        ("ids", lambda ids: [*ids[:-1], ids[0]], ("ids.txt", "occurs twice", "lines 1 and 300")),
        ("classes", lambda names: [*names[:4], "ant"], ("classes.json", "'ant'", "occurs twice")),
        ("classes", lambda names: dict.fromkeys(names, 0), ("classes.json", "list of class names")),
        ("classes", lambda _: [], ("classes.json", "list of class names")),
    ],
)
def test_parts_that_do_not_fit_are_refused(
    write_features: Write, planted: Features, part: str, change: Callable[..., object], words: tuple[str, ...]
) -> None:
    message = refusal(write_features(**{part: change(getattr(planted, part))}))
    assert [word for word in words if word not in message] == []


def archive(path: Path) -> None:
    (path.parent / "ids.txt").unlink()
    with path.open("wb") as file:
        np.savez(file, image=np.ones((2, 2)))


def state(path: Path, shape: str) -> None:
    """Write an array whose header states a shape that none has."""
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(64))


def instead(path: Path, make: Callable[[], object]) -> None:
    path.unlink()
    make()


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("image.npy", lambda path: path.write_text("no array")),
        ("image.npy", lambda path: path.write_bytes(path.read_bytes()[:300])),
        ("image.npy", lambda path: path.write_bytes(b"")),
        ("image.npy", archive),
        ("image.npy", lambda path: state(path, f"({10**40}, 8)")),
        ("image.npy", lambda path: state(path, "(True, 8)")),
        ("classes.json", lambda path: path.write_text("[")),
        ("classes.json", lambda path: path.write_bytes(b"\xff")),
        ("classes.json", lambda path: path.write_text("[" * 200_000)),
        ("classes.json", lambda path: path.write_text('["a", NaN]')),
        ("classes.json", lambda path: path.write_text('{"a": 1}')),
        ("classes.json", lambda path: path.write_text('["\\ud800"]')),
        ("ids.txt", lambda path: path.write_bytes(b"\xff\n" * 300)),
        ("ids.txt", lambda path: instead(path, lambda: os.mkfifo(path))),
        ("ids.txt", lambda path: instead(path, lambda: path.symlink_to("/dev/zero"))),
        ("ids.txt", lambda path: instead(path, lambda: path.symlink_to("nowhere"))),
    ],
)
def test_a_file_of_another_kind_is_named(write_features: Write, name: str, spoil: Callable[[Path], object]) -> None:
    folder = write_features()
    spoil(folder / name)
    assert name in refusal(folder)


@pytest.mark.parametrize(
    ("part", "name", "words"),
    [
        ("classes", "a\nb", r"classes.json: 'a\nb' is no name for a class: it has a line break in it (U+000A)"),
        (
            "classes",
            "a\0b",
            r"classes.json: 'a\x00b' is no name for a class: it has a control character in it (U+0000)",
        ),
        ("classes", "a\x1b[2J", "has an escape in it (U+001B)"),
        ("classes", " ", "is blank"),
        ("classes", "x" * 5_000, "is longer than 1,024 bytes"),
        ("ids", "a\x1b[2J", r"ids.txt: the name 'a\x1b[2J' has an escape in it (U+001B); rename it"),
        ("ids", "a\u2028b", r"ids.txt: the name 'a\u2028b' has a line break in it (U+2028); rename it"),
        ("ids", "a\0", r"ids.txt: the name 'a\x00' has a control character in it (U+0000); rename it"),
        ("ids", "", "ids.txt: line 1 is blank"),
    ],
)
def test_names_that_no_source_may_have_are_refused(
    write_features: Write, planted: Features, part: str, name: str, words: str
) -> None:
    message = refusal(write_features(**{part: [name, *list(getattr(planted, part))[1:]]}))
    assert words in message
    assert len(message) < 400


def test_class_names_that_read_the_same_are_refused_with_both(write_features: Write, planted: Features) -> None:
    message = refusal(write_features(classes=["caf\u00e9", "cafe\u0301", *planted.classes[2:]]))
    assert "the classes 'caf\u00e9' and 'cafe\u0301' are the same text, in other Unicode forms" in message


def test_files_of_a_windows_editor_are_read(write_features: Write, planted: Features) -> None:
    folder = write_features()
    ids = (folder / "ids.txt").read_text().replace("\n", "\r\n")
    (folder / "ids.txt").write_bytes(b"\xef\xbb\xbf" + ids.encode())
    (folder / "classes.json").write_bytes(b"\xef\xbb\xbf" + (folder / "classes.json").read_bytes())
    data = features.load(folder)
    assert (data.ids == planted.ids).all()
    assert data.classes == planted.classes


@pytest.mark.parametrize(("part", "name"), [("ids", "ids.txt"), ("classes", "classes.json")])
def test_messages_show_plain_text(write_features: Write, planted: Features, part: str, name: str) -> None:
    values = [str(value) for value in getattr(planted, part)]
    message = refusal(write_features(**{part: [*values[:-1], values[0]]}))
    assert f"{values[0]!r} occurs twice" in message
    assert name in message
    assert "np." not in message


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    assert "not a folder" in refusal(tmp_path / "none")


@given(st.permutations(range(8)), st.integers(0, 7))
def test_the_digest_sees_ids_and_labels_but_not_their_order(order: list[int], changed: int) -> None:
    ids, labels = np.array(list("abcdefgh")), np.arange(8) % 3
    assert features.digest(ids[order], labels[order]) == features.digest(ids, labels)
    assert features.digest(ids, with_row(labels, changed, 7)) != features.digest(ids, labels)
