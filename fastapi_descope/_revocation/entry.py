"""Entries of the revocation log: one fact about one token or one user, and its encoding."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from hashlib import sha256
from types import MappingProxyType
from typing import Literal, Self

from .._encoding import parse_strict_json

__all__ = ["Revocation", "token_id", "user_key"]

Kind = Literal["token", "user", "stale"]

_KINDS: Mapping[str, Kind] = MappingProxyType({"token": "token", "user": "user", "stale": "stale"})

_VERSION = 1
"""The version of the format. A reader ignores entries of another version."""

_MAX_BYTES = 512


# RV-05: neither a token nor a user id is stored.
def token_id(token: str) -> str:
    """Return the name of a token in the log: its SHA-256 in hexadecimal."""
    return sha256(token.encode(errors="surrogatepass")).hexdigest()


@lru_cache(maxsize=16_384)
def user_key(user_id: str) -> str:
    """Return the name of a user in the log: half of the SHA-256 of the user id, in hexadecimal."""
    return sha256(user_id.encode(errors="surrogatepass")).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Revocation:
    """One entry of the log.

    Attributes:
        kind: ``token`` denies one token. ``user`` denies every token of a user up to ``before``. ``stale``
            makes the sessions of a user that were issued up to ``before`` refresh at their next request.
        id: Of a token its ``token_id``, else the ``user_key``.
        user: The ``user_key``.
        until: When the entry expires, in epoch seconds.
        before: The cut-off in epoch milliseconds. Tokens that were issued in its second are included; 0 for a
            token.
    """

    kind: Kind
    id: str
    user: str
    until: int
    before: int = 0

    @classmethod
    def of_token(cls, token: str, user_id: str, *, until: float) -> Self:
        """Return the entry that denies one token."""
        return cls("token", token_id(token), user_key(user_id), int(until) + 1)

    @classmethod
    def of_user(
        cls, user_id: str, *, before: float, until: float, kind: Literal["user", "stale"] = "user"
    ) -> Self:
        """Return the entry about all tokens of a user up to ``before`` (epoch seconds)."""
        key = user_key(user_id)
        return cls(kind, key, key, int(until) + 1, int(before * 1000))

    def supersedes(self, known: "Revocation") -> bool:
        """Return whether this entry denies more than ``known``, which is about the same token or user."""
        return self.until > known.until if self.kind == "token" else self.before > known.before

    def encode(self) -> bytes:
        """Return the entry as it is stored. Equal entries have equal encodings."""
        return json.dumps({"v": _VERSION, **asdict(self)}, separators=(",", ":")).encode("ascii")

    @classmethod
    def decode(cls, text: bytes) -> Self | None:
        """Return a stored entry, or None if it is malformed or of a later format."""
        try:
            fields = parse_strict_json(text if len(text) <= _MAX_BYTES else b"")
        except ValueError:
            return None
        match fields:
            case {
                "v": 1,
                "kind": str(kind),
                "id": str(name),
                "user": str(user),
                "until": int(until),
                "before": int(before),
            } if kind in _KINDS:
                return cls(_KINDS[kind], name, user, until, before)
            case _:
                return None
