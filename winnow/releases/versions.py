"""Open releases by name: a folder, a version such as 1.2.0 or subset@v1.2.0, or a Git revision.

The tag of a subset's version has the name of an artifact and an @ (`subset@v1.2.0`), as GTO makes it. A tag such as
`v1.2.0`, without them, is a version of the code, and is never taken for one of a subset.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from winnow.errors import InputError
from winnow.files import outputs
from winnow.releases import manifest
from winnow.releases.manifest import Release
from winnow.repository import git

PLACE = "data/release"  # within the project
VERSION = re.compile(r"v?\d+\.\d+\.\d+(-[\w.]+)?(\+[\w.]+)?")


@contextmanager
def opened(name: str) -> Iterator[Release]:
    """Open a release by its folder, or get it with DVC from the project as it was at a Git revision.

    A version alone, such as v1.2.0 or 1.2.0, is the Git tag that ends in @v1.2.0, whatever the name of the artifact.

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
            revision = _revision(name)
            top = git("rev-parse", "--show-toplevel").removesuffix("\n")
            Repo.get(top, f"{below()}{PLACE}", out=str(room / "release"), rev=revision)
        except (DvcException, SCMError) as error:
            raise InputError(f"{name} is not a folder, and DVC cannot get it as a Git revision: {error}") from error
        yield manifest.load(room / "release")


def below() -> str:
    """The folder of the project, from the top of its Git repository: "" or with a slash at its end."""
    return git("rev-parse", "--show-prefix").removesuffix("\n")


def in_full(name: str) -> str:
    """An artifact of this project as `dvc artifacts get` names it: in a subfolder of a repository, that comes first.

    Raises:
        InputError: the subfolder has a name that no version can have.
    """
    from gto.constants import fullname_re

    folder = below().removesuffix("/")
    full = f"{folder}:{name}" if folder else name
    if not fullname_re.match(full):
        raise InputError(
            f"{folder} is no name for a version of {name}: a version is a Git tag that begins with the folder of its "
            "project, so rename that to letters, digits, dots, dashes, underscores"
        )
    return full


def in_tags(name: str) -> str:
    """The same as Git tags begin with it."""
    return in_full(name).replace(":", "=")  # as GTO does, since a tag may hold no colon


def _revision(name: str) -> str:
    """The Git revision that is meant; a version alone is one of this project, if it lies in a subfolder.

    Raises:
        InputError: it is a version that no artifact has, or several have.
    """
    from dvc.scm import SCM

    if name.startswith("-"):
        raise InputError(f"{name} is not a folder, version or Git revision: it begins with a dash")
    wanted = f"@v{name.removeprefix('v')}"
    project = below().removesuffix("/")
    tags = [tag for tag in SCM(".").list_tags() if tag.endswith(wanted) and tag.rpartition("=")[0] == project]
    if len(tags) > 1:
        raise InputError(f"{name} may be any of {', '.join(sorted(tags))}; name the tag in full")
    if not tags and VERSION.fullmatch(name):
        raise InputError(
            f"there is no version {name} of a subset (a Git tag such as subset{wanted}); `git fetch --tags` gets those "
            f"of the Git remote, and refs/tags/{name} names a tag without @, which is a version of the code"
        )
    return tags[0] if tags else name


def latest(name: str) -> str | None:
    """The Git tag of the last version of an artifact that was published; None where there is none."""
    from gto.registry import GitRegistry

    with GitRegistry.from_url(".") as registry:
        found = registry.find_artifact(in_full(name), create_new=True).get_latest_version(registered_only=True)
    return f"{in_tags(name)}@{found.version}" if found else None


def same(release: Path, tag: str) -> bool:
    """Whether a release is that of a version, by the manifest that publishing leaves in Git."""
    name = tag.partition("@")[0].rpartition("=")[2]
    try:
        published = git("show", f"{tag}:./releases/{name}/manifest.json")
    except InputError:
        return False
    return published == (release / "manifest.json").read_text(encoding="utf-8")
