"""Descope's HTTP API: one method per endpoint."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib import metadata
from typing import TYPE_CHECKING, Literal

from pydantic import SecretStr

from .._concurrency import close_all
from .._config.setting_types import BEARER_PART, PROJECT_ID
from .._telemetry.recorder import Recorder
from .._tokens.claims import looks_like_jwt
from ..errors import ConfigurationError, TokenError, TokenReason, UpstreamRejected
from ..events import EventBus
from ..profile import UserProfile
from .login_options import LoginOptions, LoginParams
from .requests import json_bytes, query_string
from .resilience import UpstreamGuard
from .responses import (
    ApiResponse,
    NotpStart,
    TokenResponse,
    parse_login_url,
    parse_max_age,
    parse_notp_start,
    parse_profile,
    parse_tenant_names,
    parse_tokens,
)

if TYPE_CHECKING:
    from .transport import Transport, UpstreamTransport

__all__ = ["DescopeApi"]

_MAX_BODY_BYTES = 256 * 1024
_MAX_JWKS_BYTES = 64 * 1024

_CONNECTIONS, _MAX_WAITING = 20, 1000
"""How many calls for sessions and keys may be in progress, and how many may wait."""

_LOGIN_CONNECTIONS, _LOGIN_MAX_WAITING = 5, 100
"""The same for the calls of logins, which unauthenticated clients can cause. A flood of them, or a tenant
whose single sign-on is broken, delays other logins, but no session."""

_KEY_CONNECTIONS, _KEY_MAX_WAITING = 4, 200
"""The same for the exchange of access keys, which unauthenticated clients can cause too (AK-06)."""

_JWKS_ROUTE = "/v2/keys/{project_id}"

_NOTP_PENDING = "E066103"
"""Descope's code for an nOTP sign-in that has not been confirmed yet (wire contract, section 2.16)."""


