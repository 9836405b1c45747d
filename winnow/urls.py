"""Open locations: paths on this machine and URLs. Every location that Winnow opens passes through here.

fsspec speaks some fifty protocols. Some of them run code (dask), start programs (git, ssh) or read one file through
another (`simplecache::`, zip, reference). Only PROTOCOLS are opened, and never a chain of them.
"""

import os
import re
from ipaddress import IPv6Address
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import fsspec
from fsspec.implementations.local import LocalFileSystem

from winnow.errors import InputError
from winnow.terminal.say import one_line

LOCAL = ("file", "local")
PROTOCOLS = (*LOCAL, "http", "https", "s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "hf", "memory")
SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
# A host that is an IPv6 address, such as http://[::1]:8080/photos: the one place where `::` chains nothing.
IPV6 = re.compile(r"(?P<before>https?://(?:[^][@/?#\\\s]*@)?)\[(?P<host>[0-9A-Fa-f:.]+)\](?=[:/?#]|$)")


def protocol(location: str) -> str | None:
    """The protocol of a URL; None for a path on this machine, whatever colons are in it."""
    found = SCHEME.match(location)
    return found[1] if found else None


def is_remote(location: str) -> bool:
    """Whether a location is a URL of another place than this machine's files."""
    return protocol(location) not in (None, *LOCAL)


def check(location: str) -> None:
    """Refuse a location that must not be opened. Nothing is opened.

    Raises:
        InputError: its protocol is not one of PROTOCOLS, it chains several (`a::b`), or its host is malformed.
    """
    shown = one_line(location)
    if "\0" in location or not _is_text(location):
        raise InputError(f"{shown} cannot be opened: it has characters that no path or URL has")
    if "::" in _without_ipv6(location) and "://" in location:
        raise InputError(f"{shown} cannot be opened: a URL must name one place, and `::` chains several")
    name = protocol(location)
    if name is not None and name not in PROTOCOLS:
        raise InputError(
            f"{shown} cannot be opened: {name} is not one of the protocols that Winnow speaks, which are "
            f"{', '.join(PROTOCOLS)}"
        )
    if name is not None:
        try:
            urlsplit(location)
        except ValueError as error:
            raise InputError(f"{shown} cannot be opened: {error}") from error


def _without_ipv6(location: str) -> str:
    """A location with another host in the place of an IPv6 address."""
    found = IPV6.match(location)
    try:
        IPv6Address(found["host"] if found else "")
    except ValueError:
        return location
    assert found
    return f"{found['before']}host{location[found.end() :]}"


def _is_text(location: str) -> bool:
    """Whether a file may be called so; names that are not UTF-8 are text to Python too."""
    try:
        os.fsencode(location)
    except UnicodeEncodeError:
        return False
    return True


def local(location: str) -> Path:
    """The absolute path of a location on this machine; `~` is the home folder.

    Raises:
        InputError: it is a URL of another place, or must not be opened.
    """
    check(location)
    if is_remote(location):
        raise InputError(f"{one_line(location)} is not a path on this machine")
    name = protocol(location)
    path = location.removeprefix(f"{name}://") if name else location
    return Path.cwd() / os.path.expanduser(path)


def connect(location: str) -> tuple[Any, str]:
    """The file system of a location, and its path there.

    Raises:
        InputError: it must not be opened (`check`), or the package that speaks its protocol is not installed.
    """
    check(location)
    if not is_remote(location):
        return LocalFileSystem(), str(local(location))
    try:  # not by fsspec.url_to_fs, which takes every `::` for a chain
        kind = fsspec.get_filesystem_class(protocol(location))
        files = kind(**kind._get_kwargs_from_urls(location))
    except (ValueError, ImportError) as error:
        raise InputError(f"{one_line(location)} cannot be opened: {error}") from error
    return files, str(kind._strip_protocol(location)).rstrip("/") or "/"


def is_below(path: str) -> bool:
    """Whether a path, as an index names a file, is relative and stays in the folder that it starts from."""
    return not (path.startswith("/") or "\0" in path or (".." in path and ".." in PurePosixPath(path).parts))
