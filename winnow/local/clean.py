"""Remove the environment and the results of the stages (`make clean`), and ask before removing anything else.

It cannot use the environment that it removes, so it imports no library and parses dvc.yaml itself.
"""

import fcntl
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from winnow.terminal.say import one_line, say

ENVIRONMENT = (".venv", ".winnow")
LOCKS = (".winnow/stage.lock", ".winnow/checkout.lock", ".winnow/embed.lock")  # held by whatever is at work here
LEFT = (".*.*.winnow", "*/.*.*.winnow")  # what a killed stage leaves beside its output
HISTORY = ("mlflow.db", "mlflow.db-*", "mlartifacts")
KEY = re.compile(r"( +)(?:outs|metrics|plots):\s*(\[.*)?$")
ITEM = re.compile(r"( *)- *(.+?):?$")


def main() -> None:
    """Clean the working directory; exits with 1 where a run is at work in it."""
    with_history = "--all" in sys.argv
    held = [open(path, "a+") for path in LOCKS if Path(path).exists()]  # noqa: SIM115 until this process ends
    for lock in held:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            holder = lock.read().partition(" ")[2] or "a run is at work here"
            say(f"winnow: {one_line(holder)}; end it first", error=True)
            sys.exit(1)
    made = [path for name in outputs(Path("dvc.yaml").read_text(encoding="utf-8")) if inside(path := Path(name))]
    left = [path for pattern in LEFT for path in Path("data").glob(pattern)]
    for path in [*map(Path, ENVIRONMENT), *left, *made]:
        remove(path)
    kept = [path for path in rest() if not (with_history or agreed(path))]
    for path in rest():
        if path not in kept:
            remove(path)
    if kept:
        say(f"kept {', '.join(map(one_line, kept))}; `make clean ALL=1` removes all of it without asking")


def outputs(text: str) -> Iterator[str]:
    """The outputs, metrics and plots of the stages in dvc.yaml, except those whose name is a template."""
    lines = iter([line for line in re.sub(r"(?m)(^|\s)#.*$", "", text).splitlines() if line.strip()] + ["end:"])
    line = next(lines)
    while line != "end:":
        key, line = KEY.match(line), next(lines)
        if not key:
            continue
        if flow := key[2]:
            while "]" not in flow:
                flow, line = flow + line, next(lines)
            yield from names(flow.partition("]")[0].lstrip("[").split(","))
        depth = len(key[1])
        while (item := ITEM.match(line)) or indent(line) > depth:
            if item and len(item[1]) >= depth:
                yield from names([item[2]])
            line = next(lines)


def names(items: list[str]) -> Iterator[str]:
    """The items of a list as they are meant, without quotes and templates."""
    for item in items:
        name = item.partition(": {")[0].strip().strip("'\"")
        if name and "${" not in name:
            yield name


def indent(line: str) -> int:
    """Spaces before the first word of a line."""
    return len(line) - len(line.lstrip(" "))


def inside(path: Path) -> bool:
    """Whether a path, by its name, lies in this folder."""
    return path != Path() and not path.is_absolute() and ".." not in path.parts


def rest() -> list[Path]:
    """The history of versions, and folders of data/ that no stage made."""
    history = [path for name in HISTORY for path in sorted(Path().glob(name))]
    return history + sorted(path for path in Path("data").glob("*") if path.is_dir())


def agreed(path: Path) -> bool:
    """Whether a person at the terminal says that a path may go."""
    if not sys.stdin.isatty():
        return False
    try:
        return input(f"remove {one_line(path)} too? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def remove(path: Path) -> None:
    """Remove a file, a folder, or a link and not what it leads to; and the folder of data/ that this leaves empty."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.is_dir():
        shutil.rmtree(path)
    above = path.parent
    if above.parent == Path("data") and above.is_dir() and not any(above.iterdir()):
        above.rmdir()


if __name__ == "__main__":
    main()
