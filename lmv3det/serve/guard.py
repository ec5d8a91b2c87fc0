"""What every answer carries, who may ask, and what is counted of it: one layer round the app."""

from __future__ import annotations

import time
from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lmv3det.serve.metrics import Metrics

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Guard:
    """Sets the headers, counts, and refuses what other sites' pages make a browser send.

    Args:
        app: what answers.
        metrics: count.
        paths: that are counted by themselves; the rest is counted together.
        hosts: names under which the server may be asked, which keeps away pages that point a name
            of their own at this computer; empty for any.
    """

    def __init__(
        self, app: ASGIApp, metrics: Metrics, paths: Collection[str], hosts: Collection[str]
    ) -> None:
        self.app, self.metrics, self.paths, self.hosts = app, metrics, paths, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"] if scope["path"] in self.paths else "other"
        began, status = time.monotonic(), 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refused = self._refused(scope["method"], Headers(scope=scope))
        if refused:
            app: ASGIApp = JSONResponse({"error": refused}, 403, {"Connection": "close"})
        else:
            app = self.app
        try:
            await app(scope, receive, send_with_headers)
        finally:
            self.metrics.requests.labels(path, str(status or 499)).inc()
            self.metrics.seconds.labels(path).observe(time.monotonic() - began)

    def _refused(self, method: str, headers: Headers) -> str:
        host = headers.get("host", "")
        name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
        if self.hosts and name.casefold() not in self.hosts:
            return "This server answers under the names of this computer alone."
        reads = method in ("GET", "HEAD")
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        if site is None:  # a browser of before 2023, which sends where a form comes from; or none
            foreign = (
                origin is not None and origin.partition("://")[2].casefold() != host.casefold()
            )
        else:
            # `none`: somebody typed the address. Another port of this computer is `same-site`.
            link = reads and headers.get("sec-fetch-mode") == "navigate"
            foreign = site not in ("same-origin", "none") and not link
        return "Pages of other sites may not use this server." if foreign else ""
