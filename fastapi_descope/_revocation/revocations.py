"""Revocations: what ends a session in every process at once, and what a process asks about a token."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from ..session import RefreshToken
from .deny_list import DenyList, Forget
from .entry import Revocation

__all__ = ["RevocationLog", "Revocations"]


_MAX_LEEWAY = 60
_MIN_SECONDS = 600
"""For as long as the refresh store remembers the end of a session."""


class RevocationLog(Protocol):
    """The log that the processes of a fleet share. No method raises because the log is unreachable."""

    async def append(self, entries: Iterable[Revocation]) -> None:
        """Add entries. Entries that cannot be written now are written later."""
        ...

    async def ready(self) -> None:
        """Wait until this process knows the entries of the log, or that it cannot be read at the moment."""
        ...

    def is_known(self) -> bool:
        """Return whether this process has read the log to its end, at any time since it started."""
        ...

    def has_unwritten(self) -> bool:
        """Return whether entries of this process wait to be written."""
        ...

    async def aclose(self) -> None:
        """Stop reading, and close the connections of the running event loop."""
        ...


class Revocations:
    """The revocations of one app.

    Without a log they count in this process only.

    Args:
        clock: Returns epoch seconds.
        ttl: Seconds for which a user's revocation is kept: at least the lifetime of refresh tokens.
        forget: As for ``DenyList``.
        log: Returns the log of a fleet for this process's deny list.
    """

    # RV-01 to RV-06

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        ttl: float,
        forget: Sequence[Forget] = (),
        log: Callable[[DenyList], RevocationLog] | None = None,
    ) -> None:
        self._clock = clock
        self._ttl = ttl
        self._deny_list = DenyList(clock, forget)
        self._log = None if log is None else log(self._deny_list)
        self.denies = self._deny_list.denies
        self.is_stale = self._deny_list.is_stale
        self.watch = self._deny_list.watch

    def denies_refresh_token(self, token: RefreshToken) -> bool:
        """Return whether a verified refresh token was revoked. Costs what ``denies`` costs."""
        return self.denies(token.text, token.subject, token.issued_at)

    async def ready(self) -> None:
        """Wait until this process knows the revocations of the fleet; at most a second, once.

        If the log cannot be read then, the process continues without its entries.
        """
        if self._log is not None:
            await self._log.ready()

    async def revoke_tokens(self, user_id: str, tokens: Iterable[str], *, until: float = math.inf) -> None:
        """Deny some tokens of a user in every process. At most one round trip for each.

        Args:
            user_id: The user.
            tokens: The encoded tokens.
            until: When the last of the session tokens expires, in epoch seconds. They are denied a minute
                longer, for ten minutes at least, and for ``ttl`` seconds at most.
        """
        now = self._clock()
        until = min(max(until + _MAX_LEEWAY, now + _MIN_SECONDS), now + self._ttl)
        await self._add([Revocation.of_token(token, user_id, until=until) for token in tokens])

    # RV-09: the clocks of two hosts differ, and a cut-off in the future would deny every new session.
    async def revoke_user(self, user_id: str, *, at: float = math.inf) -> bool:
        """Deny every token of a user that was issued until ``at`` (epoch seconds), at most until now.

        Returns False if these are denied already.
        """
        now = self._clock()
        return await self._add([Revocation.of_user(user_id, before=min(at, now), until=now + self._ttl)])

    async def refresh_user(self, user_id: str, *, at: float = math.inf) -> bool:
        """Make the sessions of a user refresh that were issued until ``at`` (epoch seconds).

        Each does so at its next request that may refresh. Returns False if they do already.
        """
        now = self._clock()
        entry = Revocation.of_user(user_id, before=min(at, now), until=now + self._ttl, kind="stale")
        return await self._add([entry])

    def are_known(self) -> bool:
        """Return whether this process knows the revocations from before its start. True without a log."""
        return self._log is None or self._log.is_known()

    def are_shared(self) -> bool:
        """Return whether the log has every revocation that this process has made. True without a log."""
        return self._log is None or not self._log.has_unwritten()

    async def aclose(self) -> None:
        """Close the log's connections. The revocations stay."""
        if self._log is not None:
            await self._log.aclose()

    async def _add(self, entries: Sequence[Revocation]) -> bool:
        is_news = self._deny_list.add(entries)
        if is_news and self._log is not None:
            await self._log.append(entries)
        return is_news
