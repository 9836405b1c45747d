"""Releases by name: a folder, a Git revision, or a version such as v1.2.0."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from winnow.errors import InputError
from winnow.files import outputs
from winnow.releases import manifest
from winnow.releases.manifest import Release
from winnow.repository import git

PLACE = "data/release"  # within the project


@contextmanager
def opened(name: str) -> Iterator[Release]:
    """Open a release by its folder, or get it with DVC from the project as it was at a Git revision.

    A version alone, such as v1.2.0 or 1.2.0, is the Git tag that ends in it.

    Raises:
        InputError: there is no such folder, revision or version, or DVC has not the data.
    """
    if Path(name).exists():
        yield manifest.load(Path(name))
        return
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.scm import SCMError

    with outputs.temporary("version") as room:
        try:
            Repo.get(".", PLACE, out=str(room / "release"), rev=_revision(name))
        except (DvcException, SCMError) as error:
            raise InputError(f"{name} is no folder, and DVC cannot get it as a Git revision: {error}") from error
        yield manifest.load(room / "release")


def _revision(name: str) -> str:
    """The Git revision that is meant."""
    from dvc.scm import SCM

    if name.startswith("-"):
        raise InputError(f"{name} is no folder, version or Git revision: it begins with a dash")
    wanted = f"@v{name.removeprefix('v')}"
    tags = [tag for tag in SCM(".").list_tags() if tag.endswith(wanted)]
    if len(tags) > 1:
        raise InputError(f"{name} may be any of {', '.join(sorted(tags))}; name the tag in full")
    return tags[0] if tags else name


def latest(name: str) -> str | None:
    """The Git tag of the last version of an artifact that was published; None where there is none."""
    from gto.registry import GitRegistry

    with GitRegistry.from_url(".") as registry:
        found = registry.find_artifact(name, create_new=True).get_latest_version(registered_only=True)
    return f"{name}@{found.version}" if found else None


def same(release: Path, tag: str) -> bool:
    """Whether a release is that of a version, by the manifest that publishing leaves in Git."""
    name = tag.partition("@")[0]
    try:
        published = git("show", f"{tag}:releases/{name}/manifest.json")
    except InputError:
        return False
    return published == (release / "manifest.json").read_text(encoding="utf-8")
