"""Who is calling: a request's credentials in, a session and the fate of its cookies out."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Literal, assert_never
from zlib import crc32

from .._refresh.coordinator import RefreshCoordinator
from .._refresh.outcome import Ended, FlightResult, Outcome, Renewed, SwitchFailed, Unavailable
from .._tokens.verifier import TokenVerifier
from ..errors import (
    BadRequest,
    ConflictingCookies,
    DescopeError,
    NotAuthenticated,
    SessionEnded,
    TokenError,
    TokenExpired,
    TokenReason,
    UnsupportedAuthScheme,
    UpstreamUnavailable,
)
from ..events import EventBus, TokenPairMismatch, TokenRejected
from ..session import AuthSession, RefreshToken, TokenPair

__all__ = ["AuthResult", "Authenticator", "CookieAction", "Credentials"]

_AHEAD_PATIENCE_SECONDS = 1.0
"""How long a response waits for a refresh beside its handler. A later one is kept for the next request."""

_Held = RefreshToken | TokenError | UpstreamUnavailable | None
"""A refresh cookie's token; the error, if it is none or cannot be checked now; None without a cookie."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """The credentials in the headers of one request. Nothing in it is verified, and ``repr`` shows no token.

    Attributes:
        bearer: The bearer token. None without an Authorization header, "" if the header is not a single
            well-formed bearer; ``scheme`` is then the scheme that it has.
        session: The session token in the cookies.
        refresh: The refresh token in the cookies.
        ambiguous: Whether a cookie name came with two different values. There are no cookie tokens then.
        may_refresh: False for requests that must have no effect, such as a prefetch or a preflight.
        scheme: The scheme of the Authorization header.
        cookie_names: The names of the session's cookies that the browser sent, malformed ones and chunks
            included. To end the session, all of them have to be deleted.
    """

    bearer: str | None = field(default=None, repr=False)
    session: str | None = field(default=None, repr=False)
    refresh: str | None = field(default=None, repr=False)
    ambiguous: bool = False
    may_refresh: bool = True
    scheme: str = "bearer"
    cookie_names: frozenset[str] = frozenset()


class CookieAction(Enum):
    """What a response does to the session's cookies."""

    KEEP = "keep"
    WRITE = "write"
    CLEAR = "clear"
    CLEAR_REFRESH = "clear_refresh"


@dataclass(frozen=True, slots=True)
class AuthResult:
    """Who is calling, and what is to happen to the cookies.

    Without ``session``, ``error`` says why: the ``NotAuthenticated`` family, or ``UpstreamUnavailable``
    if nobody can know right now. ``pair`` comes with ``CookieAction.WRITE``. ``held`` is the verified
    refresh token of the request; ``renewal`` a refresh that runs beside the handler.
    """

    session: AuthSession | None = None
    error: DescopeError | None = None
    cookies: CookieAction = CookieAction.KEEP
    pair: TokenPair | None = None
    held: RefreshToken | None = None
    renewal: asyncio.Task[FlightResult] | None = field(default=None, repr=False)
    source: Literal["none", "cookie", "bearer"] = "none"


