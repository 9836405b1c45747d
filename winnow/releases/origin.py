"""Find the repository and commit that made a release.

A manifest names no commit, so that the same inputs give the same bytes. Instead, publishing commits the manifest, and
Git finds the commit that has it. A release that was never published is assumed to come from the last commit.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from winnow.errors import InputError
from winnow.files import outputs
from winnow.releases.manifest import Release
from winnow.repository import git

WAY_OUT = "`winnow release verify` without --rebuild still checks every hash"
PUBLISHED = "releases"  # where publishing commits manifests
OWN = ("params.yaml", "dvc.lock", PUBLISHED)  # not needed: parameters are in the manifest, the rest is a result


@dataclass(frozen=True)
class Origin:
    """A Git repository, by path or URL, and the commit that made a release."""

    repository: str
    commit: str


def find(release: Release, repository: str | None = None) -> Origin:
    """Find what made a release.

    Args:
        release: the release.
        repository: path or URL of its Git repository; None for the one that it lies in.

    Raises:
        InputError: there is no repository, or no commit of it can be the one.
    """
    where = repository or _around(release.folder)
    with _history(where) as folder:
        if published := _published(release, folder):
            return Origin(where, published)
        if repository:
            raise InputError(
                f"no commit of {repository} published this release, so none is known to have made it. {WAY_OUT}"
            )
        _check_committed(folder)
        return Origin(where, git("rev-parse", "HEAD", at=folder).strip())


def _around(folder: Path) -> str:
    """The repository of the working directory, if the folder lies in it.

    Git is not run in any other: what a repository configures is run, and making a release again runs its code.
    """
    try:
        top = Path(git("rev-parse", "--show-toplevel").strip())
    except InputError as error:
        raise InputError(
            f"{folder} lies in no Git repository; name the one that made it with --repository. {WAY_OUT}"
        ) from error
    here = folder.resolve()
    inner = next((path for path in (here, *here.parents) if (path / ".git").exists()), None)
    if inner != top.resolve():
        raise InputError(
            f"{folder} does not lie in the Git repository of the working directory; name the one that made it with "
            f"--repository, if you trust its code, which is run. {WAY_OUT}"
        )
    return str(top)


@contextmanager
def _history(repository: str) -> Iterator[Path]:
    """A folder in which Git knows the history of a repository; got first where it is elsewhere."""
    if Path(repository).exists():
        yield Path(repository)
        return
    with outputs.temporary("history") as room:
        git("clone", "--quiet", "--bare", "--", repository, str(room))
        yield room


def _published(release: Release, folder: Path) -> str | None:
    """The first commit that holds the manifest of a release."""
    path = (release.folder / "manifest.json").absolute()
    blob = git("hash-object", "--no-filters", str(path), at=folder).strip()
    try:
        git("cat-file", "-e", blob, at=folder)
    except InputError:
        return None
    about = "--diff-filter=AM", f"--find-object={blob}", "--", PUBLISHED
    found = git("log", "--all", "--reverse", "--format=%H", *about, at=folder)
    return next(iter(found.split()), None)


def _check_committed(folder: Path) -> None:
    """Refuse where the tree has changes that a clone would not have."""
    ours = [f":(exclude){name}" for name in OWN]
    if changed := git("status", "--porcelain", "--untracked-files=no", "--", ".", *ours, at=folder):
        raise InputError(
            f"the release was not published, and {changed.splitlines()[0][3:]} is not committed, so that no commit is "
            f"known to have made it; commit, run `dvc repro`, and try again. {WAY_OUT}"
        )
