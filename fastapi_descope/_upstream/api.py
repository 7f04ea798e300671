"""Descope's HTTP API, one method an endpoint: what each call says, and which answer it expects."""

import contextlib
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import metadata
from urllib.parse import quote, urlencode

from pydantic import SecretStr

from .._config.setting_types import PROJECT_ID
from .._tokens.claims import looks_like_jwt
from ..errors import BadRequest, ConfigurationError, TokenError, TokenReason
from ..events import EventBus
from ..session import UserProfile
from .login_options import LoginOptions, LoginParams
from .resilience import UpstreamGuard
from .responses import (
    ApiResponse,
    TokenResponse,
    parse_login_url,
    parse_max_age,
    parse_profile,
    parse_tenant_names,
    parse_tokens,
)
from .transport import Transport, UpstreamTransport

__all__ = ["DescopeApi", "LoginOptions", "LoginParams", "TokenResponse", "Transport"]

_BODY_BYTES = 256 * 1024
_KEYS_BYTES = 64 * 1024
_QUERY_CHARACTERS = 8192

_CONNECTIONS, _WAITING = 20, 1000
"""How many calls for sessions and keys are under way at once, and how many wait."""

_LOGIN_CONNECTIONS, _LOGINS_WAITING = 5, 100
"""The same for the calls of logins, which anybody can cause: a crowd of strangers, or one tenant whose single
sign-on is broken, holds up other logins, and nobody who is signed in."""

_SECRET = re.compile(r"[!-9;-~]+")  # printable ASCII; a colon would split the bearer


