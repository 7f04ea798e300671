"""Hints in log lines: the likely cause of an event, and its remedy."""

from collections.abc import Mapping
from types import MappingProxyType

from ..events import (
    AccessKeyRefused,
    AccessKeysLimited,
    ConflictingCookies,
    Event,
    JwksFetchFailed,
    LoginFailed,
    LoginLoopStopped,
    RedirectRejected,
    RevocationLogDegraded,
    SessionCheckFailed,
    StoreDegraded,
    StrayChunks,
    TokenPairMismatch,
    TokenRejected,
    UpstreamDegraded,
    UpstreamTokenRejected,
    WebhookIgnored,
    WebhookRefused,
)

__all__ = ["hint"]

_TOKEN_HINTS: Mapping[str, str] = MappingProxyType(
    {
        "expired": "this host's clock is ahead of Descope's; have NTP set it",
        "not_yet_valid": "this host's clock is behind Descope's; have NTP set it",
        "subject": "the user id is an address or malformed; a JWT template that changes sub keeps dsub",
        "client": "it was issued to the client in azp: DESCOPE_FIRST_PARTY_CLIENTS lists clients of this app",
        "too_large": "a token has more than 8,192 bytes, the limit for cookies: remove custom claims from the"
        " JWT template of the project, or roles and permissions from the user",
    }
)
"""The likely cause or the remedy if a token fails verification that Descope has just issued, by reason."""

_CONFLICT_HINT = (
    "another host of this domain, or an earlier release, has set a cookie of this name:"
    " DESCOPE_COOKIE_PREFIX=__Host- prevents it, and a new sign-in removes it"
)

_REDIS_HINT = "Redis is unavailable, and this process works alone until it recovers; check DESCOPE_REDIS_URL"

_NOT_GRANTED_HINT = "Descope signed the user in without it: check the flow or the SSO settings of the project"

_WORD_HINTS: Mapping[str, str] = MappingProxyType(
    {
        "session": "the browser does not send the session cookies back, or a page rejects each session: check"
        " DESCOPE_PUBLIC_URL, DESCOPE_COOKIE_DOMAIN and the size of the cookies",
        "step_up": _NOT_GRANTED_HINT,
        "mfa": _NOT_GRANTED_HINT,
        "too_long": "a return path has at most 1,024 characters: the default is used",
        "encoded": "a return path has no %2F, %5C or %25: the default is used",
        "client": "behind a proxy, the server must take the client's address from the header that it sets",
        "app": "many clients send wrong access keys; machines that are known are not affected",
    }
)
"""How to fix a login loop, a link with a return path that is dropped, or a limit on access keys, by what is
missing or the reason."""

_ACCESS_KEY_CODES = "E0628"
_KEY_HINT = "the key is wrong, expired or disabled, or not permitted from this server"
_NO_KEY_HINT = (
    f"the code is none of those for access keys ({_ACCESS_KEY_CODES}..): if every key is refused, check"
    " DESCOPE_PROJECT_ID and DESCOPE_AUTH_MANAGEMENT_KEY"
)

_PROJECT_HINT = "the audit log of the Descope project says why"

_LOGIN_HINTS: Mapping[str, str] = MappingProxyType(
    {
        "state": "the browser has no login cookie for this callback: the login took over ten minutes, or"
        " began in another browser, or its cookie was blocked; check DESCOPE_PUBLIC_URL",
        "refused": f"the user cancelled, or the identity provider refused: {_PROJECT_HINT}",
        "code": "the callback has no code: check the redirect URL of the project",
        "code_refused": f"the code was used or has expired: {_PROJECT_HINT}",
        "idp_initiated": "the identity provider started this login: make the app's login page its start URL",
        "repeated": "a callback was sent again after its session had ended; nothing has to be done",
        "other_host": "redirect other hosts to DESCOPE_PUBLIC_URL, or correct it",
    }
)
"""The remedy for each reason of a failed login."""


_WEBHOOK_HINTS: Mapping[str, str] = MappingProxyType(
    {
        "signature": "DESCOPE_WEBHOOK_SECRET is not the HMAC secret of the project's connector, or the"
        " request is forged",
        "too_large": "it has more than 524,288 bytes or did not arrive in time: filter the events of the"
        " connector",
    }
)
"""The remedy for each reason of a refused webhook."""

_TYPE_HINTS: Mapping[type[Event], str] = MappingProxyType(
    {
        ConflictingCookies: _CONFLICT_HINT,
        RevocationLogDegraded: _REDIS_HINT,
        SessionCheckFailed: "an on_session or on_caller hook raised this or took longer than two seconds:"
        " requests get 503",
        StoreDegraded: _REDIS_HINT,
        StrayChunks: _CONFLICT_HINT,
        TokenPairMismatch: _CONFLICT_HINT,
        WebhookIgnored: "end the sessions of these users with revoke_user, or with one change for each user",
    }
)
"""The hints that depend on nothing but the type of the event."""


def hint(event: Event, base_url: str | None = None) -> str | None:
    """Return what helps the operator to fix the cause of the event, or None.

    ``base_url`` is the URL of Descope.
    """
    match event:
        case AccessKeyRefused(upstream_code=code):
            return _KEY_HINT if not code or code.startswith(_ACCESS_KEY_CODES) else _NO_KEY_HINT
        case UpstreamTokenRejected(reason=reason):
            return _TOKEN_HINTS.get(reason)
        case TokenRejected(reason="client" as reason):
            return _TOKEN_HINTS[reason]
        case JwksFetchFailed(reason=reason) | UpstreamDegraded(reason=reason) if base_url:
            return _address_hint(base_url, reason)
        case LoginLoopStopped(missing=word) | RedirectRejected(reason=word) | AccessKeysLimited(reason=word):
            return _WORD_HINTS.get(word)
        case WebhookRefused(reason=reason):
            return _WEBHOOK_HINTS.get(reason)
        case LoginFailed(reason=reason):
            return _LOGIN_HINTS.get(reason)
        case _:
            return _TYPE_HINTS.get(type(event))


def _address_hint(base_url: str, reason: str) -> str:
    # Plain http is permitted for an emulator only, which a developer may not have started.
    is_emulator = base_url.startswith("http://")
    question = ": is the emulator running?" if is_emulator and reason == "ConnectError" else ""
    return f"at {base_url}{question}"
