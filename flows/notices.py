"""Who is told that a refresh needs a person: a webhook, where WINNOW_WEBHOOK names one."""

import json
import os
import urllib.request
from typing import Any

from prefect.runtime import flow_run

from flows import journal
from tasks.say import clean, say

VARIABLE = "WINNOW_WEBHOOK"
PATIENCE = 10  # seconds for an answer


def send(words: str, reasons: list[str]) -> None:
    """Post what happened as JSON; that nobody listens stops nothing.

    Args:
        words: for people; `text`, as chat services read it.
        reasons: one a check that refused.
    """
    address = os.environ.get(VARIABLE)
    if not address:
        return
    notice: dict[str, Any] = {"text": clean(words), "reasons": [clean(reason) for reason in reasons]}
    notice |= {"run": journal.current(), "flow_run": flow_run.get_flow_run_ui_url() if flow_run.get_id() else None}
    try:
        if not address.startswith(("http://", "https://")):
            raise ValueError("it is no http:// or https:// address")
        request = urllib.request.Request(address, json.dumps(notice).encode(), {"Content-Type": "application/json"})  # noqa: S310 as checked
        urllib.request.urlopen(request, timeout=PATIENCE).close()  # noqa: S310
    except (OSError, ValueError) as error:
        say(f"the webhook ({VARIABLE}) was not told: {error}")
