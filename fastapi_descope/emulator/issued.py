"""What the authority gives out, and what it remembers of it."""

from dataclasses import dataclass, field

from .project import SeedUser

__all__ = ["IssuedTokens", "KeySession", "LoginRecord"]


@dataclass(frozen=True, slots=True)
class IssuedTokens:
    """A fresh session and what belongs to it. Times are epoch seconds.

    ``refresh_jwt`` is empty where the presented one stays in use and is not repeated. ``next_refresh`` is
    the number of seconds within which to refresh so as not to count as inactive; 0 if inactivity does not
    matter.
    """

    session_jwt: str = field(repr=False)
    refresh_jwt: str = field(repr=False)
    user: SeedUser
    session_ends: int
    refresh_ends: int
    next_refresh: int
    session_id: str
    first_seen: bool = False
    sso_id: str = ""


@dataclass(frozen=True, slots=True)
class KeySession:
    """What an access key was exchanged for. ``ends`` is in epoch seconds."""

    key_id: str
    session_jwt: str = field(repr=False)
    ends: int


@dataclass(frozen=True, slots=True)
class LoginRecord:
    """One sign-in of a user, for the login history."""

    user_id: str
    at: int
    tenant: str | None
