"""Prints the modules that the first requests of a server import, one in each line.

Runs in a process of its own, which has imported nothing but an app. ``imports`` starts it with the URL and
the project of an emulator, and with the ``Cookie`` headers of a known session and of one that has expired.
"""

import asyncio
import sys

from fastapi import FastAPI
from starlette.types import Message

from fastapi_descope import CurrentUser, Descope, DescopeSettings

_HEADERS = {"host": "127.0.0.1:8000", "accept": "text/html", "sec-fetch-mode": "navigate"}


def _app(url: str, project_id: str) -> tuple[FastAPI, Descope]:
    app = FastAPI()
    settings = DescopeSettings(project_id=project_id, base_url=url, public_url="http://127.0.0.1:8000")
    descope = Descope(app, settings=settings)

    @app.get("/me")
    async def me(user: CurrentUser) -> dict[str, str]:
        return {"id": user.id}

    return app, descope


async def _get(app: FastAPI, path: str, query: str = "", cookies: str = "") -> int:
    """Send a request to the app and return the status of its response."""
    headers = [(name.encode(), value.encode()) for name, value in {**_HEADERS, "cookie": cookies}.items()]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 40_000),
        "server": ("127.0.0.1", 8000),
    }
    status = 0

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status
        status = message.get("status", status)

    await app(scope, receive, send)
    return status


async def main(url: str, project_id: str, known: str, expired: str) -> None:
    """Serve a login, a request with a session and one with a refresh; print the new modules."""
    app, descope = _app(url, project_id)
    async with descope.lifespan(app):
        while not descope.ready():  # noqa: ASYNC110 - as a readiness probe does
            await asyncio.sleep(0.01)
        before = set(sys.modules)
        statuses = [
            await _get(app, "/login/sso", query="tenant=acme"),
            await _get(app, "/me", cookies=known),
            await _get(app, "/me", cookies=expired),
        ]
        assert statuses == [303, 200, 200], statuses
        print(*sorted(set(sys.modules) - before), sep="\n")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
