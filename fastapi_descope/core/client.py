"""Descope's HTTP API, one method an endpoint; the only file that knows httpx.

It speaks through httpx's transport rather than through ``httpx.AsyncClient``. The client above the
transport keeps a cookie jar, so that one user's cookies go out with the next user's call (RF-15), and logs
every URL at INFO, with the state in it (LG-01). Without it there is no jar, no redirect, no proxy from the
environment, no decompression (JW-12) and no log line to switch off.
"""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from importlib import metadata
from typing import cast
from urllib.parse import quote, urlencode

import httpx
from pydantic import SecretStr

from ..errors import BadRequest, ConfigurationError, TokenError, TokenReason, UpstreamUnavailable
from .answers import (
    Reply,
    TokenAnswer,
    check_verdict,
    is_jwt_text,
    read_login_url,
    read_max_age,
    read_profile,
    read_tenant_names,
    read_tokens,
)
from .login_options import LoginOptions
from .session import UserProfile

__all__ = ["DescopeClient", "LoginOptions", "TokenAnswer", "Transport"]

Transport = httpx.AsyncBaseTransport
"""What carries the requests: httpx's own, or in tests an ``ASGITransport`` or a ``MockTransport``."""

# httpx's pool costs grow with the square of its connections, so a small pool with a queue in front
# answers sooner than a large one.
_CONNECTIONS = 20
_WAITING = 1000
_KEEPALIVE_SECONDS = 30.0
_CONNECT_SECONDS = 2.0

_BODY_BYTES = 256 * 1024
_KEYS_BYTES = 64 * 1024
_QUERY_CHARACTERS = 8192

_PROJECT_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_SECRET = re.compile(r"[!-9;-~]+")  # printable ASCII; a colon would split the bearer


