"""The request for the page, as a scope for an app and as headers for a client over a socket."""

from contextlib import suppress

from starlette.types import ASGIApp, Message, Scope

__all__ = ["BROWSER_HEADERS", "PATH", "page_scope", "status_of"]

PATH = "/page"
BROWSER_HEADERS = (
    "user-agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "accept: application/json",
    "accept-encoding: gzip, deflate",
    "sec-fetch-site: same-origin",
)


def page_scope(*headers: str) -> Scope:
    """Return a new scope with these headers, the objects of which are new, too.

    A server reads them from a socket. An old object would have its hash already, which makes lookups cheaper.
    """
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": PATH,
        "raw_path": PATH.encode(),
        "root_path": "",
        "query_string": b"",
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 8000),
        "headers": [_header(text) for text in ("host: 127.0.0.1:8000", *BROWSER_HEADERS, *headers)],
        "state": {},
    }


def _header(text: str) -> tuple[bytes, bytes]:
    name, _, value = text.encode().partition(b": ")
    return name, value


async def status_of(app: ASGIApp, scope: Scope) -> int:
    """Serve one request and return the status, which is 500 if the app raises an exception."""
    statuses = [500]

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    with suppress(Exception):  # Starlette sends a 500 and raises the exception, which a server logs
        await app(scope, receive, send)
    return statuses[-1]
