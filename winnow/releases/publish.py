"""Publish a release as a version: commit it, push the data with DVC, and create a Git tag in GTO's form.

Every step can be repeated, so the same command finishes an interrupted publication. No version is overwritten.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gto.exceptions import GTOException
from gto.registry import GitRegistry
from gto.versions import SemVer
from ruamel.yaml import YAML

from winnow import tracking
from winnow.errors import InputError
from winnow.files.outputs import whole_folder
from winnow.files.scratch import SCRATCH
from winnow.releases import dvc_push as remote
from winnow.releases import git_remote, manifest, verify, versions
from winnow.releases.manifest import Release
from winnow.repository import git
from winnow.run import pipeline
from winnow.terminal.say import say

LOCK = "dvc.lock"
FIRST = "v0.0.0"  # what the first bump counts from
READABLE = ("manifest.json", "card.md", "figures/*.png")  # kept in Git: small, and read by people


@dataclass(frozen=True)
class Publication:
    """What is to be published, checked.

    Attributes:
        name: of the artifact in dvc.yaml.
        version: with its v.
        path: of the release, relative to the project.
        release: the release.
        remote: the DVC remote that it is pushed to.
        shared: the Git remote on which other clones publish, if there is one.
    """

    name: str
    version: str
    path: str
    release: Release
    remote: str
    shared: str | None = None

    @property
    def tag(self) -> str:
        """The Git tag."""
        return f"{versions.in_tags(self.name)}@{self.version}"

    @property
    def small(self) -> str:
        """The folder, in Git, of the release's small files."""
        return f"releases/{self.name}"


def plan(name: str, version: str | None, bump: str | None, shared: str | None = None) -> Publication:
    """Check that the release of the artifact `name` can be published from the working directory, as what version.

    Args:
        name: of the artifact in dvc.yaml.
        version: as which to publish it; None: as the one after the last, by `bump`.
        bump: major, minor or patch.
        shared: the Git remote on which other clones publish; None: that of the branch, or origin.

    Raises:
        InputError: the tree is not clean or not up to date, the release is not whole, or the version is taken.
    """
    path = _artifact(name)
    _check_clean(f"releases/{name}")
    release = manifest.load(Path(path))
    if faults := verify.run(release):
        raise InputError(f"{path} is not whole: {faults[0].where} {faults[0].what}; make it again with `dvc repro`")
    with remote.opened() as repository:
        store = repository.config["core"].get("remote")
        if not store:
            raise InputError("DVC has no default remote to push to; set one: dvc remote add --default NAME URL")
    if waiting := pipeline.stale():
        raise InputError(f"the results are not up to date ({', '.join(waiting)}); run `dvc repro` first")
    shared = shared or git_remote.named()
    return Publication(name, _version(name, version, bump, shared), path, release, store, shared)


def steps(what: Publication, *, share: bool = False) -> list[tuple[str, Callable[[], None]]]:
    """The steps of publishing, in order: each with a description and the function that does it.

    With `share`, the commit and the tag are pushed to the Git remote too.
    """
    sharing = [(f"push {what.tag} to {what.shared}", partial(_share, what))] if share else []
    return [
        (f"commit {LOCK} and {what.small}", partial(_commit, what)),
        (f"push the data with DVC to {what.remote}", _push),
        (f"register {what.tag} with GTO", partial(_register, what)),
        *sharing,
        ("tag the run in MLflow, and make it the champion", partial(_track, what)),
    ]


def finish(name: str, tag: str, path: Path, shared: str) -> None:
    """Push the tag of a version, and tag its run, where an earlier try could not reach the Git remote `shared`.

    Raises:
        InputError: the remote cannot be reached, or has the version from another clone.
    """
    version, commit = tag.partition("@")[2], git("rev-parse", f"{tag}^{{commit}}").strip()
    there = git_remote.published(shared, versions.in_tags(name)).get(version)
    if there not in (None, commit):
        raise git_remote.taken(shared, tag, str(there))
    if not there:
        git_remote.push(shared, tag)
        _track(Publication(name, version, str(path), manifest.load(path), "", shared))


def _artifact(name: str) -> str:
    """The path of an artifact that dvc.yaml names."""
    if not Path("dvc.yaml").is_file():
        raise InputError("dvc.yaml is missing; run from the top of the project")
    artifacts = YAML(typ="safe").load(Path("dvc.yaml")).get("artifacts") or {}
    if name not in artifacts:
        raise InputError(f"dvc.yaml has no artifact {name!r}; it has: {', '.join(artifacts) or 'none'}")
    return str(artifacts[name]["path"])


def _check_clean(small: str) -> None:
    """Refuse where more has changed than what publishing commits itself."""
    listed = git("status", "--porcelain", "-z", "--no-renames", "--untracked-files=all", "--", ".").split("\0")
    names = [line[3:].removeprefix(versions.below()) for line in listed if line]
    ours = (f"{small}/", f"{SCRATCH}/")  # what publishing commits, and what a project that ignores nothing would show
    changed = [name for name in names if name != LOCK and not name.startswith(ours)]
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise InputError(f"{changed[0]}{more} is not committed; commit, stash or ignore it, so that others get it too")


