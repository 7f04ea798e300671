"""Events as records of the Open Cybersecurity Schema Framework (OCSF), version 1.8.0.

An event about a user, a session or a request is of the class Authentication. An event about the keys, the
store or Descope itself has no user, so it is of the class Base Event. A field of the event that the schema
does not name is in ``unmapped``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import IntEnum
from importlib import metadata
from types import MappingProxyType
from typing import Final, NotRequired, TypedDict, cast
from uuid import uuid4

from .._actor import UNKNOWN_ACTOR
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
from .redaction import redact_value

__all__ = ["OcsfRecord", "ocsf_record"]

_OCSF_VERSION: Final = "1.8.0"

_LOG_VERSION: Final = "1"
"""The version of the mapping in this module. It changes if a field moves or gets another meaning."""

_CATEGORY, _AUTHENTICATION = 3, 3002
_LOGON, _LOGOFF, _PREAUTH, _OTHER = 1, 2, 6, 99
_ACTIVITIES: Mapping[int, str] = MappingProxyType({_LOGON: "Logon", _LOGOFF: "Logoff", _PREAUTH: "Preauth"})
_DETAILS = ("reason", "missing")
"""The fields of events that are the ``status_detail``."""


class _Status(IntEnum):
    """The ``status_id``."""

    UNKNOWN = 0
    SUCCESS = 1
    FAILURE = 2


class _Severity(IntEnum):
    """The ``severity_id``."""

    INFORMATIONAL = 1
    LOW = 2
    MEDIUM = 3


class OcsfProduct(TypedDict):
    """This package."""

    name: str
    vendor_name: str
    version: str


class OcsfMetadata(TypedDict):
    """The object ``metadata``. ``event_code`` is the name of the event, and ``uid`` is unique."""

    version: str
    uid: str
    event_code: str
    log_name: str
    log_version: str
    product: OcsfProduct


class OcsfEntity(TypedDict):
    """An entity with an id or a name."""

    name: NotRequired[str]
    uid: NotRequired[str]


class OcsfUser(OcsfEntity):
    """The object ``user``. ``type_id`` is 1 for a user and 0 if the user is unknown."""

    type_id: int
    org: NotRequired[OcsfEntity]


class OcsfActor(TypedDict):
    """The object ``actor``: the person who acts as the user of the record."""

    user: OcsfUser


class OcsfRecord(TypedDict):
    """One record. ``time`` is in milliseconds since the epoch."""

    metadata: OcsfMetadata
    time: int
    category_uid: int
    class_uid: int
    activity_id: int
    activity_name: str
    type_uid: int
    severity_id: int
    status_id: int
    status_code: NotRequired[str]
    status_detail: NotRequired[str]
    service: NotRequired[Mapping[str, str]]
    user: NotRequired[OcsfUser]
    actor: NotRequired[OcsfActor]
    unmapped: NotRequired[Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class _Mapping:
    """The activity, result and severity of one type of event. ``has_user`` selects the class."""

    activity: str
    status: _Status = _Status.SUCCESS
    severity: _Severity = _Severity.INFORMATIONAL
    activity_id: int = _OTHER
    has_user: bool = True


def _standard(activity_id: int, status: _Status = _Status.SUCCESS) -> _Mapping:
    severity = _Severity.LOW if status is _Status.FAILURE else _Severity.INFORMATIONAL
    return _Mapping(_ACTIVITIES[activity_id], status, severity, activity_id)


def _failure(activity: str, severity: _Severity = _Severity.LOW) -> _Mapping:
    return _Mapping(activity, _Status.FAILURE, severity)


def _system(activity: str, status: _Status = _Status.SUCCESS) -> _Mapping:
    severity = _Severity.MEDIUM if status is _Status.FAILURE else _Severity.INFORMATIONAL
    return _Mapping(activity, status, severity, has_user=False)


_MAPPINGS: Mapping[type[Event], _Mapping] = MappingProxyType(
    {
        AccessKeyExchanged: _standard(_LOGON),
        AccessKeyRefused: _standard(_LOGON, _Status.FAILURE),
        AccessKeysLimited: _failure("Attempt Limit", _Severity.MEDIUM),
        CallbackRepeated: _Mapping("Callback Repetition"),
        ClaimsRejected: _failure("Claims Check"),
        ConflictingCookies: _failure("Cookie Check", _Severity.MEDIUM),
        CrossSiteRefused: _failure("Origin Check", _Severity.MEDIUM),
        DuplicateCookiesDeleted: _Mapping("Cookie Cleanup", severity=_Severity.LOW),
        JwksFetchFailed: _system("Key Fetch", _Status.FAILURE),
        JwksFetched: _system("Key Fetch"),
        LoginFailed: _standard(_LOGON, _Status.FAILURE),
        LoginLoopStopped: _standard(_LOGON, _Status.FAILURE),
        LoginStarted: _standard(_PREAUTH),
        ProfileFetched: _Mapping("Profile Read"),
        RedirectRejected: _failure("Redirect Check"),
        RefreshFailed: _Mapping("Session Refresh", _Status.UNKNOWN, _Severity.LOW),
        RefreshRefused: _failure("Session Refresh"),
        RevocationLogDegraded: _system("Revocation Log Outage", _Status.FAILURE),
        RevocationLogRecovered: _system("Revocation Log Recovery"),
        SessionCheckFailed: _Mapping("Session Check", _Status.UNKNOWN, _Severity.MEDIUM),
        SessionRefreshed: _Mapping("Session Refresh"),
        SessionRefused: _failure("Session Check"),
        SignedIn: _standard(_LOGON),
        SignedOut: _standard(_LOGOFF),
        StoreDegraded: _system("Store Outage", _Status.FAILURE),
        StoreRecovered: _system("Store Recovery"),
        StrayChunks: _failure("Cookie Check"),
        SuccessorReplayed: _Mapping("Refresh Token Reuse", severity=_Severity.LOW),
        TenantSwitched: _Mapping("Tenant Switch"),
        TokenPairMismatch: _failure("Cookie Check", _Severity.MEDIUM),
        TokenRejected: _failure("Token Check"),
        UpstreamDegraded: _system("Descope Outage", _Status.FAILURE),
        UpstreamRecovered: _system("Descope Recovery"),
        UpstreamTokenRejected: _failure("Response Check", _Severity.MEDIUM),
        UserChanged: _Mapping("User Change"),
        UserRevoked: _standard(_LOGOFF),
        WebhookIgnored: _failure("Webhook Check", _Severity.LOW),
        WebhookRefused: _failure("Webhook Check", _Severity.MEDIUM),
    }
)


def _product() -> OcsfProduct:
    # A vendored copy has no metadata.
    version = next((each.version for each in metadata.distributions(name="fastapi-descope")), "0")
    return {"name": "fastapi-descope", "vendor_name": "fastapi-descope", "version": version}


_PRODUCT = _product()


def ocsf_record(event: Event, *, service: Mapping[str, str], epoch_seconds: float) -> OcsfRecord:
    """Return the record of an event.

    Args:
        event: The event. An event of the app is a Base Event with its fields in ``unmapped``.
        service: The object ``service``: the app.
        epoch_seconds: When it happened.
    """
    mapping = _MAPPINGS.get(type(event)) or _Mapping(event.name, _Status.UNKNOWN, has_user=False)
    values = {each.name: _json_value(getattr(event, each.name)) for each in fields(event)}
    class_uid = _AUTHENTICATION if mapping.has_user else 0
    record: OcsfRecord = {
        "metadata": {
            "version": _OCSF_VERSION,
            "uid": str(uuid4()),
            "event_code": event.name,
            "log_name": "fastapi_descope.audit",
            "log_version": _LOG_VERSION,
            "product": _PRODUCT,
        },
        "time": int(epoch_seconds * 1000),
        "category_uid": _CATEGORY if mapping.has_user else 0,
        "class_uid": class_uid,
        "activity_id": mapping.activity_id,
        "activity_name": mapping.activity,
        "type_uid": class_uid * 100 + mapping.activity_id,
        "severity_id": int(mapping.severity),
        "status_id": int(mapping.status),
    }
    if mapping.has_user:
        record["service"] = service
        record["user"] = _user(values.pop("user_id", None), values.pop("tenant_id", None))
        # IM-05: the user is the one who is impersonated.
        if (actor_id := values.pop("actor_id", None)) is not None:
            record["actor"] = {"user": _user(None if actor_id == UNKNOWN_ACTOR else actor_id, None)}
    if mapping is _MAPPINGS.get(type(event)):
        _add_status(record, values)
    if rest := {name: value for name, value in values.items() if value is not None}:
        record["unmapped"] = rest
    return record


def _add_status(record: OcsfRecord, values: dict[str, object]) -> None:
    """Move the reason of the event and Descope's error code to their fields in the schema."""
    for name in _DETAILS:
        if name in values:
            record["status_detail"] = str(values.pop(name))
    if code := values.pop("upstream_code", None):
        record["status_code"] = str(code)


def _user(user_id: object, tenant_id: object) -> OcsfUser:
    """Return the object ``user``. The schema requires an id or a name, so an unknown user has a name."""
    user: OcsfUser = (
        {"type_id": 0, "name": "unknown"} if user_id is None else {"type_id": 1, "uid": str(user_id)}
    )
    if tenant_id is not None:
        user["org"] = OcsfEntity(uid=str(tenant_id))
    return user


def _json_value(value: object) -> object:
    """Return a value of a field as JSON, without addresses and control characters."""
    if isinstance(value, tuple):
        return [redact_value(each) for each in cast("tuple[object, ...]", value)]
    return (
        redact_value(value)
        if isinstance(value, (str, int, float, bool, type(None)))
        else redact_value(str(value))
    )