class Authenticator:
    """Decides who is calling. Holds no state.

    ``refresh_ahead`` (seconds) is how long before its expiry a session is refreshed beside a request;
    never more than a quarter of its lifetime, and 10 % more or less so that sessions that began together
    do not refresh together (RF-10). ``clock`` returns epoch seconds.
    """

    def __init__(
        self,
        *,
        verifier: TokenVerifier,
        coordinator: RefreshCoordinator,
        events: EventBus,
        clock: Callable[[], float],
        refresh_ahead: float = 60.0,
    ) -> None:
        self._verifier = verifier
        self._coordinator = coordinator
        self._events = events
        self._clock = clock
        self._refresh_ahead = refresh_ahead

    async def authenticate(self, presented: Credentials) -> AuthResult:
        """Who is calling. Never raises.

        A known token costs two look-ups; an unknown one a signature check each; a dead session one
        refresh, shared with everyone else who carries it.
        """
        if presented.bearer is not None:
            return await self._from_bearer(presented.bearer, presented.scheme)
        if presented.ambiguous:
            return AuthResult(error=ConflictingCookies())
        if presented.session is None and presented.refresh is None:
            return AuthResult(error=NotAuthenticated())
        try:
            return await self._from_cookies(presented)
        except UpstreamUnavailable as error:
            return AuthResult(error=error, source="cookie")

    async def settle(self, resolution: AuthResult) -> AuthResult:
        """The resolution as the response that starts now is to carry it.

        Waits a second at most for the refresh beside the handler; what arrives later is remembered and
        goes out with the next request. A pair that a tenant switch, a logout or another login has overtaken
        while the handler ran is not written any more (TN-09, LO-03, CB-09). Nor are cookies cleared for it:
        whoever overtook it has seen to them, and they may be those of a new session.
        """
        if resolution.renewal is not None:
            resolution = await self._with_renewal(resolution, resolution.renewal)
        if resolution.pair is None or resolution.held is None:
            return resolution
        latest = await self._coordinator.outcome(resolution.held)
        if isinstance(latest, Renewed):
            return replace(resolution, pair=latest.pair)
        return replace(resolution, pair=None, cookies=CookieAction.KEEP)

    async def delivered(self, resolution: AuthResult) -> None:
        """The cookies of a refresh are in a response that has started."""
        if resolution.held is not None and resolution.cookies is CookieAction.WRITE:
            await self._coordinator.mark_delivered(resolution.held)

    async def required_refresh_token(self, presented: Credentials) -> RefreshToken:
        """The verified refresh token of the request, for what only it can do.

        Raises ``BadRequest`` for a bearer request, ``SessionEnded`` for an expired one, else
        ``NotAuthenticated``, also if the session cookie is another user's (KD-05);
        ``UpstreamUnavailable`` while there are no keys to check it with.
        """
        if presented.bearer is not None:
            raise BadRequest("This needs the session cookies: send it without an Authorization header")
        if presented.ambiguous:
            raise ConflictingCookies
        held = await self._refresh_token(presented.refresh)
        if isinstance(held, UpstreamUnavailable):
            raise held
        if isinstance(held, TokenExpired):
            raise SessionEnded
        if not isinstance(held, RefreshToken) or self._is_mismatch(
            held, await self._session(presented.session)
        ):
            raise NotAuthenticated
        return held

    async def _from_bearer(self, bearer: str, scheme: str) -> AuthResult:
        """A bearer is a session or nothing: cookies are not looked at, nothing refreshed (KD-04, KD-08)."""
        if scheme != "bearer":
            self._events.emit(TokenRejected(TokenReason.MALFORMED, "bearer", scheme))
            return AuthResult(error=UnsupportedAuthScheme(scheme), source="bearer")
        try:
            return AuthResult(await self._verifier.verify_session(bearer), source="bearer")
        except TokenError as error:
            self._events.emit(TokenRejected(error.reason, "bearer"))
            return AuthResult(error=error, source="bearer")
        except UpstreamUnavailable as error:
            return AuthResult(error=error, source="bearer")

    async def _from_cookies(self, presented: Credentials) -> AuthResult:
        held = await self._refresh_token(presented.refresh)
        found = await self._session(presented.session)
        if isinstance(found, TokenError) and not isinstance(found, TokenExpired):
            self._events.emit(TokenRejected(found.reason, "cookie"))
        if self._is_mismatch(held, found):
            return AuthResult(error=NotAuthenticated(), cookies=CookieAction.CLEAR, source="cookie")
        if isinstance(found, AuthSession):
            return self._live(found, held, may_refresh=presented.may_refresh)
        return await self._dead(held, found, may_refresh=presented.may_refresh)

    async def _refresh_token(self, text: str | None) -> _Held:
        """The refresh cookie's token, or why it is none: checked offline before it goes anywhere (RF-12).

        That it cannot be checked right now is no reason to doubt a session that can.
        """
        if text is None:
            return None
        try:
            return await self._verifier.verify_refresh_token(text)
        except (TokenError, UpstreamUnavailable) as error:
            return error

    async def _session(self, text: str | None) -> AuthSession | TokenError | None:
        if text is None:
            return None
        try:
            return await self._verifier.verify_session(text)
        except TokenError as error:
            return error

    def _is_mismatch(self, held: _Held, found: AuthSession | TokenError | None) -> bool:
        """Whether the cookies are of two users: one was planted, and nobody can tell which (KD-05, CK-11)."""
        ours, theirs = _subject(held), _subject(found)
        mismatch = ours is not None and theirs is not None and ours != theirs
        if mismatch:
            self._events.emit(TokenPairMismatch())
        return mismatch

    def _live(self, session: AuthSession, held: _Held, *, may_refresh: bool) -> AuthResult:
        if not isinstance(held, RefreshToken):
            return AuthResult(session, cookies=_change_for(held), source="cookie")
        due = may_refresh and self._clock() >= self._due_at(session)
        renewal = self._coordinator.start_refresh(held) if due else None
        return AuthResult(session, held=held, renewal=renewal, source="cookie")

    async def _dead(self, held: _Held, problem: TokenError | None, *, may_refresh: bool) -> AuthResult:
        """No session to go on with. A good refresh token heals whatever was wrong with it (RF-11)."""
        if isinstance(held, UpstreamUnavailable):
            return AuthResult(error=held, source="cookie")
        if isinstance(held, TokenExpired):
            return AuthResult(error=SessionEnded(), cookies=CookieAction.CLEAR, source="cookie")
        if not isinstance(held, RefreshToken):
            error = problem or NotAuthenticated()
            return AuthResult(error=error, cookies=_change_for(held), source="cookie")
        if not may_refresh:
            return AuthResult(error=NotAuthenticated(), source="cookie")
        return self._with_outcome(
            AuthResult(held=held, source="cookie"), await self._coordinator.refresh(held)
        )

    async def _with_renewal(self, before: AuthResult, renewal: asyncio.Task[FlightResult]) -> AuthResult:
        done, _ = await asyncio.wait([renewal], timeout=_AHEAD_PATIENCE_SECONDS)
        if not done or renewal.cancelled():  # too late, or cut off by a shutdown
            return before
        landing = renewal.result()
        return before if isinstance(landing, SwitchFailed) else self._with_outcome(before, landing)

    def _with_outcome(self, before: AuthResult, outcome: Outcome) -> AuthResult:
        """The table of requirement 2.9: outcome by whether the old session still lives."""
        alive = before.session is not None
        match outcome:
            case Renewed(pair):
                return replace(before, session=pair.session, pair=pair, cookies=CookieAction.WRITE)
            case Ended(superseded):
                change = CookieAction.KEEP if superseded else CookieAction.CLEAR
                return replace(before, error=None if alive else SessionEnded(), cookies=change)
            case Unavailable(seconds):
                return replace(before, error=None if alive else UpstreamUnavailable(seconds))
            case _:
                assert_never(outcome)

    def _due_at(self, session: AuthSession) -> float:
        lifetime = session.expires_at - session.issued_at
        jitter = 0.9 + (crc32(session.user.id.encode()) + session.issued_at) % 201 / 1000
        return session.expires_at - min(self._refresh_ahead, lifetime / 4) * jitter


def _subject(found: AuthSession | _Held) -> str | None:
    # Not a match statement: its class patterns cost several times as much, and this is on every request.
    if isinstance(found, AuthSession):
        return found.user.id
    return found.subject if isinstance(found, (RefreshToken, TokenExpired)) else None


def _change_for(held: _Held) -> CookieAction:
    """A session token in the refresh cookie goes, and that cookie alone (KD-02)."""
    if isinstance(held, TokenError) and held.reason is TokenReason.KIND:
        return CookieAction.CLEAR_REFRESH
    return CookieAction.KEEP
