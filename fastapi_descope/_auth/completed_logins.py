"""Logins that were completed a moment ago, for browsers that repeat the request of their callback.

A response can be lost, and a browser can be reloaded while its first request still runs. Such a request must
neither exchange the code again nor fail. So the tokens of a login are kept for a minute in the refresh store,
under a name and a key that derive from a secret in the browser's login cookie (CB-04).
"""

from collections.abc import Sequence

from .._refresh.coordinator import RefreshCoordinator
from .._refresh.family import TokenFamily
from .._refresh.outcome import Ended, Renewed
from .._refresh.store import Lease, RefreshResult, RefreshStore
from ..errors import UpstreamUnavailable
from ..session import RefreshToken, TokenPair
from .token_service import TokenService

__all__ = ["CompletedLogins", "LoginEnded"]

_KEPT_SECONDS = 60.0
_SPENT_SECONDS = 600.0
"""The lifetime of a login cookie: a refused login stays refused, and a completed one completed."""

_WAIT_SECONDS = 30.0
"""How long a request waits for another process that completes the login. The app's hooks may be slow."""


class LoginEnded(Exception):
    """The login was refused, its session has ended, or the browser has signed in again since."""


class CompletedLogins:
    """The tokens of recent logins, by the secrets of their login cookies. Holds nothing itself."""

    def __init__(
        self,
        store: RefreshStore,
        coordinator: RefreshCoordinator,
        tokens: TokenService,
    ) -> None:
        self._store = store
        self._family = TokenFamily(store)
        self._coordinator = coordinator
        self._tokens = tokens

    async def acquire(self, secret: str) -> Lease | None:
        """Return the right to complete the login, or None if that was tried already.

        Waits for another process that is completing it.

        Raises:
            UpstreamUnavailable: the other process took longer than half a minute.
        """
        if await self._store.get(_spent_key(secret)) is not None:
            return None
        acquired = await self._family.acquire_lease(_key(secret), _WAIT_SECONDS)
        if acquired is None:
            raise UpstreamUnavailable
        return acquired if isinstance(acquired, Lease) else None

    async def keep(self, secret: str, pair: TokenPair) -> None:
        """Keep the tokens of a login that has succeeded, for a minute."""
        # Also if the lease was lost, because a hook was slow: Descope exchanges a code only once.
        result = RefreshResult(pair.session_jwt, pair.refresh.text, pair.refresh_at)
        await self._store.force_set(_key(secret), result, _KEPT_SECONDS)
        # A client can keep the cookie as it was before: then its state would be good for a second code.
        await self._store.force_set(_spent_key(secret), RefreshResult.ended(), _SPENT_SECONDS)

    async def refuse(self, secret: str, lease: Lease) -> None:
        """Record that the login has failed, so that its code is not exchanged again."""
        await self._store.complete(_key(secret), lease, RefreshResult.ended(), _SPENT_SECONDS)

    async def end(self, secret: str, *, superseded: bool) -> None:
        """End the login and its session here. ``superseded``: its browser has signed in again."""
        await self._family.end(_key(secret), RefreshResult.ended(superseded=superseded))

    async def newest_pair(self, secret: str, presented: Sequence[RefreshToken]) -> TokenPair | None:
        """Return the newest tokens of the login's session, or None if the browser has them already.

        Args:
            secret: the secret of the login.
            presented: the verified refresh tokens of the request.

        Raises:
            LoginEnded: the browser gets no tokens.
            UpstreamUnavailable: the tokens cannot be verified at the moment.
            InvalidUpstreamResponse: the stored tokens are invalid.
        """
        result = await self._store.get(_key(secret))
        owned = {token.text: await self._current_token(token.text) for token in presented}
        live = [token for token in presented if owned[token.text]]
        if result is None and live:  # in another process; login and logout delete the cookie of this login
            return None
        if result is None or result.is_ended:
            raise LoginEnded
        first = await self._tokens.verify(result)
        pair = await self._newest(first)
        if pair.refresh.text in owned.values():
            return None
        # An older one belongs to the session that this login has replaced.
        if any(token.issued_at >= first.refresh.issued_at for token in live):
            raise LoginEnded
        return pair

    async def _newest(self, first: TokenPair) -> TokenPair:
        match await self._coordinator.outcome(first.refresh):
            case Renewed(pair):
                return pair
            case Ended():
                raise LoginEnded
            case _:  # no refresh since the login, or none that gave new tokens
                return first

    async def _current_token(self, token: str) -> str | None:
        """Return the current token of a family, or None if it has ended here."""
        latest = await self._family.latest_result(token)
        return None if latest is not None and latest.is_ended else await self._family.current_token(token)


def _key(secret: str) -> str:
    """Return the key in the store. No refresh token has a blank in it."""
    return f"callback {secret}"


def _spent_key(secret: str) -> str:
    """Return the key that remains when the tokens of a completed login are no longer kept."""
    return f"spent callback {secret}"
