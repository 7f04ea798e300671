"""Who is calling: a request's credentials in, a session and the fate of its cookies out."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Literal, assert_never
from zlib import crc32

from .._refresh.coordinator import Refresher
from .._refresh.outcome import Ended, Landing, NotReplaced, NoVerdict, Outcome, Renewed
from .._tokens.verifier import KeyCache
from ..errors import (
    AmbiguousCookies,
    BadRequest,
    DescopeError,
    NotAuthenticated,
    NotBearer,
    SessionEnded,
    TokenError,
    TokenExpired,
    TokenReason,
    UpstreamUnavailable,
)
from ..events import Events, TokenPairMismatch, TokenRejected
from ..session import RefreshToken, Session, TokenPair

__all__ = ["CookieChange", "Credentials", "Resolution", "Resolver"]

_AHEAD_PATIENCE_SECONDS = 1.0
"""How long a response waits for a refresh beside its handler. A later one is kept for the next request."""

_Held = RefreshToken | TokenError | UpstreamUnavailable | None
"""A refresh cookie's token; the error, if it is none or cannot be checked now; None without a cookie."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request brought along, not yet believed.

    ``bearer`` is the text behind the scheme: None without an Authorization header, "" if the header is
    not a single well-formed bearer, and ``scheme`` then says what else it is. ``may_refresh`` is False for
    requests that must have no effect (prefetch, OPTIONS: RF-13).
    """

    bearer: str | None = field(default=None, repr=False)
    session: str | None = field(default=None, repr=False)
    refresh: str | None = field(default=None, repr=False)
    ambiguous: bool = False
    may_refresh: bool = True
    scheme: str = "bearer"


class CookieChange(Enum):
    """What a response does to the session's cookies."""

    KEEP = "keep"
    WRITE = "write"
    CLEAR = "clear"
    CLEAR_REFRESH = "clear_refresh"


@dataclass(frozen=True, slots=True)
class Resolution:
    """Who is calling, and what is to happen to the cookies.

    Without ``session``, ``error`` says why: the ``NotAuthenticated`` family, or ``UpstreamUnavailable``
    if nobody can know right now. ``pair`` comes with ``CookieChange.WRITE``. ``held`` is the verified
    refresh token of the request; ``renewal`` a refresh that runs beside the handler.
    """

    session: Session | None = None
    error: DescopeError | None = None
    cookies: CookieChange = CookieChange.KEEP
    pair: TokenPair | None = None
    held: RefreshToken | None = None
    renewal: asyncio.Task[Landing] | None = field(default=None, repr=False)
    source: Literal["none", "cookie", "bearer"] = "none"


