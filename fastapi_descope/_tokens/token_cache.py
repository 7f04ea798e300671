"""Tokens whose verification has passed, remembered until they expire (requirement TV-18).

Only digests are kept, never the texts, so a dump of the memory holds no bearer token.
"""

from collections import OrderedDict
from typing import Generic, NamedTuple, TypeVar

from ..errors import TokenExpired

__all__ = ["TokenCache"]

T = TypeVar("T")


class _Entry(NamedTuple, Generic[T]):
    value: T
    expires_at: float
    subject: str


class TokenCache(Generic[T]):
    """What tokens of one kind were found to say; at most ``size`` of them, the least recently used go first.

    Keys are digests of whole tokens: two sessions of one user are two (TN-10). That is sound because a
    token has exactly one spelling (TV-03).
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: OrderedDict[bytes, _Entry[T]] = OrderedDict()

    def get(self, digest: bytes, now: float) -> T | None:
        """The value remembered, or None. Raises TokenExpired once its time is over (epoch seconds)."""
        entry = self._entries.get(digest)
        if entry is None:
            return None
        self._entries.move_to_end(digest)
        if now >= entry.expires_at:
            raise TokenExpired(entry.subject)
        return entry.value

    def put(self, digest: bytes, value: T, *, expires_at: float, subject: str) -> None:
        """Cache the ``value`` of a token that has just been verified until ``expires_at`` (epoch seconds)."""
        self._entries[digest] = _Entry(value, expires_at, subject)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)

    def clear(self) -> None:
        """Forget everything: what was verified under other keys no longer counts."""
        self._entries.clear()
