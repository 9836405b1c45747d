"""Read text files as common programs save them: UTF-8 or UTF-16, with or without a byte order mark, any line ends."""

import codecs
import unicodedata
from collections.abc import Container

from winnow.errors import InputError

UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
MARKS = {codecs.BOM_UTF8: "utf-8-sig"} | dict.fromkeys(UTF16, "utf-16")


def utf8(data: bytes, where: str) -> bytes:
    """The bytes as UTF-8 without a byte order mark; other bytes without a mark are left as they are.

    Raises:
        InputError: they are not in the encoding that their mark names.
    """
    for mark, encoding in MARKS.items():
        if data.startswith(mark):
            try:
                return data.decode(encoding).encode()
            except UnicodeError as error:
                raise InputError(
                    f"{where} is not in {encoding.upper()}, which its first bytes say ({error})"
                ) from error
    return data


def decode(data: bytes, where: str) -> str:
    """The text of a file.

    Raises:
        InputError: it is neither UTF-8 nor UTF-16 with a byte order mark.
    """
    try:
        return utf8(data, where).decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{where} is not in UTF-8 ({error}); save it as UTF-8") from error


def lines(data: bytes, where: str) -> list[str]:
    """The lines of a text file without the blanks around them; empty ones are left out.

    Raises:
        InputError: it is not in UTF-8 or UTF-16.
    """
    return [line for line in map(str.strip, decode(data, where).replace("\r", "\n").split("\n")) if line]


def as_listed(name: str, ids: Container[str]) -> str:
    """A name of a person's list as `ids` have it: without blanks around it, `./` before it or backslashes in it.

    Names of files from a Mac have accents as characters of their own, as nobody types them.
    """
    bare = name.strip().replace("\\", "/").removeprefix("./")
    forms = (unicodedata.normalize(form, bare) for form in ("NFC", "NFD"))
    return next((form for form in (name, name.strip(), bare, f"./{bare}", *forms) if form in ids), name)
