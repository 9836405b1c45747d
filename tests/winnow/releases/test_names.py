"""Any text becomes a file name that does no harm, and no two texts the same one."""

import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from winnow.releases import names

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


@given(TEXT)
@example("..")
@example("")
@example("a/../b")
@example("<b>&'\"")
@example("é" * 200)
def test_a_name_stays_in_its_folder_and_fits(text: str) -> None:
    name = names.safe(text)
    assert name
    assert not set(name) & set("<>:\"/\\|?*&'\0\n\r\t")
    assert name[0] not in ". "
    assert name[-1] not in ". "
    assert len(name.encode()) <= 140


@given(st.sets(TEXT, min_size=2, max_size=20))
def test_two_texts_never_share_a_name(texts: set[str]) -> None:
    assert len({names.safe(text) for text in texts}) == len(texts)


def test_plain_names_stay_as_they_are() -> None:
    for name in ("cat", "golden retriever", "n01440764", "日本", "a_b-c.d"):
        assert names.safe(name) == name


@pytest.mark.parametrize(
    ("ids", "files"),
    [
        (["a/1.png", "b/2.JPG"], ["1.png", "2.JPG"]),
        (["a/00000001"], ["00000001"]),
        (["a/x.tar.gz"], ["x.tar.gz"]),
    ],
)
def test_a_file_is_named_by_the_last_part_of_its_id(ids: list[str], files: list[str]) -> None:
    assert names.file_names(pd.DataFrame({"id": ids, "label": 0}), ["label"]) == files


def test_files_that_would_share_a_name_take_a_hash_of_their_ids() -> None:
    table = pd.DataFrame({"id": ["a/1.png", "b/1.PNG", "c/1", "d/1.png"], "label": [0, 0, 0, 1]})
    found = names.file_names(table, ["label"])
    assert len({name.casefold().split(".")[0] for name in found[:3]}) == 3
    assert [name.rsplit(".", 1)[-1] for name in (found[0], found[1], found[3])] == ["png", "PNG", "png"]
    assert found[3] == "1.png", "another folder"
