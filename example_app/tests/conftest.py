"""Fixtures of the example app's tests."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import httpx
import pytest
from fastapi import FastAPI

from example_app.tests.app_env import APP, Visit, build_app, build_emulator
from fastapi_descope.emulator import Emulator


@pytest.fixture
def anyio_backend() -> str:
    """The app runs on asyncio, as the plugin does."""
    return "asyncio"


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees a ``DESCOPE_*`` variable that it did not set itself."""
    for name in [name for name in os.environ if name.upper().startswith("DESCOPE_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def emulator() -> Emulator:
    """A Descope, its clock standing still."""
    return build_emulator()


@pytest.fixture
def app(emulator: Emulator) -> FastAPI:
    """Fieldnotes at the emulator."""
    return build_app(emulator)


@pytest.fixture
async def visit(app: FastAPI, emulator: Emulator) -> AsyncIterator[Visit]:
    """Opens browsers at the app; with a user, one that is signed in already.

    They ask for pages, as people do, or for what ``accept`` says.
    """
    async with AsyncExitStack() as opened:

        async def open_browser(
            user: str | None = None, tenant: str | None = None, *, accept: str = "text/html"
        ) -> httpx.AsyncClient:
            transport = httpx.ASGITransport(app)
            client = httpx.AsyncClient(transport=transport, base_url=APP, headers={"Accept": accept})
            if user is not None:
                issued = emulator.issue(user, tenant)
                client.cookies.set("DS", issued.session_jwt, domain="127.0.0.1")
                client.cookies.set("DSR", issued.refresh_jwt, domain="127.0.0.1")
            return await opened.enter_async_context(client)

        yield open_browser
