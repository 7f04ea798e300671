"""Fixtures of the example app's tests."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import httpx
import pytest
from fastapi import FastAPI

from example_app.tests.app_env import APP, OpenBrowser, build_app, build_emulator
from fastapi_descope.emulator import Emulator


@pytest.fixture
def anyio_backend() -> str:
    """Run the tests on asyncio only, as the plugin requires."""
    return "asyncio"


@pytest.fixture(autouse=True)
def _remove_descope_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove ``DESCOPE_*`` variables of the environment, so that tests see only their own."""
    for name in [name for name in os.environ if name.upper().startswith("DESCOPE_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def emulator() -> Emulator:
    """Return an emulator."""
    return build_emulator()


@pytest.fixture
async def app(emulator: Emulator) -> AsyncIterator[FastAPI]:
    """Return the running app with the emulator as Descope, and a database of its own."""
    app = build_app(emulator)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def open_browser(app: FastAPI, emulator: Emulator) -> AsyncIterator[OpenBrowser]:
    """Return a function that opens a browser at the app; with a user, it has a session.

    It requests HTML, or what ``accept`` names.
    """
    async with AsyncExitStack() as stack:

        async def start(
            user: str | None = None, tenant: str | None = None, *, accept: str = "text/html"
        ) -> httpx.AsyncClient:
            transport = httpx.ASGITransport(app)
            client = httpx.AsyncClient(transport=transport, base_url=APP, headers={"Accept": accept})
            if user is not None:
                issued = emulator.issue(user, tenant)
                client.cookies.set("DS", issued.session_jwt, domain="127.0.0.1")
                client.cookies.set("DSR", issued.refresh_jwt, domain="127.0.0.1")
            return await stack.enter_async_context(client)

        yield start
