"""Push data to DVC's remote: retry temporary errors with growing pauses, and report others at once."""

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_exponential

from winnow.errors import InputError
from winnow.terminal.say import say

ATTEMPTS = 4
PAUSE, LONGEST = 1.0, 30.0  # seconds: before the second attempt, doubled for each that follows
PASSING = (408, 425, 429)  # of HTTP's codes below 500: those that ask to come again
FOR_GOOD = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOENT, errno.ENOTDIR)


def push() -> int:
    """Push the data of the repository in the working directory to its default remote; how many files it lacked.

    Raises:
        InputError: the remote refused, or went on failing; with what it said.
    """
    again = Retrying(
        retry=retry_if_exception(lambda error: isinstance(error, Exception) and may_pass(error)),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_exponential(PAUSE, max=LONGEST),
        before_sleep=_say,
        reraise=True,
    )
    try:
        return again(_push)
    except InputError:
        raise
    except Exception as error:
        tried = f"after {ATTEMPTS} attempts" if may_pass(error) else "and will again"
        raise InputError(
            f"DVC's remote refused {tried} ({_words(error)}). Nothing is lost: mend it, and the same command goes on"
        ) from error


@contextmanager
def opened() -> Iterator[Any]:
    """The DVC repository; what goes wrong in it is said in its words."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(".") as repository:
            yield repository
    except DvcException as error:
        raise InputError(f"DVC: {error}") from error


def _push() -> int:
    """One attempt; where files fail, raises what the first did, a refusal for good before others."""
    from dvc.exceptions import UploadError

    kept, log = _Kept(), logging.getLogger("dvc_data.hashfile.transfer")
    log.addFilter(kept)
    try:
        with opened() as repository:
            try:
                return int(repository.push())
            except UploadError as error:
                raise min(kept.errors, key=may_pass, default=error) from None
    finally:
        log.removeFilter(kept)


class _Kept(logging.Filter):
    """DVC logs why a file failed, with a traceback, and raises how many did: the reasons, kept instead."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[Exception] = []

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep the reason, and print nothing."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, Exception):
            self.errors.append(error)
        return error is None


def may_pass(error: Exception) -> bool:
    """Not where a remote knows who asks and says no, or is full, or cannot be written."""
    code = _code(error)
    if code:
        return code >= 500 or code in PASSING
    if isinstance(error, InputError | PermissionError | FileNotFoundError):
        return False
    return getattr(error, "errno", None) not in FOR_GOOD


def _code(error: BaseException | None) -> int:
    """HTTP's code in an error of aiohttp or botocore, or in what led to it; 0 where there is none."""
    while error:
        answer = getattr(error, "response", None)
        known = answer.get("ResponseMetadata", {}).get("HTTPStatusCode") if isinstance(answer, dict) else None
        code = known or getattr(error, "status", None)
        if isinstance(code, int) and code >= 400:
            return code
        error = error.__cause__
    return 0


def _words(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _say(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    pause = state.next_action.sleep if state.next_action else 0
    say(f"  the remote did not take it ({_words(error or Exception())}); again in {pause:.0f} s")