class DescopeApi:
    """A client of Descope's API; one per app. Opens no connection before the first call.

    Every method is one call to Descope and takes at most ``timeout`` seconds, the time in the queue included.
    ``UpstreamTransport`` explains queueing and retries, ``UpstreamGuard`` when calls are rejected.

    The calls of logins have their own queue and guard, so they never delay sessions and keys, and so has the
    exchange of access keys. While the guard rejects calls for sessions and keys, it rejects these, too.

    Args:
        base_url: Origin of Descope's API, without a trailing slash.
        project_id: Descope's project id.
        management_key: Appended to the bearer of every call but ``fetch_jwks``, for projects that require it.
        timeout: Seconds for one call, the time in the queue included.
        transport: Replaces the connection pool, and is closed with the client.
        monotonic: Returns seconds, which outages and rate limits are measured in.
        events: Receives ``UpstreamDegraded`` and ``UpstreamRecovered``.
        recorder: Measures the calls.

    Raises:
        UpstreamRejected: Descope refused the request.
        UpstreamUnavailable: no usable response: an outage, a timeout, or a full queue.
        RateLimited: all callers have to wait. A subclass of ``UpstreamUnavailable``.
        InvalidUpstreamResponse: the response is not Descope's, or violates the wire contract.
        TokenError: the refresh token does not look like a JWT, or no header can carry the access key. Nothing
            was sent.
        ConfigurationError: the project id or the management key is malformed.
    """

    def __init__(
        self,
        *,
        base_url: str,
        project_id: str,
        management_key: SecretStr | None = None,
        timeout: float = 5.0,
        transport: "Transport | None" = None,
        monotonic: Callable[[], float] = time.monotonic,
        events: EventBus | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        # With the client, so that no request waits for it, and not with the package.
        from .transport import UpstreamTransport  # noqa: PLC0415 - imports httpx

        if PROJECT_ID.fullmatch(project_id) is None:
            raise ConfigurationError("DESCOPE_PROJECT_ID is not a Descope project id")
        if management_key and BEARER_PART.fullmatch(management_key.get_secret_value()) is None:
            raise ConfigurationError(
                "DESCOPE_AUTH_MANAGEMENT_KEY: expected a key of visible ASCII characters without a colon"
            )
        # A vendored copy has no metadata.
        version = next((each.version for each in metadata.distributions(name="fastapi-descope")), "0")
        recorder = recorder or Recorder()
        pool = partial(UpstreamTransport, base_url, timeout=timeout, transport=transport, recorder=recorder)
        guard = partial(UpstreamGuard, monotonic=monotonic, events=events or EventBus(), call_timeout=timeout)
        sessions = guard(calls="sessions")
        logins = guard(calls="logins", parent=sessions)
        access_keys = guard(calls="access_keys", parent=sessions)
        self._sessions = pool(guard=sessions, connections=_CONNECTIONS, max_waiting=_MAX_WAITING)
        self._logins = pool(guard=logins, connections=_LOGIN_CONNECTIONS, max_waiting=_LOGIN_MAX_WAITING)
        self._access_keys = pool(
            guard=access_keys, connections=_KEY_CONNECTIONS, max_waiting=_KEY_MAX_WAITING
        )
        self._project_id = project_id
        self._management_key = management_key
        self._headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": f"fastapi-descope/{version}",
            "x-descope-project-id": project_id,
            "x-descope-sdk-name": "fastapi-descope",
        }

    async def fetch_login_url(
        self,
        *,
        tenant: str,
        redirect_url: str,
        params: LoginParams | None = None,
        options: LoginOptions | None = None,
        refresh_jwt: str | None = None,
    ) -> str:
        """Start a login; return the URL to redirect the browser to, whose form is checked.

        ``tenant`` is a tenant id, or an e-mail address whose domain Descope resolves. ``refresh_jwt`` is sent
        only with the options ``stepup`` and ``mfa``, which apply to a signed-in user.
        """
        options = options or LoginOptions()
        query = {"tenant": tenant, "redirectURL": redirect_url, **(params or LoginParams()).wire_query()}
        return parse_login_url(
            await self._post(
                "/v1/auth/sso/authorize" + query_string(query),
                options.body(),
                refresh_jwt if options.stepup or options.mfa else None,
                transport=self._logins,
            )
        )

    async def fetch_social_url(
        self,
        *,
        provider: str,
        redirect_url: str,
        params: LoginParams | None = None,
        options: LoginOptions | None = None,
        refresh_jwt: str | None = None,
        sign_up: bool = False,
    ) -> str:
        """Start a login at a social provider; return the URL to redirect to, whose form is checked.

        ``refresh_jwt`` is as in ``fetch_login_url``. Without ``sign_up`` Descope accepts existing users only.
        """
        options = options or LoginOptions()
        query = {"provider": provider, "redirectURL": redirect_url}
        query |= (params or LoginParams()).wire_query(social=True)
        return parse_login_url(
            await self._post(
                f"/v1/auth/oauth/authorize{'' if sign_up else '/signin'}{query_string(query)}",
                options.body(),
                refresh_jwt if options.stepup or options.mfa else None,
                transport=self._logins,
            )
        )

    async def exchange_code(self, code: str, method: Literal["sso", "oauth"] = "sso") -> TokenResponse:
        """Exchange the one-time code of a callback for tokens."""
        path = f"/v1/auth/{method}/exchange"
        return parse_tokens(await self._post(path, {"code": code}, transport=self._logins))

    async def send_magic_link(
        self, *, email: str, redirect_url: str, options: LoginOptions | None = None, sign_up: bool = False
    ) -> None:
        """Send a link to an address, to sign in or, with ``sign_up``, to become a user.

        ``redirect_url`` is where the link leads; Descope appends the token as ``t``. The options ``stepup``
        and ``mfa`` are not sent, as in ``start_notp``.
        """
        body = replace(options or LoginOptions(), stepup=False, mfa=False).body()
        path = f"/v1/auth/magiclink/{'signup-in' if sign_up else 'signin'}/email"
        fields = {"loginId": email, "URI": redirect_url, **({"loginOptions": body} if body else {})}
        await self._post(path, fields, transport=self._logins)

    async def verify_magic_link(self, token: str) -> TokenResponse:
        """Exchange the token of a link for tokens, once."""
        path = "/v1/auth/magiclink/verify"
        return parse_tokens(await self._post(path, {"token": token}, transport=self._logins))

    async def start_notp(self, options: LoginOptions | None = None) -> NotpStart:
        """Start the sign-in of an existing user, who confirms it by a message from their phone.

        The options ``stepup`` and ``mfa`` are not sent: they apply to a signed-in user.
        """
        body = replace(options or LoginOptions(), stepup=False, mfa=False).body()
        return parse_notp_start(
            await self._post(
                "/v1/auth/notp/whatsapp/signin",
                {"loginOptions": body} if body else {},
                transport=self._logins,
            )
        )

    async def fetch_pending_session(self, pending_ref: str) -> TokenResponse | None:
        """Return the tokens of an nOTP sign-in, once, or None until the user has confirmed it."""
        body = {"pendingRef": pending_ref}
        try:
            response = await self._post("/v1/auth/notp/pending-session", body, transport=self._logins)
        except UpstreamRejected as rejection:
            if rejection.upstream_code == _NOTP_PENDING:
                return None
            raise
        return parse_tokens(response)

    async def refresh(self, refresh_jwt: str) -> TokenResponse:
        """Return a new session token, and a new refresh token if the project rotates them."""
        return parse_tokens(await self._post("/v1/auth/refresh", {}, refresh_jwt))

    async def select_tenant(self, refresh_jwt: str, tenant_id: str) -> TokenResponse:
        """Return a new session token and a new refresh token for the tenant."""
        return parse_tokens(await self._post("/v1/auth/tenant/select", {"tenant": tenant_id}, refresh_jwt))

    async def exchange_access_key(
        self, access_key: str, *, before_send: Callable[[], None] | None = None
    ) -> TokenResponse:
        """Exchange an access key for a session token. The response has no refresh token.

        ``before_send`` is called when a connection is free, and nothing is sent if it raises.
        """
        # h11 puts an invalid header value into the text of its exception.
        if BEARER_PART.fullmatch(access_key) is None:
            raise TokenError(TokenReason.MALFORMED)
        return parse_tokens(
            await self._call(
                "POST",
                "/v1/auth/accesskey/exchange",
                bearer=self._bearer_with(access_key),
                content=json_bytes({"loginOptions": {}}),
                transport=self._access_keys,
                before_send=before_send,
            )
        )

    async def logout(self, refresh_jwt: str) -> None:
        """Revoke the refresh token. Session tokens remain valid until they expire."""
        await self._post("/v1/auth/logout", {}, refresh_jwt)

    async def logout_all(self, refresh_jwt: str) -> None:
        """Revoke all refresh tokens of the user. Session tokens remain valid until they expire."""
        await self._post("/v1/auth/logoutall", {}, refresh_jwt)

    async def fetch_profile(self, refresh_jwt: str) -> UserProfile:
        """Return the current user object."""
        return parse_profile(await self._call("GET", "/v1/auth/me", bearer=self._bearer(refresh_jwt)))

    async def fetch_tenant_names(self, refresh_jwt: str, tenant_ids: Sequence[str]) -> Mapping[str, str]:
        """Return the names of those of the tenants that the user belongs to, by tenant id."""
        return parse_tenant_names(
            await self._post("/v1/auth/me/tenants", {"ids": list(tenant_ids)}, refresh_jwt)
        )

    async def fetch_jwks(self) -> tuple[bytes, int | None]:
        """Return the key set, unparsed, and its ``max-age`` in seconds, if any."""
        response = await self.fetch_jwks_response()
        return response.body or b"", parse_max_age(response)

    async def fetch_jwks_response(self) -> ApiResponse:
        """Return the response that contains the key set, with its date."""
        path, bearer = f"/v2/keys/{self._project_id}", f"Bearer {self._project_id}"
        return await self._call("GET", path, route=_JWKS_ROUTE, bearer=bearer, max_bytes=_MAX_JWKS_BYTES)

    async def aclose(self) -> None:
        """Close the connections of the running event loop. The next call opens new ones."""
        await close_all((self._sessions, self._logins, self._access_keys))

    async def _post(
        self,
        path: str,
        body: Mapping[str, object],
        refresh_jwt: str | None = None,
        *,
        transport: "UpstreamTransport | None" = None,
    ) -> ApiResponse:
        bearer, content = self._bearer(refresh_jwt), json_bytes(body)
        return await self._call("POST", path, bearer=bearer, content=content, transport=transport)

    def _bearer(self, refresh_jwt: str | None) -> str:
        # h11 puts an invalid header value into the text of its exception.
        if refresh_jwt is not None and not looks_like_jwt(refresh_jwt):
            raise TokenError(TokenReason.MALFORMED)
        return self._bearer_with(refresh_jwt)

    def _bearer_with(self, secret: str | None) -> str:
        key = self._management_key.get_secret_value() if self._management_key else None
        return "Bearer " + ":".join(filter(None, (self._project_id, secret, key)))

    async def _call(
        self,
        method: str,
        path: str,
        *,
        bearer: str,
        route: str | None = None,
        content: bytes | None = None,
        max_bytes: int = _MAX_BODY_BYTES,
        transport: "UpstreamTransport | None" = None,
        before_send: Callable[[], None] | None = None,
    ) -> ApiResponse:
        headers = {**self._headers, "Authorization": bearer}
        if content is not None:
            headers["Content-Type"] = "application/json"
        transport = transport or self._sessions
        # The query of a login has the state, and an address as the tenant (LG-05).
        return await transport.call(
            method,
            path,
            route=route or path.partition("?")[0],
            headers=headers,
            content=content,
            max_bytes=max_bytes,
            before_send=before_send,
        )
