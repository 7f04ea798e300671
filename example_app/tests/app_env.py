"""Fieldnotes and an emulator in one process, on one clock that stands still until it is moved."""

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

Visit = Callable[..., Awaitable[httpx.AsyncClient]]
"""Opens a browser at the app: a stranger's, or that of a user in a tenant. See the fixture."""


def build_emulator(project: Project | None = None) -> Emulator:
    """A Descope that rotates refresh tokens."""
    project = project or Project(rotate_refresh=True)
    return Emulator(project, clock=Clock(lambda: float(NOW)), base_url=DESCOPE)


def build_app(emulator: Emulator) -> FastAPI:
    """Fieldnotes at this emulator."""
    settings = DescopeSettings(project_id=emulator.project_id, base_url=DESCOPE, public_url=APP)
    return create_app(
        settings=settings, clock=emulator.clock, transport=httpx.ASGITransport(emulator), try_it=(ADA, HANK)
    )


def build_browser(app: FastAPI, emulator: Emulator) -> Browser:
    """A browser that reaches both of them, each at its own address."""
    mounts = {APP: httpx.ASGITransport(app), DESCOPE: httpx.ASGITransport(emulator)}
    return Browser(httpx.AsyncClient(mounts=mounts), APP)
