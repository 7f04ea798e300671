"""The ``token inspect`` command: describe a token, and decide as the app does.

The token is hostile input, and a secret. Its text appears in no output. Its claims are labelled as unverified
unless a key of the project has signed them.
"""

import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass

from typing_extensions import override

from .._auth.clients import build_api, build_policy, build_verifier
from .._tokens.jwks import parse_key_set
from .._tokens.jwks_cache import Fetch
from ..errors import ConfigurationError, InvalidUpstreamResponse, TokenError, TokenReason, UpstreamUnavailable
from ..events import EventBus
from ..settings import DescopeSettings
from .token_facts import TokenFacts, TokenType
from .token_remedies import REMEDIES

__all__ = ["Inspection", "Verdict", "inspect_token"]

_VERSION = 1
"""Version of the JSON document. Members may be added to a version; none is removed or changes its meaning."""

_NO_KEYS = "keys_unavailable"
_NO_KEYS_REMEDY = "run fastapi-descope doctor, or pass the key set with --jwks"

# These are found after the signature has been checked.
_SIGNED = frozenset(
    {
        TokenReason.CLAIMS,
        TokenReason.KIND,
        TokenReason.ISSUER,
        TokenReason.AUDIENCE,
        TokenReason.SENDER_CONSTRAINED,
        TokenReason.CLIENT,
        TokenReason.SUBJECT,
        TokenReason.NOT_YET_VALID,
        TokenReason.EXPIRED,
    }
)

_TYPES = {
    TokenType.SESSION: "a session token",
    TokenType.REFRESH: "a refresh token",
    TokenType.ACCESS_KEY_SESSION: "a session token of an access key",
    TokenType.INBOUND_APP: "an access token of another application (inbound app, OAuth client)",
    TokenType.ID_TOKEN: "an OpenID Connect ID token",
    TokenType.TRUSTED_DEVICE: "a trusted device token",
    TokenType.OTHER_DESCOPE: "another token of Descope",
    TokenType.OTHER_ISSUER: "a JWT that is not of Descope",
    TokenType.NOT_A_JWT: "not a JWT",
}
_PROJECTS = {"this": " of this project", "another": " of another project", "none": ""}
_UNITS = ((2 * 86_400, 86_400, "d"), (2 * 3_600, 3_600, "h"), (120, 60, "min"), (0, 1, "s"))


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the app accepts the token in one place. ``reason`` and ``remedy`` are None if it does."""

    accepted: bool
    reason: str | None = None
    remedy: str | None = None

    @classmethod
    def refused(cls, reason: TokenReason) -> "Verdict":
        """Return the verdict for a reason of the verifier."""
        return cls(accepted=False, reason=reason.value, remedy=REMEDIES[reason])

    @property
    def is_signed(self) -> bool:
        """Whether a key of the project has signed the token."""
        return self.accepted or self.reason in _SIGNED


@dataclass(frozen=True, slots=True)
class Inspection:
    """The facts of a token, and the verdicts of the app on it as a session token and as a refresh token.

    ``now`` is in epoch seconds.
    """

    facts: TokenFacts
    session: Verdict
    refresh: Verdict
    now: float

    @property
    def is_verified(self) -> bool:
        """Whether a key of the project has signed what the token says."""
        return self.session.is_signed or self.refresh.is_signed

    @override
    def __str__(self) -> str:
        rows = [("token", _TYPES[self.facts.type] + _PROJECTS[self.facts.project])]
        if self.facts.type is not TokenType.NOT_A_JWT:
            rows += self._claim_rows()
        rows.append(("session", self._describe(self.session, self.refresh)))
        rows.append(("refresh", self._describe(self.refresh, self.session)))
        return "\n".join(f"{name:<10}  {text}" for name, text in rows)

    def as_json(self) -> str:
        """Return the inspection as one JSON document in ASCII."""
        facts = asdict(self.facts)
        document = {
            "version": _VERSION,
            "type": facts.pop("type"),
            "verified": self.is_verified,
            **facts,
            "expires_in": None if self.facts.expires_at is None else round(self.facts.expires_at - self.now),
            "session": asdict(self.session),
            "refresh": asdict(self.refresh),
        }
        return json.dumps(document, indent=2)

    def _claim_rows(self) -> list[tuple[str, str]]:
        facts = self.facts
        verified = "valid: a key of the project has signed what follows"
        unverified = "NOT VERIFIED: anyone could have written what follows"
        others = [f"{facts.other_claims} more"] if facts.other_claims else []
        current = ", one of them current" if facts.has_current_tenant else ""
        return [
            ("signature", verified if self.is_verified else unverified),
            ("issuer", facts.issuer or "none that can be printed"),
            ("audience", ", ".join(facts.audience) or "none"),
            ("issued", self._relative(facts.issued_at)),
            ("expires", self._relative(facts.expires_at)),
            ("tenants", f"{facts.tenants}{current}"),
            ("claims", ", ".join([*facts.claims, *others]) or "none"),
        ]

    def _relative(self, then: float | None) -> str:
        if then is None:
            return "unknown: the claim is missing or malformed"
        seconds = abs(then - self.now)
        size, unit = next((size, unit) for least, size, unit in _UNITS if seconds >= least)
        text = f"{seconds / size:.0f} {unit}"
        return f"{text} ago" if then < self.now else f"in {text}"

    @staticmethod
    def _describe(verdict: Verdict, other: Verdict) -> str:
        if verdict.accepted:
            return "accepted"
        # A token of one kind is refused as the other: that needs no remedy.
        is_expected = other.accepted and verdict.reason == TokenReason.KIND
        return f"refused ({verdict.reason})" + ("" if is_expected else f": {verdict.remedy}")


async def inspect_token(
    token: str,
    settings: DescopeSettings,
    *,
    key_set: bytes | None = None,
    clock: Callable[[], float] = time.time,
) -> Inspection:
    """Verify a token with the app's verifier, and describe it. Runs no ``on_session`` hook.

    Args:
        token: The token, or any other text.
        settings: The app's settings.
        key_set: The project's key set. None fetches it: one call to Descope, or none for malformed tokens.
        clock: Returns epoch seconds.

    Raises:
        ConfigurationError: ``key_set`` is not a key set with a usable key.
    """
    api = build_api(settings, EventBus())
    fetch = api.fetch_jwks if key_set is None else _fixed(key_set)
    verifier = build_verifier(settings, EventBus(), fetch, clock=clock)
    try:
        session = await _verdict(verifier.verify_session(token))
        refresh = await _verdict(verifier.verify_refresh_token(token))
    finally:
        await verifier.aclose()
        await api.aclose()
    return Inspection(TokenFacts.read(token, build_policy(settings)), session, refresh, clock())


async def _verdict(verification: Awaitable[object]) -> Verdict:
    try:
        await verification
    except TokenError as error:
        return Verdict.refused(error.reason)
    except UpstreamUnavailable:
        return Verdict(accepted=False, reason=_NO_KEYS, remedy=_NO_KEYS_REMEDY)
    return Verdict(accepted=True)


def _fixed(key_set: bytes) -> Fetch:
    """Return a function that returns the key set without a call.

    Raises:
        ConfigurationError: It is no key set.
    """
    try:
        parse_key_set(key_set)
    except InvalidUpstreamResponse as error:
        raise ConfigurationError(
            f"--jwks: expected a key set with a usable RSA key ({error.reason})"
        ) from None

    async def fetch() -> tuple[bytes, int | None]:
        return key_set, None

    return fetch
