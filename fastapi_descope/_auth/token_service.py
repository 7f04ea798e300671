"""Obtain tokens from Descope, and verify them.

Tokens in a response of Descope pass the same checks as tokens from a browser, before a cookie is written with
them (CB-07, KD-06).
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256

from .._encoding import as_text
from .._refresh.leased_exchange import Exchange, Verify
from .._refresh.store import RefreshResult
from .._tokens.claims import UnknownKey
from .._tokens.verifier import TokenVerifier
from .._upstream.api import DescopeApi
from .._upstream.responses import TokenResponse
from ..callers import Machine
from ..errors import (
    InvalidUpstreamResponse,
    NotAuthenticated,
    SessionEnded,
    SessionTooLarge,
    TokenError,
    TokenExpired,
    TokenReason,
    UpstreamRejected,
    UpstreamUnavailable,
)
from ..events import EventBus, UpstreamTokenRejected
from ..session import RefreshToken, TokenPair
from .impersonation import with_actor, without_actor
from .project_cookies import COMPARED_FIELDS, CookieComparison

__all__ = ["TokenService", "convert_session_ended"]

_SESSION_ENDED_CODES = frozenset({"E061005", "E064001", "E064006"})
"""Descope's codes for an invalid refresh token, which may come with a 400 (wire contract, section 6)."""


@contextmanager
def convert_session_ended() -> Generator[None]:
    """Convert the rejections that mean that the session has ended into ``SessionEnded``.

    Raises:
        SessionEnded: Descope rejected the refresh token.
        UpstreamRejected: Descope rejected something else.
    """
    try:
        yield
    except UpstreamRejected as rejection:
        is_unauthorized = rejection.upstream_status == NotAuthenticated.status
        if is_unauthorized or rejection.upstream_code in _SESSION_ENDED_CODES:
            raise SessionEnded from None
        raise


