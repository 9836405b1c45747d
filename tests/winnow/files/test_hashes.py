"""Hashes tell lists of parts apart."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.files import hashes

pytestmark = pytest.mark.usefixtures("workdir")


def test_a_file_hash_is_that_of_its_bytes() -> None:
    Path("file").write_bytes(b"abc" * 100_000)
    assert hashes.file_sha256(Path("file")) == hashlib.sha256(b"abc" * 100_000).hexdigest()


PARTS = st.lists(st.binary(max_size=3), max_size=4)


@given(PARTS, PARTS)
def test_hashes_agree_only_for_equal_lists_of_parts(one: list[bytes], two: list[bytes]) -> None:
    assert (hashes.sha256(*one) == hashes.sha256(*two)) == (one == two)


def test_each_part_of_a_hash_is_preceded_by_its_length() -> None:
    parts = b"\0\0\0\0\0\0\0\3abc" + b"\0\0\0\0\0\0\0\2\xc3\xa9"
    assert hashes.sha256(b"abc", "é") == hashlib.sha256(parts).hexdigest()
