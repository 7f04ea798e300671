"""The app. Run ``uvicorn example_app.app:app`` with ``DESCOPE_PROJECT_ID`` set, or run ``scripts/demo``."""

import os
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from example_app import activity, api, attachments, members, pages
from fastapi_descope import Descope, DescopeSettings

from .database import open_database
from .error_pages import add_error_pages
from .members import MemberDirectory
from .page import render_descope_page
from .people import remember_user

__all__ = ["create_app"]

_STATIC = Path(__file__).parent / "static"


def create_app(
    *,
    settings: DescopeSettings | None = None,
    clock: Callable[[], float] = time.time,
    transport: httpx.AsyncBaseTransport | None = None,
    try_it: Sequence[str] = (),
    management_key: str | None = None,
    database_url: str | None = None,
    samples: bool = True,
) -> FastAPI:
    """Return a new app. Its lifespan opens the database.

    Args:
        settings: Settings for ``Descope``; None to read the ``DESCOPE_*`` environment variables.
        clock: The clock of ``Descope`` and of the pages, in epoch seconds.
        transport: Replaces the connections to Descope in tests.
        try_it: E-mail addresses for which the home page shows login links. The demo uses them: its emulator
            needs no password.
        management_key: The key of Descope's management API, with which admins see and change members; None to
            read ``DESCOPE_MANAGEMENT_KEY``. Without one, the page about the members explains itself.
        database_url: The database, as SQLAlchemy writes it; None for a temporary one.
        samples: Whether to add the sample reports of the emulator's organisations.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        async with open_database(database_url, samples=samples) as database:
            app.state.database = database
            yield

    app = FastAPI(title="Fieldnotes", lifespan=lifespan)
    app.state.clock = clock
    app.state.try_it = tuple(try_it)

    app.state.descope = descope = Descope(
        app, settings=settings, render_page=render_descope_page, clock=clock, transport=transport
    )
    descope.on_login(remember_user)
    key = management_key or os.environ.get("DESCOPE_MANAGEMENT_KEY")
    project_id, base_url = descope.settings.project_id, descope.settings.base_url
    app.state.member_directory = MemberDirectory(project_id, key, base_url) if key else None

    app.include_router(pages.router)
    app.include_router(members.router)
    app.include_router(attachments.router)
    app.include_router(activity.router)
    app.include_router(api.router)
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    add_error_pages(app)
    return app


def __getattr__(name: str) -> FastAPI:
    """Create ``app`` on first access, so that importing this module needs no settings."""
    if name == "app":
        url = os.environ.get("DATABASE_URL", "sqlite+aiosqlite:///fieldnotes.db")
        return create_app(database_url=url, samples="FIELDNOTES_SAMPLES" in os.environ)
    raise AttributeError(name)
