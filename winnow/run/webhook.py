"""Notify a webhook, if WINNOW_WEBHOOK names one, that a refresh needs a person."""

import os
from typing import Any

import httpx
from prefect.runtime import flow_run

from winnow.run import run_log
from winnow.terminal.say import clean, say

VARIABLE = "WINNOW_WEBHOOK"
PATIENCE = 10  # seconds for an answer


def send(words: str, reasons: list[str]) -> None:
    """Post what happened as JSON; that nobody listens there stops nothing, and hides nothing.

    Args:
        words: for people; `text`, as chat services read it.
        reasons: one a check that refused.
    """
    address = os.environ.get(VARIABLE)
    if not address:
        return
    notice: dict[str, Any] = {"text": clean(words), "reasons": [clean(reason) for reason in reasons]}
    notice |= {"run": run_log.current(), "flow_run": flow_run.get_flow_run_ui_url() if flow_run.get_id() else None}
    try:
        httpx.post(address, json=notice, timeout=PATIENCE, follow_redirects=True).raise_for_status()
    except httpx.HTTPStatusError as error:  # its own words hold the address
        answer = error.response
        say(f"the webhook ({VARIABLE}) was not notified: it answers {answer.status_code} {answer.reason_phrase}")
    except Exception as error:  # whatever it is, what was to be told is worse
        say(f"the webhook ({VARIABLE}) was not notified: {error or type(error).__name__}")