class TokenService:
    """Requests tokens from Descope, and verifies them. ``clock`` returns epoch seconds."""

    def __init__(
        self,
        api: DescopeApi,
        verifier: TokenVerifier,
        *,
        cookies: CookieComparison,
        events: EventBus,
        clock: Callable[[], float],
    ) -> None:
        self._api = api
        self._verifier = verifier
        self._cookies = cookies
        self._compared: Sequence[object] = ()
        self._events = events
        self._clock = clock

    async def verify_login(self, response: TokenResponse) -> TokenPair:
        """Return the verified tokens of the response to a login. No network call unless a key is missing.

        Raises:
            SessionTooLarge: The tokens do not fit into cookies: the user has too many roles and permissions.
            ProjectCookiesRenamed: The tokens have the names of the project's cookies, not those of the app's.
            InvalidUpstreamResponse: The tokens are invalid.
            UpstreamUnavailable: The tokens may become valid later: a key or our clock is not up to date.
        """
        try:
            return await self.verify(self._result(response, None))
        except InvalidUpstreamResponse as error:
            if error.reason == TokenReason.TOO_LARGE:  # the app's owner can change that, not Descope (CK-08)
                raise SessionTooLarge from None
            renamed = self._cookies.rename_error(response.fields)
            if error.reason == TokenReason.KIND and renamed is not None:
                raise renamed from None
            if error.reason == TokenReason.EXPIRED:  # issued a moment ago, so our clock is ahead
                self._events.emit(UpstreamTokenRejected(error.reason))
            raise

    async def refresh(self, refresh_jwt: str) -> RefreshResult:
        """Return the new tokens for a refresh token, not verified yet. One call.

        Raises:
            UpstreamError: The call failed.
        """
        return self._result(await self._api.refresh(refresh_jwt), refresh_jwt)

    def select_tenant(self, tenant: str, on_response: Callable[[TokenResponse], None]) -> Exchange:
        """Return a function that switches a session to ``tenant``; ``verify_tenant`` verifies its result.

        It calls ``on_response`` with the response, which has more in it than its result.
        """

        async def exchange(refresh_jwt: str) -> RefreshResult:
            """Call Descope."""
            response = await self._api.select_tenant(refresh_jwt, tenant)
            on_response(response)
            return self._result(response, refresh_jwt)

        return exchange

    def verify_tenant(self, tenant: str) -> Verify:
        """Return ``verify`` with one more check: the current tenant must be ``tenant`` (TN-07)."""

        async def verify(result: RefreshResult, refresh_token: RefreshToken) -> TokenPair:
            """Verify the tokens, then the tenant."""
            pair = await self.verify(result, refresh_token)
            if pair.session.tenant_claim != tenant:
                raise self._suspicious("tenant")
            return pair

        return verify

    async def verify(self, result: RefreshResult, refresh_token: RefreshToken | None = None) -> TokenPair:
        """Return the verified tokens of ``result``. No network call unless a key is missing.

        Both tokens must belong to the same user: that of ``refresh_token``, if given. If that has an actor,
        they must name the same actor; the refresh token does so for both.

        Raises:
            InvalidUpstreamResponse: A token is missing or invalid, or they belong to different users or
                actors. The reason is ``expired`` if only the expiry of a token has passed.
            UpstreamUnavailable: The tokens may become valid later: a key or our clock is not up to date.
        """
        if result.session_jwt is None or result.refresh_jwt is None:
            raise InvalidUpstreamResponse("token_missing")
        try:
            session = await self._verifier.verify_session(result.session_jwt)
            refresh = await self._verifier.verify_refresh_token(result.refresh_jwt)
        except TokenError as error:
            raise self._verification_error(error) from None
        expected = refresh_token.subject if refresh_token else refresh.subject
        if len({session.user.id, refresh.subject, expected}) != 1:
            raise self._suspicious("subject")
        session = with_actor(session, refresh)
        if refresh_token is not None and without_actor(refresh_token, session, refresh):
            raise self._suspicious("actor")
        return TokenPair(result.session_jwt, session, refresh, result.refresh_at)

    async def verify_access_key(self, response: TokenResponse) -> tuple[Machine, str]:
        """Return the machine in the response to an access key, and the SHA-256 of its session token in hex.

        No network call unless a key is missing.

        Raises:
            InvalidUpstreamResponse: The token is missing or invalid.
            UpstreamUnavailable: The token may become valid later: a key or our clock is not up to date.
        """
        if response.session_jwt is None:
            raise InvalidUpstreamResponse("token_missing")
        key_id = as_text(response.fields.get("keyId")) or ""
        try:
            machine = await self._verifier.verify_access_key(response.session_jwt, key_id)
        except TokenError as error:
            raise self._verification_error(error) from None
        return machine, sha256(response.session_jwt.encode()).hexdigest()

    def _result(self, response: TokenResponse, refresh_jwt: str | None) -> RefreshResult:
        self._compare_cookies(response.fields)
        # Without rotation Descope may omit the refresh token: that of the request stays valid then.
        delay = response.next_refresh_seconds
        return RefreshResult(
            session_jwt=response.session_jwt,
            refresh_jwt=response.refresh_jwt or refresh_jwt,
            refresh_at=self._clock() + delay if delay else None,
        )

    def _compare_cookies(self, fields: Mapping[str, object]) -> None:
        """Compare what a response says about cookies with the settings, if it differs from the former one."""
        values = [fields.get(name) for name in COMPARED_FIELDS]
        if values != self._compared:
            self._compared = values
            self._cookies.warn(fields)

    # Tokens that may become valid are not discarded: this may be the only copy of a rotated refresh token.
    def _verification_error(self, error: TokenError) -> InvalidUpstreamResponse | UpstreamUnavailable:
        """Map a token verification failure in a response to an error."""
        match error:
            case UnknownKey(should_refetch=True):  # the key is so new that it must not be fetched yet
                return UpstreamUnavailable()
            case TokenExpired():  # it was cached for long, or our clock is wrong: that is not suspicious
                return InvalidUpstreamResponse(TokenReason.EXPIRED)
            case TokenError(reason=TokenReason.NOT_YET_VALID):  # our clock is behind (RF-17)
                self._events.emit(UpstreamTokenRejected(error.reason))
                return UpstreamUnavailable()
            case _:
                return self._suspicious(error.reason)

    def _suspicious(self, reason: str) -> InvalidUpstreamResponse:
        self._events.emit(UpstreamTokenRejected(reason))
        return InvalidUpstreamResponse(reason)
