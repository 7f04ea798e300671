"""The consents of users to inbound apps."""

from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Consent", "Consents"]


@dataclass(frozen=True, slots=True)
class Consent:
    """The consent of one user to one app. Times are epoch seconds.

    Attributes:
        client_id: The app.
        user_id: The user.
        scopes: All scopes that the user has granted to the app.
        granted_at: The time of the last grant.
    """

    client_id: str
    user_id: str
    scopes: tuple[str, ...]
    granted_at: int


class Consents:
    """The current consents, at most one for each pair of an app and a user."""

    def __init__(self) -> None:
        self._consents: dict[tuple[str, str], Consent] = {}

    def __iter__(self) -> Iterator[Consent]:
        """Iterate over a copy, oldest first: another thread may change them."""
        return iter(tuple(self._consents.values()))

    def __contains__(self, key: tuple[str, str]) -> bool:
        return key in self._consents

    def grant(self, client_id: str, user_id: str, scopes: tuple[str, ...], now: int) -> None:
        """Record that a user has granted scopes to an app, in addition to earlier ones."""
        earlier = self._consents.pop((client_id, user_id), None)
        granted = tuple(dict.fromkeys((*(earlier.scopes if earlier else ()), *scopes)))
        self._consents[client_id, user_id] = Consent(client_id, user_id, granted, now)

    def withdraw(self, client_id: str, user_id: str) -> bool:
        """Remove a consent. Returns False if there is none."""
        return self._consents.pop((client_id, user_id), None) is not None
