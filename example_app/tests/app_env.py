"""The app and an emulator in one process, with a clock that only advances on demand."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager

import httpx
from fastapi import FastAPI
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from example_app.app import create_app
from example_app.browser import Browser
from example_app.database import Database
from example_app.demo import WAYS_IN
from example_app.models import Report
from fastapi_descope import DescopeSettings
from fastapi_descope.emulator import Clock, Emulator, Project

APP = "http://127.0.0.1:8000"
DESCOPE = "http://localhost:8787"
NOW = 1_800_000_000

ADA, GRACE, HANK = "ada@acme.example", "grace@acme.example", "hank@globex.example"
NOMAD = "nomad@example.org"
"""A user without an organisation."""

OpenBrowser = Callable[..., Awaitable[httpx.AsyncClient]]
"""Opens a browser at the app, with or without a session. See the fixture ``open_browser``."""


def build_emulator(project: Project | None = None) -> Emulator:
    """Return an emulator whose project rotates refresh tokens."""
    project = project or Project(rotate_refresh=True, open_sign_up=True)
    return Emulator(project, clock=Clock(lambda: float(NOW)), base_url=DESCOPE)


def build_app(
    emulator: Emulator, database_url: str | None = None, *, ways_in: Sequence[str] = WAYS_IN
) -> FastAPI:
    """Return the app with this emulator as Descope. Its lifespan opens the database."""
    settings = DescopeSettings(
        project_id=emulator.project_id,
        base_url=DESCOPE,
        public_url=APP,
        login_methods=ways_in,
        sign_up=True,
    )
    return create_app(
        settings=settings,
        clock=emulator.clock,
        transport=httpx.ASGITransport(emulator),
        try_it=(ADA, HANK),
        database_url=database_url,
    )


def session(app: FastAPI, tenant_id: str) -> AbstractAsyncContextManager[AsyncSession]:
    """Open a session of the app's database for a tenant."""
    database: Database = app.state.database
    return database.sessions.session(tenant_id)


async def archive(app: FastAPI, report_id: str) -> None:
    """Archive a report of Acme behind the app's back."""
    async with session(app, "acme") as db:
        await db.execute(update(Report).where(Report.id == report_id).values(archived=True))
        await db.commit()


def build_browser(app: FastAPI, emulator: Emulator) -> Browser:
    """Return a browser that reaches the app and the emulator, each at its own origin."""
    mounts = {APP: httpx.ASGITransport(app), DESCOPE: httpx.ASGITransport(emulator)}
    return Browser(httpx.AsyncClient(mounts=mounts), APP)
