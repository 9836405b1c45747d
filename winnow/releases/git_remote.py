"""Share versions through the Git remote: list those that exist there, and push a new one."""

import re

from gto.versions import SemVer

from winnow.errors import InputError
from winnow.repository import git
from winnow.terminal.say import say


def named() -> str | None:
    """Name the remote of the branch; else origin, else the only one; None where there is none that would be meant."""
    remotes = git("remote").split()
    try:
        of_branch = git("config", f"branch.{git('branch', '--show-current').strip()}.remote").strip()
    except InputError:
        of_branch = "origin"
    if of_branch in remotes:
        return of_branch
    return remotes[0] if len(remotes) == 1 else None


def published(remote: str, artifact: str) -> dict[str, str]:
    """The versions of an artifact on the remote, each with its commit.

    Raises:
        InputError: the remote cannot be reached.
    """
    found: dict[str, str] = {}
    pattern = re.compile(rf"refs/tags/{re.escape(artifact)}@(v\d+\.\d+\.\d+)(\^\{{\}})?")
    for line in git("ls-remote", remote, f"refs/tags/{artifact}@*").splitlines():
        commit, _, name = line.partition("\t")
        tag = pattern.fullmatch(name)
        if tag and (tag[2] or tag[1] not in found):  # of a tag with a message, the commit that it names
            found[tag[1]] = commit
    return found


def looked_at(remote: str | None, artifact: str) -> dict[str, str]:
    """The same, where there is a remote and it answers; else nothing is known, which is said."""
    if not remote:
        return {}
    try:
        return published(remote, artifact)
    except InputError as error:
        say(f"  {remote} cannot be asked whether another clone has published this version: {error}", error=True)
        return {}


def taken(remote: str, tag: str, there: str) -> InputError:
    """What to say where another clone was first."""
    mine = f"`git tag --delete {tag}`, " if git("tag", "--list", tag).strip() else ""
    return InputError(
        f"{tag} is taken on {remote}, by {there[:8]}: another clone published it first. A version is never "
        f"overwritten: {mine}`git fetch --tags {remote}`, rebase on it or merge it, `dvc repro`, and publish the next "
        "version with --bump"
    )


def newest(versions: dict[str, str]) -> str | None:
    """The highest version."""
    return max(versions, key=SemVer, default=None)


def push(remote: str, tag: str, *others: str) -> None:
    """Push a tag, with other references or none of them. Where the remote answers and refuses, take the tag back.

    Raises:
        InputError: it was not pushed; with the way out.
    """
    artifact, _, version = tag.partition("@")
    try:
        git("push", "--atomic", remote, *others, tag)
    except InputError as error:
        there = published(remote, artifact).get(version)  # raises where the remote is away: then the tag waits for it
        if there == git("rev-parse", f"{tag}^{{commit}}").strip():
            return
        if there:
            refused = taken(remote, tag, there)
            git("tag", "--delete", tag)
            raise refused from error
        git("tag", "--delete", tag)
        raise InputError(
            f"{remote} did not take {tag}, so this clone has taken it back ({error}). If {remote} is ahead, "
            f"`git pull --rebase {remote}` and run the same command again"
        ) from error
