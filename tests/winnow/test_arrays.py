"""What is in memory is checked as a folder is, in the same words, with the argument and the row at fault."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_matrix

from winnow import arrays, features
from winnow.errors import InputError
from winnow.features import Features
from winnow.names import quoted


def changed(rows: np.ndarray, row: int, value: float) -> np.ndarray:
    other = rows.copy()
    other[row] = value
    return other


def refusal(data: Features, **given: Any) -> str:
    parts = {"image": data.image, "labels": data.labels, "text": data.text, "classes": data.classes} | given
    with pytest.raises(InputError) as error:
        arrays.gathered(**parts)
    return str(error.value)


def test_a_bad_row_is_named_with_its_id(planted: Features) -> None:
    message = refusal(planted, image=changed(planted.image, 7, np.nan), ids=planted.ids)
    assert message.startswith(f"image: row 7 ({planted.ids[7]}) has a NaN or infinite value")
    assert refusal(planted, image=changed(planted.image, 8, 0)).startswith("image: row 8 (00000008) is all zeros")
    masked = np.ma.array(planted.image, mask=np.repeat(np.arange(300) == 9, 16))
    assert refusal(planted, image=masked).startswith("image: row 9 (00000009) has a NaN")
    assert refusal(planted, text=changed(planted.text, 2, 0)).startswith("text: row 2 (class 'cat') is all zeros")


@pytest.mark.parametrize(
    ("part", "value", "words"),
    [
        ("image", np.ones((300, 16), int), "image is int64 of shape (300, 16); it must be floating point"),
        ("image", np.ones(300), "image is float64 of shape (300,)"),
        ("image", np.ones((300, 4)), "image has 4 dimensions and text 16; both must come from the same encoder"),
        ("image", np.ones((0, 16)), "image is float64 of shape (0, 16)"),
        ("image", [], "image is"),
        ("image", 3, "image holds a single value"),
        ("image", None, "image holds a single value"),
        ("image", {"a": [1.0]}, "image is dict"),
        ("image", torch.empty(300, 16, device="meta"), "image is a tensor on the device meta"),
        ("image", csr_matrix(np.ones((300, 16))), "image is sparse (csr_matrix); give a dense array"),
        ("image", pd.DataFrame({"a": [1.0], "id": ["x"]}), "image: column 'id' holds "),
        ("image", np.full((300, 16), 1e30), "image: row 0 (00000000) has values too large for float32"),
        ("image", np.full((300, 16), 1e-30), "image: row 0 (00000000) has values too small for float32"),
        ("image", [[1.0, 2.0], [1.0]], "image: row 1 has 1 numbers, and row 0 has 2"),
        ("image", [[1.0, 2.0], [[1.0], [2.0]]], "image: row 1 is not a list of numbers"),
        ("image", pd.Series([[1.0, 2.0], None]), "image: row 1 has no value"),
        ("image", pd.Series([[1.0], "x"]), "image: row 1 is str"),
        ("image", np.full((300, 16), "x"), "image holds <U1; it must hold numbers"),
        ("text", np.ones((3, 16)), "text has 3 rows, and classes 5 names; text features are missing from class"),
        ("labels", None, "labels is missing"),
        ("labels", [0, 2**70], f"labels: row 1 is {2**70}; labels are the names of classes, or their indices"),
        ("labels", [0, None, 1], "labels: row 1 is None; labels are"),
        ("labels", [0, float("nan"), 1] * 100, "labels: row 1 has no label; labels are whole numbers"),
        ("labels", [b"ant"], "labels: row 0 is b'ant'; labels are the names"),
        ("labels", np.arange(300) % 6, "labels: row 5 has label 5, outside the 5 classes"),
        ("labels", np.arange(300) - 1, "labels: row 0 has label -1"),
        ("labels", np.arange(300) % 4, "labels: 1 class(es) have no image ('elk'); drop them from classes and text"),
        ("labels", np.arange(300) % 5 / 1, "labels holds float64; labels are whole numbers"),
        ("labels", np.arange(300) % 2 == 0, "labels holds bool"),
        ("labels", np.zeros(299, int), "labels has shape (299,) for 300 rows of image"),
        ("labels", torch.zeros(300, 5, dtype=torch.int64), "labels has shape (300, 5) for 300 rows of image"),
        ("labels", ["ant", float("nan")], "labels: row 1 is nan; labels are the names of classes"),
        ("labels", ["ant", 3], "labels: row 1 is 3; labels are the names of classes"),
        ("labels", ["ant", None], "labels: row 1 is None"),
        ("labels", ["ant", "bea"], "labels: row 1 is 'bea', which is none of the 5 classes; the nearest is 'bee'"),
        ("labels", pd.Series(["ant", None], dtype="category"), "labels: row 1 has no value"),
        ("labels", pd.Series([0, None, 1], dtype="Int64"), "labels: row 1 has no value (1 such rows)"),
        ("classes", "ant", "classes must be a list of class names"),
        ("classes", {"ant", "bee"}, "classes must be a list of class names"),
        ("classes", [1, 2], "classes must be a list of class names"),
        ("classes", ["ant", "ant", "cat", "dog", "elk"], "classes: the class name 'ant' occurs twice"),
        ("classes", ["ant\n", "bee", "cat", "dog", "elk"], "is no name for a class: it has a line break"),
        ("ids", ["x"] * 300, "ids: the id 'x' occurs twice (rows 0 and 1); each must be unique"),
        ("ids", range(299), "ids has 299 ids for 300 rows of image; each row needs one"),
        ("ids", ["", *range(299)], "ids: row 0 is blank"),
        ("ids", [0.5] * 300, "ids: row 0 is 0.5; an id is text or a whole number"),
        ("ids", pd.Series(["a", None]), "ids: row 1 has no value"),
        ("ids", "abc", "ids must be a list of ids"),
        ("ids", ["a\x1b", *range(299)], "ids: the name 'a\\x1b' has an escape in it"),
    ],
)
def test_what_does_not_fit_is_refused_by_argument_and_row(planted: Features, part: str, value: Any, words: str) -> None:
    message = refusal(planted, **{part: value})
    assert words in message
    assert "np." not in message


def test_categories_bring_their_classes_in_their_order(planted: Features) -> None:
    order = list(reversed(planted.classes))
    labels = pd.Categorical(np.array(planted.classes)[planted.labels], categories=order)
    data = arrays.gathered(planted.image, labels, planted.text[::-1])
    assert data.classes == order
    assert [data.classes[c] for c in data.labels] == [planted.classes[c] for c in planted.labels]
    by_name = arrays.gathered(planted.image, labels, planted.text, classes=planted.classes)
    assert (by_name.labels == planted.labels).all()


def test_ids_are_text_numbers_or_paths(planted: Features) -> None:
    from pathlib import Path

    parts = planted.image, planted.labels, planted.text
    assert arrays.gathered(*parts, ids=[Path("a") / f"{i}.png" for i in range(300)]).ids[1] == "a/1.png"
    assert arrays.gathered(*parts, ids=torch.arange(300)).ids[1] == "1"
    assert arrays.gathered(*parts, ids=pd.Series(planted.ids)).ids[1] == planted.ids[1]


def test_a_folder_in_which_parts_are_replaced_names_each_as_it_came(write_features: Any, planted: Features) -> None:
    folder = write_features()
    with pytest.raises(InputError, match=r"labels has shape \(299,\) for 300 rows of .*/image\.npy"):
        arrays.gathered(folder, planted.labels[:299])
    with pytest.raises(InputError, match=r"features/labels\.npy: 1 class\(es\) have no image .* from classes and text"):
        arrays.gathered(folder, text=np.vstack([planted.text, planted.text[:1] + 1]), classes=[*planted.classes, "fox"])
    other = write_features("other", text=None)
    assert arrays.gathered(other, planted.labels).text is None
    assert arrays.gathered(other, text=planted.text).text is planted.text
    with pytest.raises(InputError, match=r"have no image \('fox'\); drop them from classes, or add images"):
        arrays.gathered(other, classes=[*planted.classes, "fox"])


def test_without_text_or_names_there_are_as_many_classes_as_labels_need(planted: Features) -> None:
    assert arrays.gathered(planted.image, planted.labels).classes == ["0", "1", "2", "3", "4"]
    assert arrays.gathered(planted.image, np.array(planted.classes)[planted.labels]).classes == planted.classes
    with pytest.raises(InputError, match="row 0 has label 1000000000, outside the 300 classes"):
        arrays.gathered(planted.image, np.where(np.arange(300) == 0, 10**9, planted.labels))


def test_a_list_is_an_item_for_each_encoder(write_features: Any, planted: Features) -> None:
    image, text, wide = planted.image, planted.text, np.hstack([planted.image] * 2)
    found = arrays.gathered([image, torch.from_numpy(wide)], planted.labels, [text, None], classes=planted.classes)
    assert found.encoders == 2
    assert found.view(1).image.shape == (300, 32)
    assert (found.view(0).text is text, found.view(1).text) == (True, None)
    assert arrays.gathered([image, wide], planted.labels).text is None
    folder = write_features()
    assert arrays.gathered([folder, planted]).view(1).text is planted.text
    assert arrays.gathered([list(row) for row in image], planted.labels).encoders == 1
    (folder / "encoder-2").mkdir()
    features.save(folder / "encoder-2", planted)
    assert arrays.gathered(folder, text=text).encoders == 2
    with pytest.raises(InputError, match=r"text must be a list with an item, or None, for each of the 2 encoders"):
        arrays.gathered([image, wide], planted.labels, text)
    with pytest.raises(InputError, match=r"image\[1\] has 299 rows, and image\[0\] 300; both need"):
        arrays.gathered([image, wide[:299]], planted.labels)
    with pytest.raises(InputError, match=r"image\[1\] has 32 dimensions and text\[1\] 16"):
        arrays.gathered([image, wide], planted.labels, [text, text])
    with pytest.raises(InputError, match=r"image\[1\] has other ids than image\[0\]"):
        arrays.gathered([folder, replace(planted, ids=planted.ids[::-1])])


def test_memory_maps_stay_on_the_disk(write_features: Any, planted: Features) -> None:
    image = np.load(write_features() / "image.npy", mmap_mode="r")
    data = arrays.gathered(image, planted.labels, planted.text)
    assert isinstance(data.image, np.memmap)


def test_the_nearest_class_is_shown_as_names_are(planted: Features) -> None:
    labels = ["ant\x1b"] + ["ant"] * 299
    assert quoted("ant\x1b") in refusal(planted, labels=labels)


def test_categories_that_are_numbers_are_indices_of_classes(planted: Features) -> None:
    labels = pd.Series(planted.labels[::-1]).astype("category")
    got = arrays.gathered(planted.image, labels, planted.text, classes=planted.classes)
    assert got.labels.tolist() == planted.labels[::-1].tolist()
    assert got.classes == planted.classes


def test_features_made_by_hand_may_hold_lists(planted: Features) -> None:
    given = Features(planted.image, planted.text, planted.labels.tolist(), planted.classes, planted.ids.tolist())  # type: ignore[arg-type]
    assert arrays.gathered(given).digest == planted.digest
