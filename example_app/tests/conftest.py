"""Fieldnotes and an emulator in one process, on one clock that stands still until it is moved."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import httpx
import pytest
from fastapi import FastAPI

from example_app.app import create_app
from fastapi_descope import DescopeSettings
from fastapi_descope.emulator import Clock, Emulator, Project

APP = "http://127.0.0.1:8000"
DESCOPE = "http://localhost:8787"
NOW = 1_800_000_000.0

Visit = Callable[..., Awaitable[httpx.AsyncClient]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of the shell that runs the tests stay out of them."""
    for name in [name for name in os.environ if name.upper().startswith("DESCOPE_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def emulator() -> Emulator:
    return Emulator(Project(rotate_refresh=True), clock=Clock(lambda: NOW), base_url=DESCOPE)


@pytest.fixture
def app(emulator: Emulator) -> FastAPI:
    settings = DescopeSettings(project_id=emulator.project_id, base_url=DESCOPE, public_url=APP)
    return create_app(settings=settings, clock=emulator.clock, transport=httpx.ASGITransport(emulator))


@pytest.fixture
async def visit(app: FastAPI, emulator: Emulator) -> AsyncIterator[Visit]:
    """Opens a browser at the app: nobody's, or that of a user in a tenant, signed in without the way there.

    It asks for pages, as a person does; with ``accept`` it asks for something else.
    """
    async with AsyncExitStack() as browsers:

        async def opened(
            user: str | None = None, tenant: str | None = None, *, accept: str = "text/html"
        ) -> httpx.AsyncClient:
            client = httpx.AsyncClient(
                transport=httpx.ASGITransport(app), base_url=APP, headers={"Accept": accept}
            )
            if user is not None:
                issued = emulator.issue(user, tenant)
                client.cookies.set("DS", issued.session_jwt, domain="127.0.0.1")
                client.cookies.set("DSR", issued.refresh_jwt, domain="127.0.0.1")
            return await browsers.enter_async_context(client)

        yield opened
