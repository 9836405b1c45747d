"""Protect local servers from pages of other sites: their requests are refused before the server sees them.

Prefect's and MLflow's servers run commands for whoever asks. A password does not protect all of their routes, and
MLflow accepts requests from the pages of every other server on this machine.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse
from uvicorn.protocols.http.auto import AutoHTTPProtocol

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send
    from uvicorn import Config

NAMES = ["127.0.0.1", "localhost"]


class OwnPages:
    """Refuses what a page of another origin sends, and whoever calls the server by another name (DNS rebinding)."""

    def __init__(self, app: "ASGIApp") -> None:
        self.app = TrustedHostMiddleware(app, NAMES, www_redirect=False)

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer with 400 for another name and 403 for another origin, or hand the request on."""
        headers = Headers(scope=scope) if scope["type"] in ("http", "websocket") else Headers()
        if _is_foreign(headers):
            await PlainTextResponse("a page of another origin may not ask here", 403)(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def _is_foreign(headers: Headers) -> bool:
    """Whether a page of another origin asks. Browsers name no origin for what a page only shows: images, frames."""
    own = f"http://{headers.get('host')}"
    if any(origin != own for origin in headers.getlist("origin")):
        return True
    opens_a_page = (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")) == ("navigate", "document")
    return headers.get("sec-fetch-site") in ("cross-site", "same-site") and not opens_a_page  # as a link does


def protocol(config: "Config", *given: Any, **named: Any) -> asyncio.Protocol:
    """Put `OwnPages` before an app that is not ours to wrap: `uvicorn --http winnow.local.own_pages:protocol APP`."""
    if not isinstance(config.loaded_app, OwnPages):
        config.loaded_app = OwnPages(config.loaded_app)
    make: Callable[..., asyncio.Protocol] = AutoHTTPProtocol
    return make(config, *given, **named)
