"""Authentication by hand with the fewest steps, as a lower bound for the cost of the package.

No app here is secure. The middleware does what every middleware with sessions needs, the cache checks nothing
but the time, and the verification checks a signature, an issuer and an expiry.
"""

import json
import time
from base64 import urlsafe_b64decode
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from hashlib import sha256
from typing import Annotated

from fastapi import Depends, FastAPI
from jose.backends.base import Key
from jose.backends.cryptography_backend import CryptographyRSAKey
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .peers.page_request import PATH

# The stubs of python-jose leave the result of verify untyped.
# pyright: reportUnknownMemberType=false

__all__ = ["cached_session", "middleware_only", "verified_token"]

_tenant_id: ContextVar[str | None] = ContextVar("tenant_id", default=None)

_Claims = Mapping[str, object]


def middleware_only() -> FastAPI:
    """Return an app with the middleware and a page that does not use the session."""
    app = FastAPI(openapi_url=None)
    app.add_middleware(_Middleware)

    @app.get(PATH)
    async def page() -> dict[str, str]:
        return {"page": "public"}

    return app


def cached_session() -> FastAPI:
    """Return an app that remembers the cookies of every request by their SHA-256, without verifying them."""
    sessions: dict[bytes, tuple[str, float]] = {}

    async def current_user(connection: HTTPConnection) -> str:
        key = sha256(_cookies(connection.scope)).digest()
        user_id, expires_at = sessions.setdefault(key, ("U2ada", time.time() + 3600))
        assert time.time() < expires_at
        return user_id

    return _app(current_user)


def verified_token(jwk: Mapping[str, str], issuer: str) -> FastAPI:
    """Return an app that verifies the token in the last cookie of every request."""
    key: Key = CryptographyRSAKey({"kty": "RSA", "n": jwk["n"], "e": jwk["e"]}, "RS256")

    async def current_user(connection: HTTPConnection) -> str:
        signed, _, signature = _cookies(connection.scope).rpartition(b"=")[2].rpartition(b".")
        assert key.verify(signed, _decode(signature))
        claims: _Claims = json.loads(_decode(signed.partition(b".")[2]))
        assert claims["iss"] == issuer
        expires_at = claims["exp"]
        assert isinstance(expires_at, int)
        assert time.time() < expires_at
        return str(claims["sub"])

    return _app(current_user)


def _app(current_user: Callable[[HTTPConnection], Awaitable[str]]) -> FastAPI:
    app = FastAPI(openapi_url=None)
    app.add_middleware(_Middleware)

    @app.get(PATH)
    async def page(user_id: Annotated[str, Depends(current_user)]) -> dict[str, str]:
        return {"page": user_id}

    return app


class _Middleware:
    """Puts an object into the scope, sets a context variable, and can add headers to the response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        response = scope["floor"] = _Response(send)
        token = _tenant_id.set(None)
        try:
            await self._app(scope, receive, response.send)
        finally:
            _tenant_id.reset(token)
            del scope["floor"]  # it refers to the server, which refers to the scope


class _Response:
    """The response to one request."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.started = False

    def send(self, message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            self.started = True
        return self._send(message)


def _cookies(scope: Scope) -> bytes:
    return next((value for name, value in scope["headers"] if name == b"cookie"), b"")


def _decode(segment: bytes) -> bytes:
    return urlsafe_b64decode(segment + b"==")
