"""What Git says of this repository goes into tags that others read: a commit, and an address without any password."""

from pathlib import Path

import pytest

from winnow import repository
from winnow.errors import InputError
from winnow.repository import git


@pytest.mark.parametrize(
    ("remote", "told"),
    [
        ("https://ada:secret@host/ada/it.git", "https://host/ada/it.git"),
        ("https://token@host/it", "https://host/it"),
        ("https://host/a@b", "https://host/a@b"),
        ("HTTPS://ada:s@cret@host/it", "HTTPS://host/it"),
        ("https://host/it?private_token=secret", "https://host/it"),
        ("ssh://git:secret@host/it", "ssh://***@host/it"),
        ("ssh://git@host/it", "ssh://git@host/it"),
        ("git@host:ada/it.git", "git@host:ada/it.git"),
    ],
)
def test_an_address_is_told_without_a_password(workdir: Path, remote: str, told: str) -> None:
    git("init", "-q")
    assert repository.url() is None
    git("remote", "add", "origin", remote)
    assert repository.url() == told


def test_a_commit_is_marked_where_the_tree_has_changes(workdir: Path) -> None:
    assert (repository.commit(), repository.url()) == ("unknown", None)
    git("init", "-q")
    (workdir / "file").write_text("x")
    git("add", "file")
    git("-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "x")
    clean = git("rev-parse", "HEAD").strip()
    git("-c", "user.name=t", "-c", "user.email=t@t", "tag", "-a", "subset@v1.0.0", "-m", "x")  # no name of a commit
    assert repository.commit() == clean
    (workdir / "file").write_text("y")
    assert repository.commit() == f"{clean}-dirty"


@pytest.mark.parametrize(
    ("inside", "outside"), [(".dvc/tmp/exps/tmp1234", "."), (".dvc/tmp/exps/tmp1/x", "."), ("x", "x")]
)
def test_the_project_of_a_queued_experiment_is_the_one_that_queued_it(
    tmp_path: Path, inside: str, outside: str
) -> None:
    assert repository.project(tmp_path / inside) == (tmp_path / outside).resolve()


def test_names_that_are_no_text_are_read_from_git(workdir: Path) -> None:
    git("init", "-q")
    (workdir / ".git/config").write_bytes((workdir / ".git/config").read_bytes() + b"[user]\n\tname = J\xf6rg\n")
    assert git("config", "user.name").strip() == "J\udcf6rg"


def test_what_fails_is_said_in_gits_words(workdir: Path) -> None:
    with pytest.raises(InputError, match="git status failed: fatal: not a git repository"):
        git("status")
