"""Refresh tokens: the families they form, and which of them is still good."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from .refusals import Refusal

__all__ = ["End", "Families", "Family", "Ticket"]


class End(Enum):
    """Why a family is over before its time."""

    LOGOUT = "logout"
    REUSE = "reuse"


@dataclass(slots=True)
class Family:
    """All refresh tokens that descend from one sign-in. Times are epoch seconds.

    ``custom`` are the custom claims of the login options. ``ends_at`` does not move: Descope's sessions
    end four weeks after the sign-in, however often they are refreshed (our choice, the stricter one).
    """

    user_id: str
    amr: tuple[str, ...]
    ends_at: int
    last_used: float
    custom: Mapping[str, object] = field(default_factory=dict[str, object])
    end: End | None = None


@dataclass(slots=True)
class Ticket:
    """One issued refresh token. The tenant is the token's own: an older one keeps the older tenant."""

    family: Family
    tenant: str | None
    kid: str
    replaced_at: float | None = None


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


class Families:
    """Every refresh token ever issued, by digest: what is not in here was not issued here.

    The tokens themselves are not kept. Nothing is forgotten until the process ends.
    """

    def __init__(self) -> None:
        self._tickets: dict[bytes, Ticket] = {}

    def add(self, token: str, ticket: Ticket) -> None:
        """Remember a token that has just been signed."""
        self._tickets[_digest(token)] = ticket

    def find(self, token: str, now: float) -> Ticket:
        """The ticket of a token whose family is alive.

        Raises Refusal: E061005 for a token that was never issued or has expired, E064001 after a logout,
        E064006 after a reuse.
        """
        ticket = self._tickets.get(_digest(token))
        if ticket is None:
            raise Refusal.bad_token()
        if ticket.family.end is End.REUSE:
            raise Refusal.family_invalidated()
        if ticket.family.end is End.LOGOUT:
            raise Refusal.logged_out()
        if now >= ticket.family.ends_at:
            raise Refusal.bad_token("The refresh token has expired")
        return ticket

    def end_all(self, user_id: str) -> None:
        """End every family of a user that is not over already."""
        for ticket in self._tickets.values():
            if ticket.family.user_id == user_id and ticket.family.end is None:
                ticket.family.end = End.LOGOUT