class DescopeClient:
    """Calls Descope. Opens nothing until the first call; one client per app.

    Every method is one network call with a deadline of ``timeout`` seconds, waiting for a free connection
    included, and may raise:

    * ``UpstreamRefused``: Descope understood and said no;
    * ``UpstreamUnavailable``: no verdict (outage, deadline, too many waiting), ``RateLimited`` among them;
    * ``UpstreamNonsense``: the answer is not Descope's, or outside the wire contract;
    * ``TokenError``: the refresh token is not even spelt like a JWT; nothing was sent.

    A call is repeated once if no connection could be made, and never after a byte was sent: codes and
    rotating refresh tokens are good for one use (RF-07, CB-08).

    It may serve several event loops one after the other; each gets connections of its own.
    """

    def __init__(
        self,
        *,
        base_url: str,
        project_id: str,
        management_key: SecretStr | None = None,
        timeout: float = 5.0,
        transport: Transport | None = None,
    ) -> None:
        """Check what goes into paths and headers; raises ``ConfigurationError``.

        Args:
            base_url: Origin of Descope's API, without a trailing slash.
            project_id: Descope's project id.
            management_key: Appended to the bearer of every call but ``keys``, for projects that demand it.
            timeout: Seconds for one call, all in all.
            transport: Used instead of a pool of connections, and closed with the client.
        """
        if _PROJECT_ID.fullmatch(project_id) is None:
            raise ConfigurationError("DESCOPE_PROJECT_ID is not a Descope project id")
        if management_key and _SECRET.fullmatch(management_key.get_secret_value()) is None:
            raise ConfigurationError("DESCOPE_AUTH_MANAGEMENT_KEY holds characters that no header may carry")
        # A copy that was vendored rather than installed has no version to tell.
        version = next((found.version for found in metadata.distributions(name="fastapi-descope")), "0")
        self._base_url = base_url
        self._project_id = project_id
        self._management_key = management_key
        self._timeout = timeout
        self._transport = transport
        self._line: _Line | None = None
        self._headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": f"fastapi-descope/{version}",
            "x-descope-project-id": project_id,
            "x-descope-sdk-name": "fastapi-descope",
        }
        self._extensions = {
            "timeout": httpx.Timeout(timeout, connect=min(_CONNECT_SECONDS, timeout)).as_dict()
        }

    async def sso_authorize(
        self,
        *,
        tenant: str,
        redirect_url: str,
        login_hint: str | None = None,
        sso_id: str | None = None,
        prompt: str | None = None,
        force_authn: bool = False,
        options: LoginOptions | None = None,
        refresh_jwt: str | None = None,
    ) -> str:
        """The URL to send the browser to, checked for its form (CB-11).

        ``tenant`` is a tenant id, or an e-mail whose domain Descope resolves. ``refresh_jwt`` is sent
        only with the options ``stepup`` and ``mfa``, which are about the user it belongs to.
        """
        options = options or LoginOptions()
        query = {
            "tenant": tenant,
            "redirectURL": redirect_url,
            "loginHint": login_hint,
            "ssoId": sso_id,
            "prompt": prompt,
            "forceAuthn": "true" if force_authn else None,
        }
        return read_login_url(
            await self._post(
                "/v1/auth/sso/authorize" + _query_string(query),
                options.body(),
                refresh_jwt if options.stepup or options.mfa else None,
            )
        )

    async def sso_exchange(self, code: str) -> TokenAnswer:
        """The tokens for the one-time code of a callback."""
        return read_tokens(await self._post("/v1/auth/sso/exchange", {"code": code}))

    async def refresh(self, refresh_jwt: str) -> TokenAnswer:
        """A new session token, and a new refresh token if the project rotates them."""
        return read_tokens(await self._post("/v1/auth/refresh", {}, refresh_jwt))

    async def tenant_select(self, refresh_jwt: str, tenant: str) -> TokenAnswer:
        """Tokens whose current tenant is ``tenant``: both, and both must be kept."""
        return read_tokens(await self._post("/v1/auth/tenant/select", {"tenant": tenant}, refresh_jwt))

    async def logout(self, refresh_jwt: str) -> None:
        """End this session: its refresh token is revoked. Session tokens live until they expire."""
        await self._post("/v1/auth/logout", {}, refresh_jwt)

    async def logout_all(self, refresh_jwt: str) -> None:
        """End every session of the user in the same way."""
        await self._post("/v1/auth/logoutall", {}, refresh_jwt)

    async def me(self, refresh_jwt: str) -> UserProfile:
        """Descope's user object, as it is now."""
        return read_profile(await self._call("GET", "/v1/auth/me", bearer=self._bearer(refresh_jwt)))

    async def my_tenants(self, refresh_jwt: str, ids: Sequence[str] | None = None) -> Mapping[str, str]:
        """Names by tenant id, of those among ``ids`` that are the user's; None asks for the current one."""
        body: Mapping[str, object] = {"dct": True} if ids is None else {"ids": list(ids)}
        return read_tenant_names(await self._post("/v1/auth/me/tenants", body, refresh_jwt))

    async def keys(self) -> tuple[bytes, int | None]:
        """The key set as Descope sent it, unparsed, and its ``max-age`` in seconds, if any."""
        path, bearer = f"/v2/keys/{self._project_id}", f"Bearer {self._project_id}"
        reply = await self._call("GET", path, bearer=bearer, limit=_KEYS_BYTES)
        return reply.body or b"", read_max_age(reply)

    async def aclose(self) -> None:
        """Close the connections of the running event loop. The next call opens new ones."""
        line, self._line = self._line, None
        if line is not None:
            await line.aclose()

    async def _post(self, path: str, body: Mapping[str, object], refresh_jwt: str | None = None) -> Reply:
        return await self._call("POST", path, bearer=self._bearer(refresh_jwt), content=_json_bytes(body))

    def _bearer(self, refresh_jwt: str | None) -> str:
        # h11 puts a header value that it refuses into the text of its exception: nothing odd gets there.
        if refresh_jwt is not None and not is_jwt_text(refresh_jwt):
            raise TokenError(TokenReason.MALFORMED)
        key = self._management_key.get_secret_value() if self._management_key else None
        return "Bearer " + ":".join(filter(None, (self._project_id, refresh_jwt, key)))

    async def _call(
        self, method: str, path: str, *, bearer: str, content: bytes | None = None, limit: int = _BODY_BYTES
    ) -> Reply:
        """The reply to one request, if it is a yes."""
        headers = {**self._headers, "Authorization": bearer}
        if content is not None:
            headers["Content-Type"] = "application/json"
        request = httpx.Request(
            method,
            self._base_url + path,
            headers=headers,
            content=content,
            extensions=self._extensions,
        )
        reply = None
        # TLS failures of a live connection and the deadline's TimeoutError are OSErrors.
        with contextlib.suppress(httpx.HTTPError, OSError):
            async with asyncio.timeout(self._timeout):
                reply = await (await self._connected()).send(request, limit)
        if reply is None:
            # Out here, so that the failure, whose text may hold the request, is not even its context.
            raise UpstreamUnavailable
        check_verdict(reply)
        return reply

    async def _connected(self) -> "_Line":
        line = self._line
        if line is None or line.loop is not asyncio.get_running_loop():
            line = self._line = await _Line.open(self._transport)
        return line


