"""The facts in a token, read before anything in it is verified."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Self, cast

from .._encoding import as_mapping, as_text, base64url_decode, is_canonical_base64url, parse_strict_json
from .._tokens.claims import TokenPolicy

__all__ = ["TokenFacts", "TokenType"]

_SEGMENTS = 3
_MAX_NAMES = 64
_YEAR_10000 = 253402300800

# LG-09: a value is printed only if it matches: no control character, no e-mail address, no token.
_PRINTABLE = re.compile(r"[A-Za-z0-9:/._~-]{1,200}")
_NAME = re.compile(r"[A-Za-z0-9_:/.-]{1,64}")

# A bare project id, or an https URL with the id as one of its last two segments (wire contract 3.2).
_DESCOPE_ISSUER = re.compile(r"(?:https?://[^/]+/(?:[^/]+/)*?)?(?P<project>P[A-Za-z0-9]{20,64})(?:/[^/]+)?")
_TRUSTED_DEVICE = "DTD"
_ACCESS_KEY = "K"


class TokenType(StrEnum):
    """The type that a token claims to have. The values are those of the JSON document."""

    SESSION = "session"
    REFRESH = "refresh"
    ACCESS_KEY_SESSION = "access_key_session"
    INBOUND_APP = "inbound_app"
    ID_TOKEN = "id_token"  # noqa: S105 - not a password
    TRUSTED_DEVICE = "trusted_device"
    OTHER_DESCOPE = "other_descope"
    OTHER_ISSUER = "other_issuer"
    NOT_A_JWT = "not_a_jwt"


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """The facts of a token that are no secrets, read without verification.

    Attributes:
        type: The type of the token.
        project: Whether its issuer is ``this`` project, ``another`` project of Descope, or ``none``.
        algorithm: The algorithm of its signature; None if it has no printable one.
        issuer: The issuer; None if it has no printable one.
        audience: The printable audiences.
        issued_at: Epoch seconds, or None.
        expires_at: Epoch seconds, or None.
        tenants: How many tenants it lists.
        has_current_tenant: Whether it has a current tenant.
        claims: The printable names of its claims, sorted.
        other_claims: How many other claims it has.
    """

    type: TokenType
    project: str = "none"
    algorithm: str | None = None
    issuer: str | None = None
    audience: tuple[str, ...] = ()
    issued_at: float | None = None
    expires_at: float | None = None
    tenants: int = 0
    has_current_tenant: bool = False
    claims: tuple[str, ...] = ()
    other_claims: int = 0

    @classmethod
    def read(cls, token: str, policy: TokenPolicy) -> Self:
        """Return the facts of a token. Never raises: other text is of the type ``NOT_A_JWT``."""
        header, claims = _parse(token)
        if header is None or claims is None:
            return cls(TokenType.NOT_A_JWT)
        project = _project(claims, policy)
        names = sorted(name for name in claims if _NAME.fullmatch(name))[:_MAX_NAMES]
        return cls(
            type=_descope_type(claims, policy) if project != "none" else TokenType.OTHER_ISSUER,
            project=project,
            algorithm=_printable(header.get("alg")),
            issuer=_printable(claims.get("iss")),
            audience=_audience(claims.get("aud")),
            issued_at=_time(claims.get("iat")),
            expires_at=_time(claims.get("exp")),
            tenants=len(as_mapping(claims.get("tenants")) or {}),
            has_current_tenant=as_text(claims.get("dct")) is not None,
            claims=tuple(names),
            other_claims=len(claims) - len(names),
        )


def _parse(token: str) -> tuple[Mapping[str, object] | None, Mapping[str, object] | None]:
    """Return header and claims of a compact JWS, or None for each that is no JSON object."""
    segments = token.encode(errors="replace").split(b".", _SEGMENTS)
    if len(segments) != _SEGMENTS or not all(map(is_canonical_base64url, segments)):
        return None, None
    return _parse_object(segments[0]), _parse_object(segments[1])


def _parse_object(segment: bytes) -> Mapping[str, object] | None:
    try:
        return parse_strict_json(base64url_decode(segment))
    except ValueError:
        return None


def _project(claims: Mapping[str, object], policy: TokenPolicy) -> str:
    issuer = as_text(claims.get("iss")) or ""
    if issuer in policy.issuers:
        return "this"
    match = _DESCOPE_ISSUER.fullmatch(issuer)
    if match is None:
        return "none"
    return "this" if match["project"] == policy.project_id else "another"


def _descope_type(claims: Mapping[str, object], policy: TokenPolicy) -> TokenType:
    """Return the type of a token of Descope by ``drn``, ``azp`` and the subject (wire contract 3.2, 2.15)."""
    drn = as_text(claims.get("drn"))
    if drn in policy.refresh_names:
        return TokenType.REFRESH
    if drn == _TRUSTED_DEVICE:
        return TokenType.TRUSTED_DEVICE
    client = as_text(claims.get("azp", policy.project_id))
    if client is None or client not in {policy.project_id, *policy.clients}:
        return TokenType.INBOUND_APP
    if drn is None:
        return TokenType.ID_TOKEN if "aud" in claims else TokenType.OTHER_DESCOPE
    if drn not in policy.session_names:
        return TokenType.OTHER_DESCOPE
    is_key = (as_text(claims.get("sub")) or "").startswith(_ACCESS_KEY)
    return TokenType.ACCESS_KEY_SESSION if is_key else TokenType.SESSION


def _printable(value: object) -> str | None:
    return value if isinstance(value, str) and _PRINTABLE.fullmatch(value) else None


def _audience(value: object) -> tuple[str, ...]:
    values = cast("tuple[object, ...]", value) if isinstance(value, tuple) else (value,)
    return tuple(text for each in values[:_MAX_NAMES] if (text := _printable(each)) is not None)


def _time(value: object) -> float | None:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    return value if 0 <= value < _YEAR_10000 else None