class Resolver:
    """Decides who is calling. Holds no state.

    ``refresh_ahead`` (seconds) is how long before its expiry a session is refreshed beside a request;
    never more than a quarter of its lifetime, and 10 % more or less so that sessions that began together
    do not refresh together (RF-10). ``clock`` returns epoch seconds.
    """

    def __init__(
        self,
        *,
        keys: KeyCache,
        refresher: Refresher,
        events: Events,
        clock: Callable[[], float],
        refresh_ahead: float = 60.0,
    ) -> None:
        self._keys = keys
        self._refresher = refresher
        self._events = events
        self._clock = clock
        self._refresh_ahead = refresh_ahead

    async def resolve(self, presented: Credentials) -> Resolution:
        """Who is calling. Never raises.

        A known token costs two look-ups; an unknown one a signature check each; a dead session one
        refresh, shared with everyone else who carries it.
        """
        if presented.bearer is not None:
            return await self._from_bearer(presented.bearer, presented.scheme)
        if presented.ambiguous:
            return Resolution(error=AmbiguousCookies())
        if presented.session is None and presented.refresh is None:
            return Resolution(error=NotAuthenticated())
        try:
            return await self._from_cookies(presented)
        except UpstreamUnavailable as error:
            return Resolution(error=error, source="cookie")

    async def settle(self, resolution: Resolution) -> Resolution:
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
        latest = await self._refresher.latest(resolution.held)
        if isinstance(latest, Renewed):
            return replace(resolution, pair=latest.pair)
        return replace(resolution, pair=None, cookies=CookieChange.KEEP)

    async def delivered(self, resolution: Resolution) -> None:
        """The cookies of a refresh are in a response that has started."""
        if resolution.held is not None and resolution.cookies is CookieChange.WRITE:
            await self._refresher.delivered(resolution.held)

    async def required_refresh_token(self, presented: Credentials) -> RefreshToken:
        """The verified refresh token of the request, for what only it can do.

        Raises ``BadRequest`` for a bearer request, ``SessionEnded`` for an expired one, else
        ``NotAuthenticated``, also if the session cookie is another user's (KD-05);
        ``UpstreamUnavailable`` while there are no keys to check it with.
        """
        if presented.bearer is not None:
            raise BadRequest("This needs the session cookies: send it without an Authorization header")
        if presented.ambiguous:
            raise AmbiguousCookies
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

    async def _from_bearer(self, bearer: str, scheme: str) -> Resolution:
        """A bearer is a session or nothing: cookies are not looked at, nothing refreshed (KD-04, KD-08)."""
        if scheme != "bearer":
            self._events.emit(TokenRejected(TokenReason.MALFORMED, "bearer", scheme))
            return Resolution(error=NotBearer(scheme), source="bearer")
        try:
            return Resolution(await self._keys.session(bearer), source="bearer")
        except TokenError as error:
            self._events.emit(TokenRejected(error.reason, "bearer"))
            return Resolution(error=error, source="bearer")
        except UpstreamUnavailable as error:
            return Resolution(error=error, source="bearer")

    async def _from_cookies(self, presented: Credentials) -> Resolution:
        held = await self._refresh_token(presented.refresh)
        found = await self._session(presented.session)
        if isinstance(found, TokenError) and not isinstance(found, TokenExpired):
            self._events.emit(TokenRejected(found.reason, "cookie"))
        if self._is_mismatch(held, found):
            return Resolution(error=NotAuthenticated(), cookies=CookieChange.CLEAR, source="cookie")
        if isinstance(found, Session):
            return self._live(found, held, may_refresh=presented.may_refresh)
        return await self._dead(held, found, may_refresh=presented.may_refresh)

    async def _refresh_token(self, text: str | None) -> _Held:
        """The refresh cookie's token, or why it is none: checked offline before it goes anywhere (RF-12).

        That it cannot be checked right now is no reason to doubt a session that can.
        """
        if text is None:
            return None
        try:
            return await self._keys.refresh_token(text)
        except (TokenError, UpstreamUnavailable) as error:
            return error

    async def _session(self, text: str | None) -> Session | TokenError | None:
        if text is None:
            return None
        try:
            return await self._keys.session(text)
        except TokenError as error:
            return error

    def _is_mismatch(self, held: _Held, found: Session | TokenError | None) -> bool:
        """Whether the cookies are of two users: one was planted, and nobody can tell which (KD-05, CK-11)."""
        ours, theirs = _subject(held), _subject(found)
        mismatch = ours is not None and theirs is not None and ours != theirs
        if mismatch:
            self._events.emit(TokenPairMismatch())
        return mismatch

    def _live(self, session: Session, held: _Held, *, may_refresh: bool) -> Resolution:
        if not isinstance(held, RefreshToken):
            return Resolution(session, cookies=_change_for(held), source="cookie")
        due = may_refresh and self._clock() >= self._due_at(session)
        renewal = self._refresher.start(held) if due else None
        return Resolution(session, held=held, renewal=renewal, source="cookie")

    async def _dead(self, held: _Held, problem: TokenError | None, *, may_refresh: bool) -> Resolution:
        """No session to go on with. A good refresh token heals whatever was wrong with it (RF-11)."""
        if isinstance(held, UpstreamUnavailable):
            return Resolution(error=held, source="cookie")
        if isinstance(held, TokenExpired):
            return Resolution(error=SessionEnded(), cookies=CookieChange.CLEAR, source="cookie")
        if not isinstance(held, RefreshToken):
            error = problem or NotAuthenticated()
            return Resolution(error=error, cookies=_change_for(held), source="cookie")
        if not may_refresh:
            return Resolution(error=NotAuthenticated(), source="cookie")
        return self._with_outcome(Resolution(held=held, source="cookie"), await self._refresher.refresh(held))

    async def _with_renewal(self, before: Resolution, renewal: asyncio.Task[Landing]) -> Resolution:
        done, _ = await asyncio.wait([renewal], timeout=_AHEAD_PATIENCE_SECONDS)
        if not done or renewal.cancelled():  # too late, or cut off by a shutdown
            return before
        landing = renewal.result()
        return before if isinstance(landing, NotReplaced) else self._with_outcome(before, landing)

    def _with_outcome(self, before: Resolution, outcome: Outcome) -> Resolution:
        """The table of requirement 2.9: outcome by whether the old session still lives."""
        alive = before.session is not None
        match outcome:
            case Renewed(pair):
                return replace(before, session=pair.session, pair=pair, cookies=CookieChange.WRITE)
            case Ended(superseded):
                change = CookieChange.KEEP if superseded else CookieChange.CLEAR
                return replace(before, error=None if alive else SessionEnded(), cookies=change)
            case NoVerdict(seconds):
                return replace(before, error=None if alive else UpstreamUnavailable(seconds))
            case _:
                assert_never(outcome)

    def _due_at(self, session: Session) -> float:
        lifetime = session.expires_at - session.issued_at
        jitter = 0.9 + (crc32(session.user.id.encode()) + session.issued_at) % 201 / 1000
        return session.expires_at - min(self._refresh_ahead, lifetime / 4) * jitter


def _subject(found: Session | _Held) -> str | None:
    # Not a match statement: its class patterns cost several times as much, and this is on every request.
    if isinstance(found, Session):
        return found.user.id
    return found.subject if isinstance(found, (RefreshToken, TokenExpired)) else None


def _change_for(held: _Held) -> CookieChange:
    """A session token in the refresh cookie goes, and that cookie alone (KD-02)."""
    if isinstance(held, TokenError) and held.reason is TokenReason.KIND:
        return CookieChange.CLEAR_REFRESH
    return CookieChange.KEEP
