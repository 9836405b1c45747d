"""Write JSON files that are the same bytes for the same value, and read JSON files that may be hostile."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from winnow.errors import InputError
from winnow.files.streams import is_stream

LARGEST_JSON = 256 * 2**20  # bytes; the largest that Winnow writes, the index of an export, has some 100 a sample


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON that is the same bytes for the same value."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
    path.write_bytes(f"{text}\n".encode())


def read_json(path: Path, largest: int = LARGEST_JSON) -> Any:
    """Read a JSON file of at most `largest` bytes, whoever made it.

    Raises:
        InputError: it cannot be read, is no JSON, is too large, or is nested too deeply.
    """
    if is_stream(path):
        raise InputError(f"{path} is not JSON: it is a pipe or a device")
    try:
        with path.open("rb") as file:
            data = file.read(largest + 1)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})") from error
    if len(data) > largest:
        raise InputError(f"{path} is larger than {largest:,} bytes, so it is not what it should be")
    try:
        return json.loads(data.decode("utf-8-sig"), object_pairs_hook=_once)
    except RecursionError as error:
        raise InputError(f"{path} is not JSON: it is nested too deeply") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not JSON: it is not UTF-8 (byte {error.start})") from error
    except ValueError as error:
        raise InputError(f"{path} is not JSON ({error})") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; one with a key twice would be read in one way here and in another elsewhere."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"the key {twice[:100]!r} occurs twice")
    return found
