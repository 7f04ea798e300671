"""A token family in the store: its current token and its lease."""

import asyncio
from contextlib import suppress

from ..errors import SessionEnded, UpstreamUnavailable
from .cache_policy import UNDELIVERED_TTL
from .store import Lease, RefreshResult, RefreshStore

__all__ = ["TokenFamily"]

_MIN_POLL_SECONDS, _MAX_POLL_SECONDS = 0.05, 0.4


class TokenFamily:
    """Follows token families through the cached results of a refresh store, and acquires their leases.

    A browser may send any token of a family. With rotation, all but the current one are spent, and Descope
    treats a second use as theft. Tokens are strings here; nothing is verified.
    """

    def __init__(self, store: RefreshStore) -> None:
        self._store = store

    async def latest_result(self, token: str) -> RefreshResult | None:
        """Return the last result of the family that follows ``token``, or None if nothing is cached.

        Backoff results are skipped: the result before one is still the latest.
        """
        latest, seen = None, set[str]()
        while token not in seen and (cached := await self._store.get(token)) is not None:
            seen.add(token)
            if cached.retry_at is None:
                latest, token = cached, cached.refresh_jwt or token
        return latest

    async def current_token(self, token: str) -> str:
        """Return the family's current refresh token, which may be ``token`` itself."""
        latest = await self.latest_result(token)
        return token if latest is None else latest.refresh_jwt or token

    async def acquire_lease(
        self, token: str, wait_timeout: float, *, ignore_cached: bool = False
    ) -> RefreshResult | Lease | None:
        """Wait until the store has a result or grants the lease.

        Args:
            token: the refresh token.
            wait_timeout: seconds to wait while another process holds the lease.
            ignore_cached: wait for the lease even if a result is cached.

        Returns:
            The cached result, the lease, or None after ``wait_timeout``.
        """
        loop = asyncio.get_running_loop()
        deadline, delay = loop.time() + wait_timeout, _MIN_POLL_SECONDS
        while (acquired := await self._store.acquire(token, ignore_cached=ignore_cached)) is None:
            if (remaining := deadline - loop.time()) <= 0:
                break
            # The holder may be another process, so there is no event to await. The delay grows,
            # because many requests wait when a refresh is slow.
            await asyncio.sleep(min(delay, remaining))
            delay = min(1.5 * delay, _MAX_POLL_SECONDS)
        return acquired

    async def acquire_if_unchanged(
        self, token: str, wait_timeout: float, *, cached: RefreshResult
    ) -> RefreshResult | Lease | None:
        """Acquire the lease in order to replace ``cached``, unless another process has replaced it already.

        If many processes find the same result unusable, only one of them calls Descope. A logout in between
        is not overwritten.

        Returns:
            The new cached result, the lease, or None after ``wait_timeout`` seconds.
        """
        acquired = await self.acquire_lease(token, wait_timeout, ignore_cached=True)
        current = await self._store.get(token) if isinstance(acquired, Lease) else None
        if isinstance(acquired, Lease) and current is not None and current != cached:
            await self._store.complete(token, acquired, None, 0.0)
            return current
        return acquired

    async def acquire_current(self, token: str, wait_timeout: float) -> tuple[str, Lease]:
        """Acquire the lease of the family's current token, and return that token and the lease.

        Each process that held the lease before may have rotated the token. ``wait_timeout`` (seconds) covers
        all of them together.

        Raises:
            SessionEnded: the session has ended.
            UpstreamUnavailable: the lease was not free within ``wait_timeout``.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_timeout
        while isinstance(
            lease := await self.acquire_lease(token, deadline - loop.time(), ignore_cached=True), Lease
        ):
            latest = await self.latest_result(token)
            if latest is None or latest.refresh_jwt == token:
                return token, lease
            await self._store.complete(token, lease, None, 0.0)
            if latest.refresh_jwt is None:
                raise SessionEnded
            token = latest.refresh_jwt
        raise UpstreamUnavailable

    async def wait_idle(self, token: str, wait_timeout: float) -> str | None:
        """Wait until the lease is free and return the current token, or None if the session has ended.

        Raises:
            UpstreamUnavailable: the lease was not free within ``wait_timeout`` seconds.
        """
        try:
            current, lease = await self.acquire_current(token, wait_timeout)
        except SessionEnded:
            return None
        await self._store.complete(current, lease, None, 0.0)
        return current

    async def revoke(self, token: str, wait_timeout: float, ended: set[str] | None = None) -> str:
        """End the session and return its current token.

        Waits at most ``wait_timeout`` seconds for the lease. After that, its holder loses it. The family's
        refresh tokens and session tokens, as far as the store knows them, are added to ``ended``.
        """
        tokens, current, seen = [token], token, set[str]()
        with suppress(TimeoutError, SessionEnded, UpstreamUnavailable):
            async with asyncio.timeout(wait_timeout):  # the store may be slow too
                tokens.append((await self.acquire_current(token, wait_timeout))[0])
        # Usually the first iteration reaches the current token. If the store has lost a step of the family,
        # the token that was current a moment ago is still known.
        for each in tokens:
            current = await self.end(each, RefreshResult.ended(), seen, ended) or current
        return current

    async def end(
        self,
        token: str,
        result: RefreshResult,
        seen: set[str] | None = None,
        ended: set[str] | None = None,
    ) -> str | None:
        """Store ``result``, an end of the session, for ``token`` and every token that follows it.

        Each step returns the result that it replaced, so a token that another process stores at this moment
        is followed too.

        Args:
            token: the refresh token to start from.
            result: the result to store.
            seen: tokens to skip; those of this call are added.
            ended: the tokens that have ended are added, session tokens included.

        Returns:
            The last token of the family that was not in ``seen``, or None.
        """
        seen = set() if seen is None else seen
        last, following = None, token
        while following not in seen:
            last = following
            seen.add(last)
            replaced = await self._store.force_set(last, result, UNDELIVERED_TTL)
            if ended is not None:
                ended |= {last, replaced.session_jwt or last} if replaced else {last}
            following = (replaced.refresh_jwt if replaced else None) or last
        return last