class DescopeApi:
    """Calls Descope. Opens nothing until the first call; one client per app.

    Every method is one network call with a deadline of ``timeout`` seconds, waiting for its turn
    included, and may raise:

    * ``UpstreamRejected``: Descope understood and said no;
    * ``UpstreamUnavailable``: no verdict (outage, deadline, too many waiting), ``RateLimited`` among them;
    * ``InvalidUpstreamResponse``: the answer is not Descope's, or outside the wire contract;
    * ``TokenError``: the refresh token is not even spelt like a JWT; nothing was sent.

    How calls queue, and which are never repeated, is ``Outbound``'s to say; when none is made at all,
    ``Restraint``'s. The calls of logins have a queue and a restraint of their own: nothing that they meet
    holds up sessions and keys. While Descope fails those, it is left alone by logins too.
    """

    def __init__(
        self,
        *,
        base_url: str,
        project_id: str,
        management_key: SecretStr | None = None,
        timeout: float = 5.0,
        transport: Transport | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        events: EventBus | None = None,
    ) -> None:
        """Check what goes into paths and headers; raises ``ConfigurationError``.

        Args:
            base_url: Origin of Descope's API, without a trailing slash.
            project_id: Descope's project id.
            management_key: Appended to the bearer of every call but ``keys``, for projects that demand it.
            timeout: Seconds for one call, all in all.
            transport: Used instead of a pool of connections, and closed with the client.
            monotonic: Seconds, by which an outage or a rate limit is waited out.
            events: Told when Descope is left alone, and when it is back.
        """
        if PROJECT_ID.fullmatch(project_id) is None:
            raise ConfigurationError("DESCOPE_PROJECT_ID is not a Descope project id")
        if management_key and _SECRET.fullmatch(management_key.get_secret_value()) is None:
            raise ConfigurationError("DESCOPE_AUTH_MANAGEMENT_KEY holds characters that no header may carry")
        # A copy that was vendored rather than installed has no version to tell.
        version = next((found.version for found in metadata.distributions(name="fastapi-descope")), "0")
        pool = partial(UpstreamTransport, base_url, timeout=timeout, transport=transport)
        guard = partial(UpstreamGuard, monotonic=monotonic, events=events or EventBus(), call_timeout=timeout)
        sessions = guard(calls="sessions")
        logins = guard(calls="logins", parent=sessions)
        self._sessions = pool(guard=sessions, connections=_CONNECTIONS, waiting=_WAITING)
        self._logins = pool(guard=logins, connections=_LOGIN_CONNECTIONS, waiting=_LOGINS_WAITING)
        self._project_id = project_id
        self._management_key = management_key
        self._headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": f"fastapi-descope/{version}",
            "x-descope-project-id": project_id,
            "x-descope-sdk-name": "fastapi-descope",
        }

    async def sso_authorize(
        self,
        *,
        tenant: str,
        redirect_url: str,
        params: LoginParams | None = None,
        options: LoginOptions | None = None,
        refresh_jwt: str | None = None,
    ) -> str:
        """The URL to send the browser to, checked for its form (CB-11).

        ``tenant`` is a tenant id, or an e-mail whose domain Descope resolves. ``refresh_jwt`` is sent
        only with the options ``stepup`` and ``mfa``, which are about the user it belongs to.
        """
        options = options or LoginOptions()
        query = {"tenant": tenant, "redirectURL": redirect_url, **(params or LoginParams()).wire_query()}
        return parse_login_url(
            await self._post(
                "/v1/auth/sso/authorize" + _query_string(query),
                options.body(),
                refresh_jwt if options.stepup or options.mfa else None,
                through=self._logins,
            )
        )

    async def sso_exchange(self, code: str) -> TokenResponse:
        """The tokens for the one-time code of a callback."""
        return parse_tokens(await self._post("/v1/auth/sso/exchange", {"code": code}, through=self._logins))

    async def refresh(self, refresh_jwt: str) -> TokenResponse:
        """A new session token, and a new refresh token if the project rotates them."""
        return parse_tokens(await self._post("/v1/auth/refresh", {}, refresh_jwt))

    async def tenant_select(self, refresh_jwt: str, tenant: str) -> TokenResponse:
        """Tokens whose current tenant is ``tenant``: both, and both must be kept."""
        return parse_tokens(await self._post("/v1/auth/tenant/select", {"tenant": tenant}, refresh_jwt))

    async def logout(self, refresh_jwt: str) -> None:
        """End this session: its refresh token is revoked. Session tokens live until they expire."""
        await self._post("/v1/auth/logout", {}, refresh_jwt)

    async def logout_all(self, refresh_jwt: str) -> None:
        """End every session of the user in the same way."""
        await self._post("/v1/auth/logoutall", {}, refresh_jwt)

    async def me(self, refresh_jwt: str) -> UserProfile:
        """Descope's user object, as it is now."""
        return parse_profile(await self._call("GET", "/v1/auth/me", bearer=self._bearer(refresh_jwt)))

    async def my_tenants(self, refresh_jwt: str, ids: Sequence[str]) -> Mapping[str, str]:
        """Names by tenant id, of those among ``ids`` that are the user's."""
        return parse_tenant_names(await self._post("/v1/auth/me/tenants", {"ids": list(ids)}, refresh_jwt))

    async def keys(self) -> tuple[bytes, int | None]:
        """The key set as Descope sent it, unparsed, and its ``max-age`` in seconds, if any."""
        reply = await self.key_set()
        return reply.body or b"", parse_max_age(reply)

    async def key_set(self) -> ApiResponse:
        """The whole answer that holds the key set, with when it was sent."""
        path, bearer = f"/v2/keys/{self._project_id}", f"Bearer {self._project_id}"
        return await self._call("GET", path, bearer=bearer, limit=_KEYS_BYTES)

    async def aclose(self) -> None:
        """Close the connections of the running event loop. The next call opens new ones."""
        await self._sessions.aclose()
        await self._logins.aclose()

    async def _post(
        self,
        path: str,
        body: Mapping[str, object],
        refresh_jwt: str | None = None,
        *,
        through: UpstreamTransport | None = None,
    ) -> ApiResponse:
        bearer, content = self._bearer(refresh_jwt), _json_bytes(body)
        return await self._call("POST", path, bearer=bearer, content=content, through=through)

    def _bearer(self, refresh_jwt: str | None) -> str:
        # h11 puts a header value that it refuses into the text of its exception: nothing odd gets there.
        if refresh_jwt is not None and not looks_like_jwt(refresh_jwt):
            raise TokenError(TokenReason.MALFORMED)
        key = self._management_key.get_secret_value() if self._management_key else None
        return "Bearer " + ":".join(filter(None, (self._project_id, refresh_jwt, key)))

    async def _call(
        self,
        method: str,
        path: str,
        *,
        bearer: str,
        content: bytes | None = None,
        limit: int = _BODY_BYTES,
        through: UpstreamTransport | None = None,
    ) -> ApiResponse:
        """The reply to one request, if it is a yes."""
        headers = {**self._headers, "Authorization": bearer}
        if content is not None:
            headers["Content-Type"] = "application/json"
        outbound = through or self._sessions
        return await outbound.call(method, path, headers=headers, content=content, limit=limit)


def _query_string(query: Mapping[str, str]) -> str:
    text = urlencode(query, quote_via=quote, safe="", errors="replace")
    if len(text) > _QUERY_CHARACTERS:
        raise BadRequest
    return f"?{text}"


def _json_bytes(body: Mapping[str, object]) -> bytes:
    with contextlib.suppress(TypeError, ValueError, RecursionError):
        # ASCII only: a lone surrogate in a code or a tenant is escaped rather than fatal.
        return json.dumps(body, separators=(",", ":"), allow_nan=False).encode("ascii")
    raise ConfigurationError("The custom claims of LoginOptions are not JSON")
