"""The app: ``uvicorn example_app.app:app`` with ``DESCOPE_PROJECT_ID`` set, or ``scripts/demo`` without."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx
from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from example_app import api, pages
from fastapi_descope import Descope, DescopeSettings

from .error_pages import add_error_pages
from .people import People
from .samples import sample_library

__all__ = ["create_app"]

_STATIC = Path(__file__).parent / "static"


def create_app(
    *,
    settings: DescopeSettings | None = None,
    clock: Callable[[], float] = time.time,
    transport: httpx.AsyncBaseTransport | None = None,
    try_it: Sequence[str] = (),
) -> FastAPI:
    """A new Fieldnotes with data of its own.

    The first three go to ``Descope``, which reads ``DESCOPE_*`` variables without ``settings``. ``try_it``
    are e-mail addresses that the home page offers to sign in with: for the demo, where no password is asked.
    """
    app = FastAPI(title="Fieldnotes")
    app.state.clock = clock
    app.state.library = sample_library()
    app.state.people = people = People()
    app.state.try_it = tuple(try_it)

    descope = Descope(app, settings=settings, clock=clock, transport=transport)
    descope.on_login(people.remember)

    app.include_router(pages.router)
    app.include_router(api.router)
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    add_error_pages(app)
    return app


def __getattr__(name: str) -> FastAPI:
    """``app``, made when a server asks for it: importing this module needs no settings."""
    if name == "app":
        return create_app()
    raise AttributeError(name)