class _Line:
    """The connections of one event loop, and the queue in front of them."""

    def __init__(self, transport: Transport) -> None:
        self.loop = asyncio.get_running_loop()
        self._transport = transport
        self._lifetime = _closed_with_the_loop(transport)
        self._slots = asyncio.Semaphore(_CONNECTIONS)
        self._calls = 0
        self._closed = False

    @classmethod
    async def open(cls, transport: Transport | None) -> "_Line":
        """A line over ``transport``, or over a pool of its own: loading the CA certificates takes 20 ms."""
        limits = httpx.Limits(
            max_connections=_CONNECTIONS,
            max_keepalive_connections=_CONNECTIONS,
            keepalive_expiry=_KEEPALIVE_SECONDS,
        )
        line = cls(transport or httpx.AsyncHTTPTransport(limits=limits, trust_env=False))
        await anext(line._lifetime)
        return line

    async def aclose(self) -> None:
        """Close the connections, unless their loop has ended and closed them already."""
        self._closed = True
        if self.loop is asyncio.get_running_loop():
            await self._lifetime.aclose()

    async def send(self, request: httpx.Request, limit: int) -> Reply:
        """The reply once a connection is free; at once ``UpstreamUnavailable`` if too many wait (RF-08)."""
        if self._calls >= _CONNECTIONS + _WAITING:
            raise UpstreamUnavailable
        self._calls += 1
        try:
            async with self._slots:
                if self._closed:  # while waiting; a pool would open connections that nobody closes
                    raise UpstreamUnavailable
                return await self._send(request, limit)
        finally:
            self._calls -= 1

    async def _send(self, request: httpx.Request, limit: int) -> Reply:
        try:
            response = await self._transport.handle_async_request(request)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            response = await self._transport.handle_async_request(request)
        try:
            return _reply(response, await _body(response, limit))
        finally:
            await response.aclose()


async def _closed_with_the_loop(transport: Transport) -> AsyncGenerator[None, None]:
    """Closes ``transport`` when it is closed itself, which an event loop does to what it leaves behind.

    So an app that never runs a lifespan, or a test client with a loop per request, leaks no socket.
    """
    try:
        yield
    finally:
        await transport.aclose()


async def _body(response: httpx.Response, limit: int) -> bytes | None:
    """The body as it came over the wire, never unpacked, or None beyond ``limit`` bytes."""
    body = bytearray()
    async for chunk in cast("httpx.AsyncByteStream", response.stream):
        body += chunk
        if len(body) > limit:
            return None
    return bytes(body)


def _reply(response: httpx.Response, body: bytes | None) -> Reply:
    return Reply(
        status=response.status_code,
        body=body,
        retry_after=response.headers.get("retry-after", ""),
        cache_control=response.headers.get("cache-control", ""),
        set_cookies=tuple(response.headers.get_list("set-cookie")),
    )


def _query_string(query: Mapping[str, str | None]) -> str:
    given = {name: value for name, value in query.items() if value is not None}
    text = urlencode(given, quote_via=quote, safe="", errors="replace")
    if len(text) > _QUERY_CHARACTERS:
        raise BadRequest
    return f"?{text}"


def _json_bytes(body: Mapping[str, object]) -> bytes:
    with contextlib.suppress(TypeError, ValueError, RecursionError):
        # ASCII only: a lone surrogate in a code or a tenant is escaped rather than fatal.
        return json.dumps(body, separators=(",", ":"), allow_nan=False).encode("ascii")
    raise ConfigurationError("The custom claims of LoginOptions are not JSON")
