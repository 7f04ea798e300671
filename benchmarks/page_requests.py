"""Whole requests: the same FastAPI route alone, with the middleware, with a dependency, with the SDK.

The apps run in-process and are called as a server calls them, so only the app is timed.
"""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Annotated

import httpx
from descope import DescopeClient
from fastapi import Depends, FastAPI, Request
from starlette.types import ASGIApp, Message, Scope

from fastapi_descope import (
    CurrentTenant,
    CurrentUser,
    Descope,
    DescopeMiddleware,
    DescopeSettings,
    require_roles,
)
from fastapi_descope._web.dependencies import get_auth_session
from fastapi_descope.emulator import Emulator

from .floors import cached_session, middleware_only, verified_token
from .peers.page_request import PATH, page_scope
from .rounds import Benchmark

# The SDK uses untyped dicts.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

__all__ = [
    "BASE",
    "BOTH",
    "CONTROL",
    "FLOOR_KNOWN",
    "FLOOR_PUBLIC",
    "FLOOR_UNKNOWN",
    "NOOP",
    "NOOPS",
    "PUBLIC",
    "ROLES",
    "SDK",
    "SESSION",
    "UNKNOWN",
    "request_benchmarks",
]

BASE, CONTROL = "plain route", "plain route, again"
NOOP, NOOPS = "no-op async Depends", "three no-op Depends"
PUBLIC = "public page, middleware only"
SESSION, BOTH, UNKNOWN = "CurrentUser by DS", "CurrentUser by DS and DSR", "CurrentUser, nothing remembered"
ROLES = "CurrentUser, CurrentTenant, require_roles"
SDK = "SDK validate_session, async Depends"
FLOOR_PUBLIC, FLOOR_KNOWN, FLOOR_UNKNOWN = (
    "floor: middleware",
    "floor: cached session",
    "floor: verified token",
)
_ORIGIN = "http://127.0.0.1:8000"
_BATCH = 40


def request_benchmarks(emulator: Emulator) -> Mapping[str, Benchmark]:
    """Return the benchmark of each kind of request, with the cookies of one user of the emulator."""
    pair = emulator.issue("ada@acme.example", "acme")
    session = f"DS={pair.session_jwt}"
    both = f"{session}; DSR={pair.refresh_jwt}"
    return {
        BASE: _benchmark(_plain(), session),
        CONTROL: _benchmark(_plain(), session),
        NOOP: _benchmark(_with_noop(), session),
        NOOPS: _benchmark(_with_three_noops(), both),
        PUBLIC: _benchmark(_public(emulator, router=None), session),
        "public page, router after it": _benchmark(_public(emulator, router="after"), session),
        "public page, router before it": _benchmark(_public(emulator, router="before"), session),
        "get_auth_session(request)": _benchmark(_with_get_auth_session(emulator), session),
        SESSION: _benchmark(_with_user(emulator), session),
        BOTH: _benchmark(_with_user(emulator), both),
        ROLES: _benchmark(_with_roles(emulator), both),
        UNKNOWN: _benchmark(_with_user(emulator, token_cache_size=0), session),
        SDK: _benchmark(_with_sdk(emulator), session),
        FLOOR_PUBLIC: _benchmark(middleware_only(), session),
        FLOOR_KNOWN: _benchmark(cached_session(), session),
        FLOOR_UNKNOWN: _benchmark(verified_token(emulator.public_keys[0], emulator.project_id), session),
    }


def _plain() -> FastAPI:
    app = FastAPI(openapi_url=None)
    app.add_api_route(PATH, _page)
    return app


async def _page() -> dict[str, str]:
    return {"page": "public"}


async def _noop() -> None:
    pass


def _with_noop() -> FastAPI:
    app = FastAPI(openapi_url=None)

    @app.get(PATH)
    async def page(noop: Annotated[None, Depends(_noop)]) -> dict[str, str]:
        del noop
        return {"page": "public"}

    return app


def _with_three_noops() -> FastAPI:
    app = FastAPI(openapi_url=None)

    async def second() -> None:
        pass

    async def third() -> None:
        pass

    @app.get(PATH, dependencies=[Depends(third)])
    async def page(
        noop: Annotated[None, Depends(_noop)], other: Annotated[None, Depends(second)]
    ) -> dict[str, str]:
        del noop, other
        return {"page": "public"}

    return app


def _descope(emulator: Emulator, **settings: object) -> Descope:
    values = {
        "project_id": emulator.project_id,
        "base_url": "http://127.0.0.1:8787",
        "public_url": _ORIGIN,
        **settings,
    }
    return Descope(
        settings=DescopeSettings(**values),  # type: ignore[arg-type] # any setting, by keyword
        transport=httpx.ASGITransport(emulator),
    )


def _public(emulator: Emulator, *, router: str | None) -> FastAPI:
    app = FastAPI(openapi_url=None)
    descope = _descope(emulator)
    if router == "before":
        app.include_router(descope.router)
    app.add_api_route(PATH, _page)
    if router == "after":
        app.include_router(descope.router)
    app.add_middleware(DescopeMiddleware, descope=descope)
    return app


def _with_user(emulator: Emulator, **settings: object) -> FastAPI:
    app = FastAPI(openapi_url=None)

    @app.get(PATH)
    async def page(user: CurrentUser) -> dict[str, str]:
        return {"page": user.id}

    app.add_middleware(DescopeMiddleware, descope=_descope(emulator, **settings))
    return app


def _with_roles(emulator: Emulator) -> FastAPI:
    app = FastAPI(openapi_url=None)

    @app.get(PATH, dependencies=[Depends(require_roles("admin"))])
    async def page(user: CurrentUser, tenant: CurrentTenant) -> dict[str, str]:
        del tenant
        return {"page": user.id}

    app.add_middleware(DescopeMiddleware, descope=_descope(emulator))
    return app


def _with_get_auth_session(emulator: Emulator) -> FastAPI:
    app = FastAPI(openapi_url=None)

    @app.get(PATH)
    async def page(request: Request) -> dict[str, str]:
        session = await get_auth_session(request)
        return {"page": session.user.id if session else "anonymous"}

    app.add_middleware(DescopeMiddleware, descope=_descope(emulator))
    return app


def _with_sdk(emulator: Emulator) -> FastAPI:
    (key,) = emulator.public_keys
    client = DescopeClient(project_id=emulator.project_id, public_key=key, base_url="http://127.0.0.1:8787")
    app = FastAPI(openapi_url=None)

    async def current_claims(request: Request) -> dict[str, object]:
        return client.validate_session(request.cookies["DS"])

    @app.get(PATH)
    async def page(claims: Annotated[dict[str, object], Depends(current_claims)]) -> dict[str, object]:
        return {"page": claims["sub"]}

    return app


def _benchmark(app: ASGIApp, cookies: str) -> Benchmark:
    def prepare(size: int) -> Callable[[], Awaitable[None]]:
        scopes = [page_scope(f"cookie: {cookies}") for _ in range(size)]

        async def drive() -> None:
            for scope in scopes:
                await serve(app, scope)

        return drive

    return Benchmark(_BATCH, prepare)


async def serve(app: ASGIApp, scope: Scope) -> None:
    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        assert message["type"] != "http.response.start" or message["status"] == HTTPStatus.OK, message

    await app(scope, receive, send)
