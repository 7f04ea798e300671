"""The revocations that a process knows, and the requests and connections that wait for them."""

from collections.abc import Callable, Iterable, Sequence
from weakref import WeakMethod

from .entry import Revocation, token_id, user_key

__all__ = ["DenyList", "Forget"]

_SWEEP_SIZE = 1024

Forget = Callable[[Callable[[str], bool]], None]
"""Removes what is cached for the users whose ids satisfy a condition."""


class DenyList:
    """The entries of the revocation log that have not expired, in the memory of one process.

    A look-up costs nothing while there are no entries. With entries it costs at most one SHA-256 of the token
    and three look-ups in a dict. No look-up waits.

    Args:
        clock: Returns epoch seconds.
        forget: Called when entries arrive, to remove what is cached for their users. More functions may be
            added to the sequence later.
    """

    # RV-01, RV-02

    def __init__(self, clock: Callable[[], float], forget: Sequence[Forget] = ()) -> None:
        self._clock = clock
        self._forget = forget
        self._entries: dict[tuple[str, str], Revocation] = {}
        self._watchers: dict[str, set[WeakMethod[Callable[[], None]]]] = {}
        self._sweep_at_size = _SWEEP_SIZE

    def add(self, entries: Iterable[Revocation]) -> bool:
        """Add entries, and return whether any is news.

        Evicts what is cached for the users of new entries, and notifies their watchers.

        The order in which entries arrive does not matter: of two cut-offs the later one counts. So an entry
        that arrives again is no news.
        """
        users = {entry.user for entry in entries if self._is_news(entry)}
        if not users:
            return False
        if len(self._entries) >= self._sweep_at_size:
            self._sweep()
        for forget in self._forget:
            forget(lambda user_id: user_key(user_id) in users)
        for user in users:
            # A copy: the garbage collector can run at each step, and remove a watcher.
            watchers = set(self._watchers.get(user, ()))
            for notify in [notify for watcher in watchers if (notify := watcher()) is not None]:
                notify()
        return True

    def denies(self, token: str, user_id: str, issued_at: float) -> bool:
        """Return whether a verified token was revoked.

        Args:
            token: The encoded token, of any kind.
            user_id: The user of the token.
            issued_at: When it was issued, in epoch seconds.
        """
        if not self._entries:
            return False
        return (
            self._is_cut_off("user", user_id, issued_at) or self._find("token", token_id(token)) is not None
        )

    def is_stale(self, user_id: str, issued_at: float) -> bool:
        """Return whether Descope has changed a user since a session token was issued."""
        return bool(self._entries) and self._is_cut_off("stale", user_id, issued_at)

    def watch(self, user_id: str, notify: Callable[[], None]) -> None:
        """Call ``notify`` when an entry about a user arrives.

        Args:
            user_id: The user.
            notify: A bound method. It is called for as long as its object exists.
        """
        key = user_key(user_id)
        watchers = self._watchers.setdefault(key, set())

        def unwatch(watcher: "WeakMethod[Callable[[], None]]") -> None:
            watchers.discard(watcher)
            if not watchers and self._watchers.get(key) is watchers:
                del self._watchers[key]

        watchers.add(WeakMethod(notify, unwatch))
        # The garbage collector can have removed the last other watcher, and the set with it.
        self._watchers[key] = watchers

    def entries(self) -> tuple[Revocation, ...]:
        """Return the entries that have not expired."""
        now = self._clock()
        return tuple(entry for entry in self._entries.values() if entry.until > now)

    def _is_news(self, entry: Revocation) -> bool:
        """Add an entry; return False if it has expired or is known already."""
        key = (entry.kind, entry.id)
        known = self._entries.get(key)
        if entry.until <= self._clock() or (known is not None and not entry.supersedes(known)):
            return False
        self._entries[key] = entry
        return True

    def _is_cut_off(self, kind: str, user_id: str, issued_at: float) -> bool:
        entry = self._find(kind, user_key(user_id))
        return entry is not None and issued_at <= entry.before // 1000

    def _find(self, kind: str, name: str) -> Revocation | None:
        entry = self._entries.get((kind, name))
        return None if entry is None or entry.until <= self._clock() else entry

    def _sweep(self) -> None:
        """Remove expired entries. Doubling the next threshold keeps the cost per entry constant."""
        self._entries = {(entry.kind, entry.id): entry for entry in self.entries()}
        self._sweep_at_size = max(_SWEEP_SIZE, 2 * len(self._entries))
