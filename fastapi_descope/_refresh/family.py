"""The refresh tokens of one session, each the successor of the one before, and whose turn it is.

A browser may come with any of them. With rotation all but the newest are spent, and Descope takes a second
use of one for a theft.
"""

import asyncio

from ..errors import UpstreamUnavailable
from .outcome import Ended, SwitchFailed
from .store import Lease, RefreshResult, RefreshStore

__all__ = ["TokenFamily"]

_SHORTEST_POLL_SECONDS, _LONGEST_POLL_SECONDS = 0.05, 0.4


class TokenFamily:
    """Chains as ``store`` remembers them. Tokens are texts, and nothing is verified here."""

    def __init__(self, store: RefreshStore) -> None:
        self._store = store

    async def latest_result(self, text: str) -> RefreshResult | None:
        """The end of the chain: the refresh token of a result may itself have been traded since.

        A pause is no end: the session before it is still the latest.
        """
        last, seen = None, set[str]()
        while text not in seen and (later := await self._store.get(text)) is not None:
            seen.add(text)
            if later.retry_at is None:
                last, text = later, later.refresh_jwt or text
        return last

    async def current_token(self, text: str) -> str:
        """The newest token that follows ``text``, which may be itself."""
        last = await self.latest_result(text)
        return text if last is None else last.refresh_jwt or text

    async def acquire_lease(
        self, text: str, wait_timeout: float, *, ignore_cached: bool = False
    ) -> RefreshResult | Lease | None:
        """What the store says, after waiting out whoever is at it; None if that takes too long."""
        loop = asyncio.get_running_loop()
        deadline, pause = loop.time() + wait_timeout, _SHORTEST_POLL_SECONDS
        while (begun := await self._store.acquire(text, ignore_cached=ignore_cached)) is None:
            if (left := deadline - loop.time()) <= 0:
                break
            # Another process may hold the lease: there is no event of ours to await. The longer it takes,
            # the more others may be waiting, so it is asked less and less often.
            await asyncio.sleep(min(pause, left))
            pause = min(1.5 * pause, _LONGEST_POLL_SECONDS)
        return begun

    async def reacquire_lease(
        self, text: str, wait_timeout: float, *, stale: RefreshResult
    ) -> RefreshResult | Lease | None:
        """A lease for what has a ``stale`` result, of no use any more; or what another has put in its place.

        Of many processes that find the same result stale, one asks Descope, and a logout is not overtaken.
        """
        begun = await self.acquire_lease(text, wait_timeout, ignore_cached=True)
        known = await self._store.get(text) if isinstance(begun, Lease) else None
        if isinstance(begun, Lease) and known is not None and known != stale:
            await self._store.complete(text, begun, None, 0.0)
            return known
        return begun

    async def acquire_current(
        self, text: str, wait_timeout: float
    ) -> tuple[str, Lease] | Ended | SwitchFailed:
        """The lease of the newest token: whoever had it before may have rotated the one that we know.

        ``patience`` is for all of them: there may be a queue, and each who leaves it rotates once more.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_timeout
        while isinstance(
            lease := await self.acquire_lease(text, deadline - loop.time(), ignore_cached=True), Lease
        ):
            known = await self.latest_result(text)
            if known is None or known.refresh_jwt == text:
                return text, lease
            await self._store.complete(text, lease, None, 0.0)
            if known.refresh_jwt is None:
                return Ended()
            text = known.refresh_jwt
        return SwitchFailed(UpstreamUnavailable())
