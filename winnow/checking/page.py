"""The page of `winnow check`: one image at a time, answered with the keyboard; for this machine's own browser alone.

It listens at 127.0.0.1 under a random path, and `local.own_pages` refuses what pages of other origins send.
"""

import base64
import hashlib
import io
import json
import secrets
import socket
from contextlib import suppress
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route

from winnow.checking.session import Session
from winnow.errors import InputError
from winnow.images import dataset
from winnow.local.own_pages import OwnPages
from winnow.reports import pages
from winnow.terminal.say import one_line, say

HOST = "127.0.0.1"
SIZE = 512  # pixels of an image's longer side
LONGEST = 16_384  # bytes of an answer
SCRIPT = Path(pages.__file__).with_name("templates") / "check.js"


def app(session: Session, token: str, by: str) -> OwnPages:
    """The page and what it asks, under the path `token`."""
    script = SCRIPT.read_text(encoding="utf-8")
    content = {
        "script": script,
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "classes": session.data.classes,
        "images": session.shown,
        "by": by,
        "name": Path.cwd().name,
    }
    policy = (
        f"default-src 'none'; img-src 'self' data:; connect-src 'self'; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{content['script_hash']}'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    )
    headers = {"Content-Security-Policy": policy, "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}

    def page(_: Request) -> Response:
        return HTMLResponse(pages.render("check.html.jinja", content), headers=headers)

    def state(_: Request) -> Response:
        return _told(session)

    def image(request: Request) -> Response:
        number = request.path_params["number"]
        if number >= len(session.shown):
            return PlainTextResponse("there is no such image", 404)
        try:
            (found,) = dataset.thumbnails(session.data, [session.shown[number]["id"]], SIZE).values()
        except InputError as error:
            return PlainTextResponse(str(error), 409)
        file = io.BytesIO()
        found.save(file, "WEBP", quality=90)
        return Response(file.getvalue(), media_type="image/webp", headers={"Cache-Control": "private, max-age=3600"})

    async def answer(request: Request) -> Response:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > LONGEST:
                return PlainTextResponse("that is too long for an answer", 413)
        return await run_in_threadpool(_answer, session, body)

    routes = [
        Route("/", page),
        Route("/state", state),
        Route("/image/{number:int}", image),
        Route("/answer", answer, methods=["POST"]),
    ]
    return OwnPages(Starlette(routes=[Mount(f"/{token}", routes=routes)]))


def _answer(session: Session, body: bytes) -> Response:
    try:
        told = json.loads(body)
        number, words = int(told["number"]), [str(told.get(key, "")) for key in ("decision", "label", "by")]
        session.answer(number, *words)
    except InputError as error:
        return PlainTextResponse(str(error), 400)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return PlainTextResponse("that is no answer", 400)
    return _told(session)


def _told(session: Session) -> Response:
    try:
        return JSONResponse(session.state(), headers={"Cache-Control": "no-store"})
    except InputError as error:
        return PlainTextResponse(str(error), 409)


def serve(session: Session, port: int, by: str) -> None:
    """Serve until interrupted, and say where.

    Raises:
        InputError: the port is taken.
    """
    token = secrets.token_urlsafe(24)
    try:
        listening = socket.create_server((HOST, port))
    except OSError as error:
        raise InputError(f"--port {port}: {error.strerror}; choose another, or 0 for any that is free") from error
    with listening:
        say(
            f"check {len(session.shown)} images at http://{HOST}:{listening.getsockname()[1]}/{token}/ (Ctrl-C ends it)"
        )
        say(f"answers go to {one_line(session.path)}")
        server = uvicorn.Server(uvicorn.Config(app(session, token, by), log_level="error", access_log=False))
        with suppress(KeyboardInterrupt):
            server.run([listening])
