"""Turn class names and ids into file names that are distinct and cannot leave their folder."""

import hashlib
from pathlib import PurePosixPath
from urllib.parse import quote

import pandas as pd

LONGEST = 120  # bytes; file systems take 255, and archives, shares and suffixes want some of them
PLAIN = " !#$()+,-=@[]^_{}~."  # beside letters and digits; nothing that means something to a file system or a page
SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")  # those torchvision reads


def safe(name: str) -> str:
    """A file name for any text, with what means something to a file system or a page as %XX.

    Two texts never share a name: what is too long ends in a hash of the whole.
    """
    plain = "".join(char if char.isalnum() or char in PLAIN else quote(char, safe="") for char in name) or "%"
    if plain[0] in ". ":  # hidden, `.` or `..`
        plain = f"%{ord(plain[0]):02X}{plain[1:]}"
    if plain[-1] in ". ":  # lost on Windows
        plain = f"{plain[:-1]}%{ord(plain[-1]):02X}"
    if len(plain.encode()) > LONGEST:
        plain = plain.encode()[:LONGEST].decode(errors="ignore") + _hash(name)
    return plain


def file_names(table: pd.DataFrame, folder: list[str]) -> list[str]:
    """A file name for each id of `table`, unique among those that agree in the columns `folder`.

    It is the last part of the id, with a hash of the id where two agree; a suffix stays where it is one of an image.
    """
    paths = [PurePosixPath(name) for name in table["id"]]
    suffixes = [path.suffix if path.suffix.lower() in SUFFIXES else "" for path in paths]
    stems = [safe(path.name.removesuffix(suffix)) for path, suffix in zip(paths, suffixes, strict=True)]
    folded = table[folder].assign(stem=[stem.casefold() for stem in stems])  # some file systems take A and a for one
    parts = zip(stems, suffixes, folded.duplicated(keep=False), table["id"], strict=True)
    return [f"{stem}{_hash(name) if twice else ''}{suffix}" for stem, suffix, twice, name in parts]


def _hash(name: str) -> str:
    return "%" + hashlib.sha256(name.encode()).hexdigest()[:16]
