"""The table of events: the counter, the attributes and the log level of each."""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from ..events import (
    AccessKeyExchanged,
    AccessKeyRefused,
    AccessKeysLimited,
    CallbackRepeated,
    ClaimsRejected,
    ConflictingCookies,
    CrossSiteRefused,
    DuplicateCookiesDeleted,
    Event,
    JwksFetched,
    JwksFetchFailed,
    LoginFailed,
    LoginLoopStopped,
    LoginStarted,
    ProfileFetched,
    RedirectRejected,
    RefreshFailed,
    RefreshRefused,
    RevocationLogDegraded,
    RevocationLogRecovered,
    SessionCheckFailed,
    SessionRefreshed,
    SessionRefused,
    SignedIn,
    SignedOut,
    StoreDegraded,
    StoreRecovered,
    StrayChunks,
    SuccessorReplayed,
    TenantSwitched,
    TokenPairMismatch,
    TokenRejected,
    UpstreamDegraded,
    UpstreamRecovered,
    UpstreamTokenRejected,
    UserChanged,
    UserRevoked,
    WebhookIgnored,
    WebhookRefused,
)

__all__ = ["COUNTERS", "MAPPINGS", "EventMapping", "label", "mapping_of"]

_LABEL = re.compile(r"[A-Za-z0-9_.-]{1,40}")

COUNTERS: Mapping[str, str] = MappingProxyType(
    {
        "descope.access_keys": "Exchanges of access keys, and those that a limit prevented",
        "descope.answers.suspicious": "Responses of Descope with a token that failed verification",
        "descope.cookies": "Requests with stray chunks of session cookies, and deletions of duplicates",
        "descope.claims.rejected": "Requests of sessions whose claims do not fit a model of the app",
        "descope.events": "Events without their own counter",
        "descope.keys.fetches": "Fetches of the signing keys",
        "descope.logins": "Logins, by result",
        "descope.profile_reads": "Fetches of user profiles",
        "descope.refreshes": "Session refreshes",
        "descope.refused": "Requests that were refused as a possible attack",
        "descope.revocation_log": "Outages and recoveries of the revocation log",
        "descope.revocations": "Changes of users that end or refresh sessions, and those without effect",
        "descope.session_checks": "Sessions and callers that a hook refused or could not check",
        "descope.sign_outs": "Logouts, and whether Descope confirmed them",
        "descope.store": "Outages and recoveries of the shared refresh store",
        "descope.tenant_switches": "Tenant switches",
        "descope.tokens.rejected": "Tokens in requests that failed verification",
        "descope.upstream": "Outages and recoveries of Descope",
    }
)
"""The description of each counter, by name."""


@dataclass(frozen=True, slots=True)
class EventMapping:
    """The counter, attributes and log level of one type of event.

    ``labels`` names the fields of the event that become attributes, because they have few possible values.
    """

    counter: str
    attributes: Mapping[str, str] = field(default_factory=dict[str, str])
    labels: tuple[str, ...] = ()
    level: int = logging.INFO


def _result(counter: str, result: str, *labels: str, level: int = logging.INFO) -> EventMapping:
    return EventMapping(counter, {"result": result}, labels, level)


def _refused(kind: str) -> EventMapping:
    return EventMapping("descope.refused", {"kind": kind}, level=logging.WARNING)


MAPPINGS: Mapping[type[Event], EventMapping] = MappingProxyType(
    {
        AccessKeyExchanged: _result("descope.access_keys", "exchanged"),
        AccessKeyRefused: _result("descope.access_keys", "refused", level=logging.WARNING),
        AccessKeysLimited: _result("descope.access_keys", "limited", "reason", level=logging.WARNING),
        CallbackRepeated: _result("descope.logins", "repeated", "delivered"),
        # At INFO: claims_as has logged a warning with the same names.
        ClaimsRejected: EventMapping("descope.claims.rejected", labels=("model",)),
        ConflictingCookies: _refused("conflicting_cookies"),
        CrossSiteRefused: _refused("cross_site"),
        DuplicateCookiesDeleted: _result("descope.cookies", "deleted", level=logging.WARNING),
        JwksFetchFailed: _result("descope.keys.fetches", "failed", "reason", level=logging.WARNING),
        JwksFetched: _result("descope.keys.fetches", "fetched"),
        LoginFailed: _result("descope.logins", "failed", "reason", level=logging.WARNING),
        LoginLoopStopped: _result("descope.logins", "loop_stopped", "missing", level=logging.WARNING),
        LoginStarted: _result("descope.logins", "started", "method"),
        ProfileFetched: EventMapping("descope.profile_reads"),
        RedirectRejected: EventMapping(
            "descope.refused", {"kind": "redirect"}, ("reason",), level=logging.WARNING
        ),
        RefreshFailed: _result("descope.refreshes", "failed", "reason", level=logging.WARNING),
        RefreshRefused: _result("descope.refreshes", "refused", level=logging.WARNING),
        RevocationLogDegraded: _result("descope.revocation_log", "degraded", "reason", level=logging.WARNING),
        RevocationLogRecovered: _result("descope.revocation_log", "recovered"),
        SessionCheckFailed: _result("descope.session_checks", "failed", "reason", level=logging.WARNING),
        SessionRefused: _result("descope.session_checks", "refused", "reason", level=logging.WARNING),
        SessionRefreshed: _result("descope.refreshes", "refreshed"),
        SignedIn: _result("descope.logins", "signed_in", "method"),
        SignedOut: EventMapping("descope.sign_outs", labels=("everywhere", "confirmed")),
        StoreDegraded: _result("descope.store", "degraded", "reason", level=logging.WARNING),
        StoreRecovered: _result("descope.store", "recovered"),
        StrayChunks: _result("descope.cookies", "stray", level=logging.WARNING),
        SuccessorReplayed: _result("descope.refreshes", "replayed"),
        UpstreamTokenRejected: EventMapping(
            "descope.answers.suspicious", labels=("reason",), level=logging.WARNING
        ),
        TenantSwitched: EventMapping("descope.tenant_switches"),
        TokenPairMismatch: _refused("token_pair"),
        TokenRejected: EventMapping(
            "descope.tokens.rejected", labels=("reason", "source"), level=logging.WARNING
        ),
        UpstreamDegraded: _result("descope.upstream", "degraded", "reason", "calls", level=logging.WARNING),
        UpstreamRecovered: _result("descope.upstream", "recovered", "calls"),
        UserChanged: _result("descope.revocations", "changed"),
        UserRevoked: _result("descope.revocations", "revoked", "source"),
        WebhookIgnored: _result("descope.revocations", "ignored", "action", "missing", level=logging.WARNING),
        WebhookRefused: EventMapping(
            "descope.refused", {"kind": "webhook"}, ("reason",), level=logging.WARNING
        ),
    }
)


def mapping_of(event: Event) -> EventMapping:
    """Return the mapping of an event of the app, whose class is not in the table."""
    return EventMapping("descope.events", {"event": event.name})


def label(value: object) -> str:
    """Return ``value`` as a label, or ``other`` if it is free text: each new label is a new series."""
    text = str(value).lower()
    return text if _LABEL.fullmatch(text) else "other"
