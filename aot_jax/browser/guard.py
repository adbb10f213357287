"""Refuse requests without the token, with a Host header or origin of another machine or page, or malformed ones.

Every answer gets the headers that protect the page.
"""

import contextlib
import ipaddress
import secrets
import socket
from collections.abc import Iterator

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from aot_jax.browser.session import SessionError

LOOPBACK = {"127.0.0.1", "localhost", "[::1]"}
MALFORMED = (LookupError, TypeError, ValueError, OverflowError, RecursionError)  # errors of reading any JSON
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob:; base-uri 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # the address holds the token
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """ASGI middleware that refuses unauthorised requests, and adds `HEADERS` to every answer.

    Args:
        app: application that answers authorised requests.
        token: secret, the first part of every path.
        host: name or address that the server listens on.
    """

    def __init__(self, app: ASGIApp, token: str, host: str) -> None:
        self._app, self._token = app, token
        self._open = host in ("0.0.0.0", "::")
        own = (
            {socket.gethostname(), f"{socket.gethostname()}.local", socket.getfqdn()}
            if self._open
            else {in_address(host)}
        )
        self._hosts = LOOPBACK | {name.lower() for name in own}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        reason = self._refusal(scope) if scope["type"] in ("http", "websocket") else None
        if reason is None:
            await self._app(scope, receive, send_guarded)
        elif scope["type"] == "websocket":
            await WebSocket(scope, receive, send).close(code=1008)
        else:
            await PlainTextResponse(reason, status_code=403)(scope, receive, send_guarded)

    def _refusal(self, scope: Scope) -> str | None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "")
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if name.lower() not in self._hosts and not (self._open and _is_address(name)):
            return (
                f"this server does not answer to {name!r}; use the address that the command printed (docs/browser.md)"
            )
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != host:
            return "this request comes from another page"
        if origin is None and (scope["type"] == "websocket" or scope["method"] not in ("GET", "HEAD")):
            return "this request names no page that it comes from"
        path = scope["path"]
        given = path.split("/")[1] if path != "/" else Request({**scope, "type": "http"}).query_params.get("token", "")
        if not secrets.compare_digest(given.encode(), self._token.encode()):
            return "the address lacks the token: use the one that the command printed"
        return None


def in_address(host: str) -> str:
    """Return a host as it stands in an address: IPv6 addresses have brackets there."""
    return f"[{host}]" if ":" in host else host


def _is_address(name: str) -> bool:
    """Tell whether a host is an IP address; another page can make a name of its own lead here, but not an address."""
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


@contextlib.contextmanager
def parsing() -> Iterator[None]:
    """Turn the errors of reading a malformed request into a `SessionError`."""
    try:
        yield
    except MALFORMED as error:
        raise SessionError(f"a request that cannot be read ({error!r}); reload the page") from error