def _version(name: str, version: str | None, bump: str | None, shared: str | None) -> str:
    """The version to publish as: the one asked for, the one that this commit has already, or the next.

    The versions on the Git remote `shared` count too: another clone may have published them.
    """
    full, tags = versions.in_full(name), versions.in_tags(name)
    try:
        wanted = str(SemVer(f"v{version.removeprefix('v')}").version) if version else None
        with GitRegistry.from_url(".") as registry:
            artifact = registry.find_artifact(full, create_new=True)
            here = artifact.find_version(commit_hexsha=registry.scm.get_rev())
            latest = artifact.get_latest_version(registered_only=True)
            taken = wanted and artifact.find_version(name=wanted)
    except GTOException as error:
        raise InputError(f"version {version} of {name}: {error}") from error
    others, head = git_remote.looked_at(shared, tags), git("rev-parse", "HEAD").strip()
    if here and here.is_registered and not _changes(f"releases/{name}", LOCK):
        if wanted not in (None, here.version):
            raise InputError(f"this commit is {tags}@{here.version} already; another version needs another release")
        if shared and others.get(here.version, head) != head:
            raise git_remote.taken(shared, f"{tags}@{here.version}", others[here.version])
        return str(here.version)
    if taken:
        raise InputError(f"{tags}@{wanted} is taken, by {taken.commit_hexsha[:8]}; a version is never overwritten")
    if shared and wanted in others:
        raise git_remote.taken(shared, f"{tags}@{wanted}", others[wanted])
    last, newest = latest.version if latest else FIRST, git_remote.newest(others)
    if not wanted and newest and SemVer(newest) > SemVer(last):
        raise InputError(
            f"{shared} has {tags}@{newest}, which this clone has not: another clone published it. "
            f"`git fetch --tags {shared}`, rebase on it or merge it, then the same command"
        )
    return wanted or _after(last, bump)


def _after(version: str, bump: str | None) -> str:
    parts = {f"bump_{part}": part == bump for part in ("major", "minor", "patch")}
    return str(SemVer(version).bump(**parts).version)  # type: ignore[no-untyped-call]


def _changes(*paths: str) -> bool:
    return bool(git("status", "--porcelain", "--", *paths))


def _commit(what: Publication) -> None:
    """Commit the lock and the release's small files, where they have changed."""
    with whole_folder(Path(what.small)) as folder:
        for source in sorted(path for pattern in READABLE for path in what.release.folder.glob(pattern)):
            target = folder / source.relative_to(what.release.folder)
            target.parent.mkdir(exist_ok=True)
            shutil.copy(source, target)
    if _changes(what.small, LOCK):
        git("add", "--", what.small, LOCK)
        git("commit", "-m", f"{what.name} {what.version}\n\n{_summary(what)}", "--", what.small, LOCK)


def _register(what: Publication) -> None:
    """Tag the commit, unless it has the tag. Other clones may have been at it too while the data was pushed."""
    full = versions.in_full(what.name)
    others, head = git_remote.looked_at(what.shared, versions.in_tags(what.name)), git("rev-parse", "HEAD").strip()
    if what.shared and others.get(what.version, head) != head:
        raise git_remote.taken(what.shared, what.tag, others[what.version])
    with GitRegistry.from_url(".") as registry:
        here = registry.find_artifact(full, create_new=True).find_version(commit_hexsha=registry.scm.get_rev())
        if not here or here.version != what.version:
            message = f"{what.name} {what.version}\n\n{_summary(what)}\nmanifest SHA-256 {what.release.fingerprint}"
            registry.register(full, "HEAD", version=what.version, message=message, simple=True)


def _track(what: Publication) -> None:
    """Tag the run of the release; a tracking server that is down stops nothing that is published."""
    tags = {
        "winnow.version": what.tag,
        "git.tag": what.tag,
        "git.published": git("rev-parse", f"{what.tag}^{{commit}}").strip(),
    }
    try:
        found = tracking.publish(what.release.manifest.name, what.release.fingerprint, tags, Path.cwd())
    except Exception as error:
        place = tracking.uri(Path.cwd())
        say(f"  MLflow at {place} cannot be reached ({error}); the same command tags the run later")
    else:
        say(
            f"  run {found}"
            if found
            else "  MLflow has no run of this release; `winnow release record`, then this again"
        )


def _summary(what: Publication) -> str:
    pool, subset = what.release.manifest.pool, what.release.manifest.subset
    return f"{subset.samples:,} of {pool.samples:,} images\n\nids and labels SHA-256 {subset.digest}"


def _share(what: Publication) -> None:
    assert what.shared
    git_remote.push(what.shared, what.tag, "HEAD")


def _push() -> None:
    say(f"  {remote.push()} files pushed")
