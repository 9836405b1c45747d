"""A few kills at random moments; `kill_at_random.py` itself does as many as it is asked for."""

from pathlib import Path

import pytest
from faults import kill_at_random


@pytest.mark.slow
def test_commands_that_are_killed_are_finished_by_themselves(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    faults = kill_at_random.main(seed=0, count=len(kill_at_random.COMMANDS), room=tmp_path, env=environment)
    assert faults == 0, capsys.readouterr().out
