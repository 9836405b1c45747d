"""What is printed or logged holds no secret, and nothing that a terminal obeys."""

import io
import json
import logging
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.terminal.say import clean, one_line, say

ROOT = Path(__file__).parents[3]
HOSTILE = "\x1b[2J\x1b[32mrelease is whole\x9b1A\r\x07\u202egpj.\u2028\u0085\ud800"
LOUD = """
import winnow.run.decorators, logging, warnings  # as a worker of Prefect does, which knows none of our commands
{setup}
logging.getLogger("tasks.a").warning("class %s", "\\x1b[2Jcat")
try:
    raise OSError("http://me:hunter2@host/ is away \\x1b[2J")
except OSError:
    logging.getLogger("a.library").exception("it failed")
warnings.warn("\\x1b]0;title\\x07 http://me:hunter2@host/", stacklevel=1)
"""


def test_control_characters_are_spelled_out() -> None:
    assert clean("a\x1b[2Jb\x00\x9b\u2028\u202e\ud800") == r"a\x1b[2Jb\x00\x9b\u2028\u202e\ud800"


def test_plain_text_stays_as_it_is() -> None:
    text = "caf\u00e9 \u05d0\u05d1 \U0001f468\u200d\U0001f469 \u2192 a\\b\tc\nd"
    assert clean(text) == text


@given(st.text(st.characters(exclude_characters="\n\t")))
def test_one_line_of_text_stays_one_line(text: str) -> None:
    for said in (clean(text), one_line(f"{text}\n{text}")):
        assert len(said.splitlines()) <= 1
        said.encode()  # it can be printed
        assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in said)


def test_what_is_said_has_no_secret(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORE_PASSWORD", "open sesame")
    say("http://me:hunter2@host/ and open sesame")
    say("https://host/?token=c0ffee", error=True)
    assert tuple(capsys.readouterr()) == ("http://***@host/ and ***\n", "https://host/?token=***\n")


def test_json_that_is_said_stays_json(capsys: pytest.CaptureFixture[str]) -> None:
    say(json.dumps({HOSTILE: [HOSTILE]}))
    assert json.loads(capsys.readouterr().out) == {HOSTILE: [HOSTILE]}


@pytest.mark.parametrize("setup", ["logging.basicConfig()", "import prefect", ""])
def test_logs_and_warnings_of_any_library_are_clean(setup: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOUD.format(setup=setup)], capture_output=True, text=True, check=True, cwd=ROOT
    )
    for words in (r"class \x1b[2Jcat", "it failed", r"OSError: http://***@host/ is away \x1b[2J", r"\x1b]0;title\x07"):
        assert words in done.stderr
    assert "Traceback" in done.stderr
    assert "hunter2" not in done.stderr
    assert "\x1b" not in done.stderr


def test_a_record_without_an_error_has_no_traceback() -> None:
    out = io.StringIO()
    logger, handler = logging.getLogger("quiet"), logging.StreamHandler(out)
    logger.addHandler(handler)
    logger.warning("nothing", exc_info=True)
    logger.removeHandler(handler)
    assert out.getvalue() == "nothing\nNoneType: None\n"


def test_warnings_are_shown_as_before_but_for_what_is_cleaned(recwarn: pytest.WarningsRecorder) -> None:
    assert warnings.formatwarning("so\x1b", UserWarning, "file.py", 3) == "file.py:3: UserWarning: so\\x1b\n"
