"""Refresh tokens: the families they form, and which of them is still good."""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

__all__ = ["EndReason", "RefreshTokenRecord", "TokenFamilies", "TokenFamily"]

_FEW = 1000


class EndReason(Enum):
    """Why a family is over before its time."""

    LOGOUT = "logout"
    REUSE = "reuse"


@dataclass(slots=True, eq=False)
class TokenFamily:
    """All refresh tokens that descend from one sign-in. Times are epoch seconds.

    ``custom`` are the custom claims of the login options, ``extra`` claims that every session JWT gets as
    they are. ``ends_at`` does not move: Descope's sessions end four weeks after the sign-in, however often
    they are refreshed (our choice, the stricter one). ``tenant`` is the current one of the newest token,
    and ``kid`` names the key that signed it. ``id`` is for people to name the session by.
    """

    user_id: str
    amr: tuple[str, ...]
    started_at: int
    ends_at: int
    last_used: float
    tenant: str | None = None
    kid: str = ""
    custom_claims: Mapping[str, object] = field(default_factory=dict[str, object])
    extra_claims: Mapping[str, object] = field(default_factory=dict[str, object])
    end_reason: EndReason | None = None
    id: str = field(default_factory=lambda: secrets.token_hex(8))


@dataclass(slots=True, eq=False)
class RefreshTokenRecord:
    """One issued refresh token. The tenant is the token's own: an older one keeps the older tenant."""

    family: TokenFamily
    tenant: str | None
    kid: str
    replaced_at: float | None = None


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


class TokenFamilies:
    """Every refresh token issued that is not past its end, by digest: what is not in here is no good.

    The tokens themselves are not kept. May be used from another thread than the one the emulator runs in:
    whatever goes through them goes through a copy.
    """

    def __init__(self) -> None:
        self._records: dict[bytes, RefreshTokenRecord] = {}
        self._clean_at = _FEW

    def __len__(self) -> int:
        return len(self._records)

    def add(self, token: str, ticket: RefreshTokenRecord, now: float) -> None:
        """Remember a token that has just been signed; now and then, forget those past their end."""
        if len(self._records) >= self._clean_at:
            for digest, kept in tuple(self._records.items()):
                if now >= kept.family.ends_at:
                    self._records.pop(digest, None)
            self._clean_at = max(_FEW, 2 * len(self._records))  # so that it costs each token a constant
        self._records[_digest(token)] = ticket
        ticket.family.tenant, ticket.family.kid = ticket.tenant, ticket.kid

    def find(self, token: str) -> RefreshTokenRecord | None:
        """The ticket of a token, or None if it was never issued or is long over."""
        return self._records.get(_digest(token))

    def active(self, now: float) -> tuple[TokenFamily, ...]:
        """The families that are not over, oldest first."""
        families = {ticket.family: None for ticket in tuple(self._records.values())}
        return tuple(one for one in families if one.end_reason is None and now < one.ends_at)

    def revoke_all(self, user_id: str) -> None:
        """End every family of a user that is not over already."""
        for ticket in tuple(self._records.values()):
            if ticket.family.user_id == user_id and ticket.family.end_reason is None:
                ticket.family.end_reason = EndReason.LOGOUT
