"""What `make constraints` runs: write requirements.lock, the versions of constraints.txt with hashes of their files.

`make demo` installs from it with `--require-hashes`, so that pip refuses a file that was exchanged on the index.
The index lists the SHA-256 of all files of a version, so the lock serves every platform and Python that Winnow runs
on. With `--upgrade`, the newest versions that fit together replace those of constraints.txt first.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Any

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import Version

PROJECT = "winnow-images[dev,docs]"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
LINUX = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "platform_machine": "x86_64"}
MACOS = LINUX | {"sys_platform": "darwin", "platform_system": "Darwin", "platform_machine": "arm64"}
# The files that Winnow can use: no Windows, no 32 bits, no PyPy, no build of Python without its lock.
INTERPRETER = re.compile(r"py3|py2\.py3|cp3(?:[2-9]|1[0-4])")
PLATFORM = re.compile(r"any|(?:manylinux|musllinux|linux).*_(?:x86_64|aarch64)|macosx.*_(?:x86_64|arm64|universal2)")
JSON = "application/vnd.pypi.simple.v1+json"
PATIENCE = 60.0  # seconds for the index to answer
HEAD = "# Written by `make constraints`: the versions of constraints.txt, with the SHA-256 of each file. Do not edit.\n"


def main() -> int:
    """Write the lock, and with --upgrade the versions too."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--constraints", type=Path, default=Path("constraints.txt"))
    parser.add_argument("--lock", type=Path, default=Path("requirements.lock"))
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions that fit together")
    given = parser.parse_args()
    pins = read(given.constraints.read_text(encoding="utf-8"))
    if given.upgrade:
        pins = merged(pins, newest())
        given.constraints.write_text("".join(f"{name}=={version}\n" for name, version in pins), encoding="utf-8")
    marks = needed(PROJECT)
    wanted = [(name, version) for name, version in pins if canonicalize_name(name) in marks]
    if missing := sorted(set(marks) - {canonicalize_name(name) for name, _ in wanted}):
        print(f"constraints: not pinned in {given.constraints}: {', '.join(missing)}", file=sys.stderr)
        return 1
    with ThreadPoolExecutor(4) as pool:
        pages = pool.map(page, (name for name, _ in wanted))
        text = "".join(
            block(name, version, marks[canonicalize_name(name)], hashes(found, name, version))
            for (name, version), found in zip(wanted, pages, strict=True)
        )
    given.lock.write_text(HEAD + text, encoding="utf-8")
    print(f"constraints: {len(wanted)} packages, {text.count('--hash=')} files")
    return 0


def read(text: str) -> list[tuple[str, str]]:
    """The names and versions of a file of pins."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [(name, version) for name, _, version in (line.partition("==") for line in lines if line)]


def merged(pins: Iterable[tuple[str, str]], new: dict[str, str]) -> list[tuple[str, str]]:
    """The pins with new versions, and new names added, in alphabetical order."""
    spelled = {canonicalize_name(name): (name, version) for name, version in pins}
    for name, version in new.items():
        key = canonicalize_name(name)
        spelled[key] = (spelled[key][0] if key in spelled else name, version)
    return sorted(spelled.values(), key=lambda pin: pin[0].lower())


def newest() -> dict[str, str]:
    """The newest versions that fit together, as pip finds them; nothing is installed."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        how = ["--quiet", "--dry-run", "--ignore-installed", "--report", str(report)]
        subprocess.run([sys.executable, "-m", "pip", "install", *how, ".[dev,docs]"], check=True)
        found = [one["metadata"] for one in json.loads(report.read_text(encoding="utf-8"))["install"]]
    own = Requirement(PROJECT).name
    return {one["name"]: one["version"].partition("+")[0] for one in found if one["name"] != own}


@cache
def needed(project: str) -> dict[str, str]:
    """What a project needs on any Python that it runs on, by normalised name; the marker of what only Linux needs."""
    names = {place: _closure(project, place) for place in ("linux", "macos")}
    return {name: "" if name in names["macos"] else 'sys_platform == "linux"' for name in names["linux"]}


def _closure(project: str, place: str) -> set[str]:
    known = {"linux": LINUX, "macos": MACOS}[place]
    found: set[str] = set()
    for python in PYTHONS:
        own = {"python_version": python, "python_full_version": f"{python}.9"}
        environment = {**default_environment(), **known, **own}
        seen: set[tuple[str, str]] = set()
        left = [Requirement(project)]
        while left:
            need = left.pop()
            for extra in ("", *sorted(need.extras)):
                if (need.name, extra) not in seen:
                    seen.add((need.name, extra))
                    left += _direct(need.name, {**environment, "extra": extra})
        found |= {canonicalize_name(name) for name, _ in seen}
    return found - {canonicalize_name(Requirement(project).name), "pip"}  # pip is the environment's own


def _direct(name: str, environment: dict[str, Any]) -> Iterator[Requirement]:
    yield from (need for need in _declared(name) if need.marker is None or need.marker.evaluate(environment))


@cache
def _declared(name: str) -> list[Requirement]:
    try:
        return [Requirement(line) for line in requires(name) or ()]
    except PackageNotFoundError:  # of another system; it is pinned, or main() says that it is not
        return []


def page(name: str) -> list[dict[str, Any]]:
    """What the index, the one that pip uses, lists of a package."""
    index = _index()
    request = urllib.request.Request(f"{index.rstrip('/')}/{canonicalize_name(name)}/", headers={"Accept": JSON})  # noqa: S310
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310 pip's own index
        files: list[dict[str, Any]] = json.load(answer)["files"]
    return files


@cache
def _index() -> str:
    from pip._internal.models.index import PyPI

    if given := os.environ.get("PIP_INDEX_URL"):
        return given
    command = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or str(PyPI.simple_url)


def hashes(files: Iterable[dict[str, Any]], name: str, version: str) -> list[str]:
    """The SHA-256 of each file of a version that Winnow can use."""
    found = [one["hashes"]["sha256"] for one in files if usable(one["filename"], version) and not one.get("yanked")]
    if not found:
        raise SystemExit(f"constraints: the index has no file of {name} {version} for Python {PYTHONS[0]} or newer")
    return sorted(found)


def usable(filename: str, version: str) -> bool:
    """Whether a file is of this version, and for a Python and a system that Winnow runs on."""
    try:
        if not filename.endswith(".whl"):
            return parse_sdist_filename(filename)[1] == Version(version)
        _, found, _, tags = parse_wheel_filename(filename)
    except (InvalidSdistFilename, InvalidWheelFilename):
        return False  # an egg or an installer
    if found != Version(version):
        return False
    return any(_fits(tag.interpreter, tag.abi) and PLATFORM.fullmatch(tag.platform) for tag in tags)


def _fits(interpreter: str, abi: str) -> bool:
    old = abi not in {"abi3", "none"} and interpreter.removeprefix("cp") not in {
        one.replace(".", "") for one in PYTHONS
    }
    return bool(INTERPRETER.fullmatch(interpreter)) and not old and not abi.endswith("t")


def block(name: str, version: str, marker: str, digests: Iterable[str]) -> str:
    """The lines of one package."""
    head = f"{name}=={version}" + (f" ; {marker}" if marker else "")
    return " \\\n".join([head, *(f"    --hash=sha256:{digest}" for digest in digests)]) + "\n"


if __name__ == "__main__":
    sys.exit(main())
