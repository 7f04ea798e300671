"""The app and an emulator in one process, with a clock that only advances on demand."""

from collections.abc import Awaitable, Callable

import httpx
from fastapi import FastAPI

from example_app.app import create_app
from example_app.browser import Browser
from fastapi_descope import DescopeSettings
from fastapi_descope.emulator import Clock, Emulator, Project

APP = "http://127.0.0.1:8000"
DESCOPE = "http://localhost:8787"
NOW = 1_800_000_000

ADA, GRACE, HANK = "ada@acme.example", "grace@acme.example", "hank@globex.example"

OpenBrowser = Callable[..., Awaitable[httpx.AsyncClient]]
"""Opens a browser at the app, with or without a session. See the fixture ``open_browser``."""


def build_emulator(project: Project | None = None) -> Emulator:
    """Return an emulator whose project rotates refresh tokens."""
    project = project or Project(rotate_refresh=True)
    return Emulator(project, clock=Clock(lambda: float(NOW)), base_url=DESCOPE)


def build_app(emulator: Emulator) -> FastAPI:
    """Return the app with this emulator as Descope."""
    settings = DescopeSettings(project_id=emulator.project_id, base_url=DESCOPE, public_url=APP)
    return create_app(
        settings=settings, clock=emulator.clock, transport=httpx.ASGITransport(emulator), try_it=(ADA, HANK)
    )


def build_browser(app: FastAPI, emulator: Emulator) -> Browser:
    """Return a browser that reaches the app and the emulator, each at its own origin."""
    mounts = {APP: httpx.ASGITransport(app), DESCOPE: httpx.ASGITransport(emulator)}
    return Browser(httpx.AsyncClient(mounts=mounts), APP)
