"""``@public`` opens what its endpoints handle, and nothing else (HP-07).

The oracle is the router itself: the same app without protection shows which endpoint handles a request.
"""

import pytest
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from fastapi_descope import Descope, DescopeSettings
from tests.helpers.asgi_client import open_websocket, send_request
from tests.helpers.tampering import PROJECT
from tests.hostile.tables.public_endpoints import HOSTS, PATHS, REQUESTS, ROOT_PATHS, add_routes

pytestmark = pytest.mark.anyio


class _Twins:
    """The app twice: unprotected and protected."""

    def __init__(self, root_path: str) -> None:
        self.ran: list[str] = []
        self.open, self.protected = FastAPI(), FastAPI()
        Descope(self.protected, settings=DescopeSettings(project_id=PROJECT), protect=True, prefix="/auth")
        for app in (self.open, self.protected):
            add_routes(app, self.ran)
        self._root_path = root_path

    def at_root_path(self, app: FastAPI) -> ASGIApp:
        """Return the app as a server calls it that has a root path."""

        async def served(scope: Scope, receive: Receive, send: Send) -> None:
            path = self._root_path + scope["path"]
            await app({**scope, "root_path": self._root_path, "path": path}, receive, send)

        return served if self._root_path else app

    def take_ran(self) -> list[str]:
        """Return the endpoints that ran, and forget them."""
        ran = self.ran.copy()
        self.ran.clear()
        return ran


@pytest.mark.parametrize(("method", "root_path"), REQUESTS)
async def test_hp07_only_public_endpoints_run_without_a_session(method: str, root_path: str) -> None:
    """For every path the public endpoint runs that the router selects, or the response is a 401."""
    twins, opened = _Twins(root_path), set[str]()
    for path in PATHS:
        free = await send_request(twins.at_root_path(twins.open), path, method=method)
        selected = twins.take_ran()
        guarded = await send_request(twins.at_root_path(twins.protected), path, method=method)
        ran = twins.take_ran()
        if selected and selected[0].startswith("public"):
            assert (ran, guarded.status) == (selected, free.status), path
            opened.update(ran)
        else:
            assert (ran, guarded.status) == ([], 401), path

    assert len(opened) == {"GET": 11, "HEAD": 4}.get(method, 1)


@pytest.mark.parametrize("host", HOSTS)
async def test_hp07_only_public_endpoints_run_on_another_host(host: bytes) -> None:
    """An app may have routes of its own for a host."""
    twins = _Twins("")
    for path in PATHS:
        await send_request(twins.open, path, [(b"host", host)])
        selected = twins.take_ran()
        guarded = await send_request(twins.protected, path, [(b"host", host)])
        is_public = bool(selected) and selected[0].startswith("public")
        assert twins.take_ran() == (selected if is_public else []), path
        assert is_public or guarded.status == 401, path


@pytest.mark.parametrize("root_path", ROOT_PATHS)
async def test_hp07_only_public_sockets_open_without_a_session(root_path: str) -> None:
    """The endpoint for HTTP at the same path does not count."""
    twins, opened = _Twins(root_path), 0
    for path in PATHS:
        await open_websocket(twins.at_root_path(twins.open), path)
        selected = twins.take_ran()
        (first, *_) = await open_websocket(twins.at_root_path(twins.protected), path)
        if selected == ["public socket"]:
            opened += 1
            assert (twins.take_ran(), first["type"]) == (selected, "websocket.accept"), path
        else:
            assert (twins.take_ran(), first["type"]) == ([], "websocket.close"), path

    assert opened
