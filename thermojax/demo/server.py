"""The server of the page: on 127.0.0.1 alone, for pages that it has served itself."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
from jaxtyping import PRNGKeyArray

from ..version import __version__
from .messages import LARGEST, ranges
from .scenes import scene_of, warm_up
from .self_check import SelfCheck, self_check
from .stream import LOG, PageStream

HOST = "127.0.0.1"
PAGES = 8  # at once
STATIC = Path(__file__).with_name("static")
NEEDED = "pip install 'thermojax[demo]'"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


class Desk:
    """The common ground of all pages of a server: the key, the check, the threads that compute."""

    def __init__(self, key: PRNGKeyArray, check: Callable[[PRNGKeyArray], SelfCheck] = self_check):
        self.key, self.check = key, check
        self.pages: set[PageStream] = set()
        self.numbers = itertools.count(1)
        # One thread computes for all: programs that run at once may wait for each other's threads.
        self.executor = ThreadPoolExecutor(1, "thermojax-demo")
        self.checked: asyncio.Future[dict[str, Any]] | None = None

    def begin(self) -> None:
        """Start the check, and compile what the tabs need; called when the server has started."""
        loop = asyncio.get_running_loop()
        self.checked = loop.run_in_executor(self.executor, self.check_in_words)
        for prepare in warm_up():  # one by one, so that frames have their turn in between
            self.executor.submit(prepare)

    def check_in_words(self) -> dict[str, Any]:
        """The self-check as the page takes it; a check that cannot be done is one that fails."""
        try:
            found = self.check(jax.random.fold_in(self.key, 0))
        except Exception:
            LOG.exception("the self-check stopped")
            return {"fine": False, "rows": [], "first_law": None}
        rows = [
            {**x._asdict(), "deviation": x.deviation, "fine": x.fine} for x in found.comparisons
        ]
        return {"fine": found.fine, "rows": rows, "first_law": found.first_law}

    def scene_maker(self) -> Callable[[str], Any]:
        key = jax.random.fold_in(self.key, next(self.numbers))
        return lambda tab: scene_of(tab, key)


def application(desk: Desk, port: int) -> Any:
    """The ASGI application: the page, its stream at `/stream`, and `/status.json`.

    **Arguments:** `desk`; `port`, that the server listens on: other hosts and origins are refused.
    **Raises:** ImportError that names the extra, where starlette is missing.
    """
    try:
        from starlette.applications import Starlette
        from starlette.middleware import Middleware
        from starlette.middleware.trustedhost import TrustedHostMiddleware
        from starlette.responses import JSONResponse
        from starlette.routing import Mount, Route, WebSocketRoute
        from starlette.staticfiles import StaticFiles
    except ImportError as error:
        raise ImportError(f"the live page needs starlette ({error}): {NEEDED}") from None

    async def status(_request):
        checked = desk.checked is not None and desk.checked.done()
        return JSONResponse({"pages": len(desk.pages), "most": PAGES, "checked": checked})

    @contextlib.asynccontextmanager
    async def lifespan(_app):
        desk.begin()
        yield
        desk.executor.shutdown(wait=False, cancel_futures=True)

    return Starlette(
        routes=[
            Route("/status.json", status),
            WebSocketRoute("/stream", lambda socket: serve_page(desk, socket)),
            Mount("/", StaticFiles(directory=STATIC, html=True)),
        ],
        middleware=[
            Middleware(
                TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"], www_redirect=False
            ),
            Middleware(OwnOrigin, port=port),
        ],
        lifespan=lifespan,
    )


class OwnOrigin:
    """Refuses what another site sends here, and adds the headers that keep the page to itself.

    A stream must name an origin, and it must be this server; files may be asked for without one.
    """

    def __init__(self, app: Any, port: int):
        self.app = app
        self.hosts = {f"{name}:{port}" for name in (HOST, "localhost")}
        self.hosts |= {HOST, "localhost"} if port == 80 else set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        from starlette.datastructures import Headers, MutableHeaders
        from starlette.responses import PlainTextResponse

        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        headers = Headers(scope=scope)
        origin, host = headers.get("origin"), headers.get("host", "")
        of_ours = origin in {f"http://{name}" for name in self.hosts}
        if host.lower() not in self.hosts:
            refused = PlainTextResponse(f"another host: expected {HOST}", 421)
            return await refused(scope, receive, send)
        if not (of_ours or (origin is None and scope["type"] == "http")):
            refused = PlainTextResponse("another origin: this page is for itself alone", 403)
            return await refused(scope, receive, send)

        async def send_with_headers(message):
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self.app(scope, receive, send_with_headers)


class SocketChannel:
    """A WebSocket as a `Channel`."""

    def __init__(self, websocket: Any):
        self.websocket = websocket

    async def receive(self) -> tuple[str | None] | None:
        message = await self.websocket.receive()
        return None if message["type"] == "websocket.disconnect" else (message.get("text"),)

    async def send(self, text: str) -> None:
        await self.websocket.send_text(text)


async def serve_page(desk: Desk, websocket: Any) -> None:
    """Greet a page, show it the check, and stream to it until it goes."""
    from starlette.websockets import WebSocketDisconnect

    await websocket.accept()
    page = PageStream(SocketChannel(websocket), desk.scene_maker(), desk.executor)
    with contextlib.suppress(WebSocketDisconnect):
        if len(desk.pages) >= PAGES:
            await page.say(error=f"{PAGES} pages are open already: close one, and load this again")
            await websocket.close(1013)
            return
        desk.pages.add(page)
        try:
            await page.say(kind="hello", version=__version__, ranges=ranges())
            assert desk.checked is not None
            await page.say(kind="check", **await asyncio.shield(desk.checked))
            await page.run()
            with contextlib.suppress(RuntimeError):  # the page has closed it already
                await websocket.close()
        finally:
            desk.pages.discard(page)


def listening(port: int) -> socket.socket:
    """A socket on 127.0.0.1; port 0 takes a free one. **Raises:** OSError where it is taken."""
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((HOST, port))
        found.listen()
    except OSError:
        found.close()
        raise
    return found


def server_of(app: Any) -> Any:
    """The uvicorn server of an application: `server.run(sockets=[listening(port)])`.

    **Raises:** ImportError that names the extra, where uvicorn or websockets are missing.
    """
    try:
        import uvicorn
        import websockets  # noqa: F401 (uvicorn asks for it when the first page comes)
    except ImportError as error:
        raise ImportError(
            f"the live page needs uvicorn and websockets ({error}): {NEEDED}"
        ) from None
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    config = uvicorn.Config(
        app,
        ws="websockets-sansio",
        ws_max_size=4 * LARGEST,  # what is longer than a message is answered, far longer closes
        ws_per_message_deflate=False,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,
    )
    return uvicorn.Server(config)
