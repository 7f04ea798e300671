"""Issued refresh tokens and the token families that they form."""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from .inbound_tokens import InboundGrant
from .tokens import SignIn

__all__ = ["EndReason", "RefreshTokenRecord", "TokenFamilies", "TokenFamily"]

_MIN_CLEANUP_SIZE = 1000


class EndReason(Enum):
    """The reason why a token family ended before it expired."""

    LOGOUT = "logout"
    REUSE = "reuse"


@dataclass(slots=True, eq=False)
class TokenFamily:
    """All refresh tokens that descend from one sign-in. Times are epoch seconds.

    Attributes:
        user_id: The user.
        amr: The authentication methods of the sign-in.
        started_at: The time of the sign-in.
        ends_at: The expiry of the session. Refreshes do not extend it.
        last_used: The time of the last refresh.
        tenant: The current tenant of the newest token.
        kid: The key that signed the newest token.
        custom_claims: Custom claims of the login options.
        extra_claims: Claims that are copied into every session JWT.
        sign_in: The facts of the sign-in that only its response has.
        grant: The access that the family renews, if it is that of an inbound app.
        actor: The user id of the impersonator, or None.
        end_reason: None while the family is active.
        id: Identifies the session in the console and in ID tokens (``sid``).
    """

    user_id: str
    amr: tuple[str, ...]
    started_at: int
    ends_at: int  # Descope's sessions end four weeks after the sign-in, refreshed or not: our choice
    last_used: float
    tenant: str | None = None
    kid: str = ""
    custom_claims: Mapping[str, object] = field(default_factory=dict[str, object])
    extra_claims: Mapping[str, object] = field(default_factory=dict[str, object])
    sign_in: SignIn = field(default_factory=SignIn)
    grant: InboundGrant | None = None
    actor: str | None = None
    end_reason: EndReason | None = None
    id: str = field(default_factory=lambda: secrets.token_hex(8))


@dataclass(slots=True, eq=False)
class RefreshTokenRecord:
    """One issued refresh token. Its tenant does not change: an older token keeps its older tenant."""

    family: TokenFamily
    tenant: str | None
    kid: str
    replaced_at: float | None = None


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


class TokenFamilies:
    """Every issued refresh token that has not expired, by its digest. Unknown tokens are invalid.

    The tokens themselves are not stored. Other threads than the emulator's may use it, so iterations run over
    a copy.
    """

    def __init__(self) -> None:
        self._records: dict[bytes, RefreshTokenRecord] = {}
        self._cleanup_size = _MIN_CLEANUP_SIZE

    def __len__(self) -> int:
        return len(self._records)

    def add(self, token: str, record: RefreshTokenRecord, now: float) -> None:
        """Store a token that has just been signed. Removes expired tokens from time to time."""
        if len(self._records) >= self._cleanup_size:
            for digest, stored in tuple(self._records.items()):
                if now >= stored.family.ends_at:
                    self._records.pop(digest, None)
            self._cleanup_size = max(_MIN_CLEANUP_SIZE, 2 * len(self._records))  # amortised constant cost
        self._records[_digest(token)] = record
        record.family.tenant, record.family.kid = record.tenant, record.kid

    def find(self, token: str) -> RefreshTokenRecord | None:
        """Return the record of a token, or None if it was never issued or has been removed."""
        return self._records.get(_digest(token))

    def active(self, now: float) -> tuple[TokenFamily, ...]:
        """Return the families that have not ended, oldest first."""
        families = {record.family: None for record in tuple(self._records.values())}
        return tuple(each for each in families if each.end_reason is None and now < each.ends_at)

    def revoke_all(self, user_id: str) -> None:
        """End every active family of a user."""
        for record in tuple(self._records.values()):
            if record.family.user_id == user_id and record.family.end_reason is None:
                record.family.end_reason = EndReason.LOGOUT
