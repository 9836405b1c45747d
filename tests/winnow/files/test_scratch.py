"""What a killed run finished is kept for the next, and goes when nobody needs it."""

import os
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from winnow.files import scratch

pytestmark = pytest.mark.usefixtures("workdir")


def fail(output: AbstractContextManager[Path], name: str = "") -> None:
    with output as fresh:
        (fresh / name).write_text("written")
        raise OSError("disk full")


def test_scratch_stays_after_a_failure_and_goes_after_success() -> None:
    with pytest.raises(OSError, match="disk"):
        fail(scratch.of_stage("embed", "key"), "piece")
    with scratch.of_stage("embed", "key") as folder:
        assert (folder / "piece").read_text() == "written"
    with scratch.of_stage("embed", "key") as folder:
        assert list(folder.iterdir()) == []


def test_scratch_that_a_killed_run_left_for_other_work_is_removed() -> None:
    with pytest.raises(OSError, match="disk"):
        fail(scratch.of_stage("embed", "old"), "piece")
    with scratch.of_stage("embed", "live") as live:
        (live / "piece").touch()
        with scratch.of_stage("embed", "new"):
            assert sorted(path.name for path in Path(".winnow/embed").iterdir() if path.is_dir()) == ["live", "new"]
            assert (live / "piece").exists(), "other work that goes on keeps its own"
    assert list(Path(".winnow/embed").iterdir()) == []


def test_scratch_of_other_work_is_another_folder() -> None:
    with scratch.of_stage("embed", "one") as one, scratch.of_stage("embed", "two") as two:
        assert one != two


def test_scratch_says_who_works_in_it_and_is_in_the_way_of_no_file() -> None:
    Path(".winnow/embed").mkdir(parents=True)
    Path(".winnow/embed/note").touch()
    with scratch.of_stage("embed", "key") as folder:
        assert folder == Path(".winnow/embed/key")
        assert folder.with_name("key.lock").read_text().endswith(f", which works in {folder}")
    assert os.listdir(".winnow/embed") == ["note"]


def test_pieces_of_an_output_lie_beside_it_and_go_when_it_is_made_of_others() -> None:
    target = Path("deep/[a]" + "n" * 60)
    start = f".[a]{'n' * 47}."
    Path("deep").mkdir()
    for name in (".a.0f.part", f"{start}0f0.part", f"{start}0g.part", f"{start}0.part"):
        Path("deep", name).mkdir()
    Path("deep", f"{start}ff.part").touch()
    kept = sorted(os.listdir("deep"))
    with pytest.raises(OSError, match="disk"):
        fail(scratch.beside(target, "0f"), "piece")
    with scratch.beside(target, "0f") as folder:
        assert folder == Path.cwd() / f"deep/{start}0f.part"
        assert (folder / "piece").read_text() == "written"
        with scratch.beside(target, "1e"):
            assert (folder / "piece").exists(), "other work that goes on keeps its own"
    with pytest.raises(OSError, match="disk"):
        fail(scratch.beside(target, "0f"), "piece")
    with scratch.beside(target, "1e") as folder:
        assert os.listdir(folder) == []
        assert sorted(os.listdir("deep")) == sorted([*kept, folder.name, f"{folder.name}.lock"])
    assert sorted(os.listdir("deep")) == kept
