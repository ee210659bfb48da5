"""Who may talk to the review page, and what a browser may do with its answers."""

from __future__ import annotations

import secrets

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOKEN_PARAMETER = "token"
TOKEN_HEADER = "X-Review-Token"
REFUSAL = (
    "Not without its token: open the address that `safer-clip benchmark review` printed when it was last started. "
    "Each start makes a new one.\n"
)
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def cookie_name(port: int | None) -> str:
    """Cookies do not know ports, but two reviewers on one machine must not overwrite each other's."""
    return f"safer_clip_review_{port or 80}"


class TokenGuard:
    """Lets through who has the token.

    The page itself may be opened with the token in its address. Everything else that only reads takes the cookie that the
    page sets; what writes takes the token from a header alone, which no other site can make a browser send.

    Args:
        app: what is guarded.
        token: the secret.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app = app
        self.token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with 403, or hand over to the guarded application."""
        guarded = self.app if self._admits(Request(scope)) else PlainTextResponse(REFUSAL, status_code=403)
        await guarded(scope, receive, send)

    def _admits(self, request: Request) -> bool:
        if request.method not in ("GET", "HEAD"):
            return self._knows(request.headers.get(TOKEN_HEADER))
        named = request.query_params.get(TOKEN_PARAMETER)
        if named is not None and request.url.path == "/":
            return self._knows(named)
        return self._knows(request.cookies.get(cookie_name(request.url.port)))

    def _knows(self, token: str | None) -> bool:
        return secrets.compare_digest((token or "").encode(), self.token)


def add_headers(app: ASGIApp) -> ASGIApp:
    """Wrap an application so that all its answers have :data:`HEADERS`."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await app(scope, receive, send_with_headers)

    return wrapped
