"""JSON is the same bytes for the same value, and what is none is refused by the name of its file."""

import os
import tracemalloc
from pathlib import Path

import pytest

from winnow.errors import InputError
from winnow.files import json_files

pytestmark = pytest.mark.usefixtures("workdir")


def test_json_is_the_same_bytes_for_the_same_value() -> None:
    json_files.write_json(Path("one"), {"b": 1, "a": "é"})
    json_files.write_json(Path("two"), {"a": "é", "b": 1})
    assert Path("one").read_bytes() == Path("two").read_bytes() == '{\n  "a": "é",\n  "b": 1\n}\n'.encode()
    assert json_files.read_json(Path("one")) == {"a": "é", "b": 1}


def test_json_with_a_byte_order_mark_is_read() -> None:
    Path("one").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert json_files.read_json(Path("one")) == {"a": 1}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"[" * 200_000, "nested too deeply"),
        (b'{"a": ' * 200_000, "nested too deeply"),
        (b"[\xff\xfe]", "not UTF-8 (byte 1)"),
        (b"[1,", "is not JSON"),
        (b"", "is not JSON"),
        (b"9" * 5_000, "is not JSON"),
        (b" " * 1000, "is not JSON (Expecting value"),
        (b" " * 1001, "larger than 1,000 bytes, so it is not what it should be"),
    ],
)
def test_what_is_no_json_is_refused_by_the_name_of_its_file(data: bytes, words: str) -> None:
    Path("one.json").write_bytes(data)
    with pytest.raises(InputError) as error:
        json_files.read_json(Path("one.json"), largest=1_000 if data.isspace() else json_files.LARGEST_JSON)
    assert str(error.value).startswith("one.json is ")
    assert words in str(error.value)


def test_json_with_a_key_twice_is_refused() -> None:
    Path("one.json").write_text('{"a": {"c": 2, "b": 1, "b": 1}}')
    with pytest.raises(InputError, match=r"one\.json is not JSON \(the key 'b' occurs twice\)"):
        json_files.read_json(Path("one.json"))
    Path("one.json").write_text(f'{{"{"b" * 150}": 1, "{"b" * 150}": 1}}')
    with pytest.raises(InputError, match=rf"the key '{'b' * 100}' occurs twice\)"):
        json_files.read_json(Path("one.json"))


def test_of_a_file_that_is_too_large_no_more_is_read_than_tells_it() -> None:
    Path("one.json").touch()
    os.truncate("one.json", 100 * 2**20)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="larger than"):
            json_files.read_json(Path("one.json"), largest=1000)
        assert tracemalloc.get_traced_memory()[1] < 10 * 2**20
    finally:
        tracemalloc.stop()


def test_a_pipe_in_place_of_json_is_not_waited_for() -> None:
    os.mkfifo("one.json")
    with pytest.raises(InputError, match=r"one\.json is not JSON: it is a pipe or a device"):
        json_files.read_json(Path("one.json"))


def test_a_folder_in_place_of_json_is_refused() -> None:
    Path("one.json").mkdir()
    with pytest.raises(InputError, match=r"one\.json cannot be read \(Is a directory\)"):
        json_files.read_json(Path("one.json"))
