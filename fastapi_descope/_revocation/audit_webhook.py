"""Descope's audit webhook: its signature, and the events about users in its body."""

import hmac
import json
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal, Self, cast

from .._encoding import as_mapping, as_text, parse_strict_json

__all__ = ["AuditEvent", "IncompleteEvent", "is_signed", "parse_events"]

_DIGEST_BYTES = 32
_MAX_EVENTS = 1000

_DELETED = frozenset({"UserDeleted", "UsersDeleted"})

# The lock of LoginExceedMaxAttempts is no reason to revoke: anyone can cause it with wrong passwords. The
# refresh asks Descope whether the user is disabled.
_CHANGED = frozenset({"UserModified", "UsersModified", "LoginExceedMaxAttempts"})

_OF_USERS = _DELETED | _CHANGED


@dataclass(frozen=True, slots=True)
class IncompleteEvent:
    """An event about a change of users that lacks the user or the time.

    Attributes:
        action: The action, one of those that concern users.
        missing: What it lacks.
    """

    action: str
    missing: Literal["user", "time"]


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """An event that a user has changed.

    Attributes:
        user_id: The user.
        at: When it happened, in epoch seconds.
        is_end: The user is disabled or deleted, so the user's sessions are over.
    """

    user_id: str
    at: float
    is_end: bool

    @classmethod
    def from_json(cls, event: Mapping[str, object], project_id: str) -> Self | IncompleteEvent | None:
        """Return the event, or None if it is about something else, or about another project."""
        action, user_id, occurred = event.get("action"), as_text(event.get("userId")), event.get("occurred")
        if not isinstance(action, str) or action not in _OF_USERS:
            return None
        if event.get("projectId", project_id) != project_id:
            return None
        if user_id is None or "@" in user_id:
            return IncompleteEvent(action, "user")
        if not isinstance(occurred, int):
            return IncompleteEvent(action, "time")
        is_end = action in _DELETED or _is_disabled(as_mapping(event.get("data")))
        return cls(user_id, occurred / 1000, is_end)


# RV-07: three descriptions of what is signed exist. None of them lets a text through that the holder of the
# secret has not sent: whitespace between the tokens of JSON means nothing.
def is_signed(body: bytes, signature: str, secret: bytes) -> bool:
    """Return whether a body has a valid signature: base64 of the HMAC-SHA-256 of the body.

    What is signed may also be the body in base64, or the body as compact JSON. Takes the same time for every
    wrong signature of 32 bytes.
    """
    try:
        sent = b64decode(signature, validate=True)
    except ValueError:
        return False
    if len(sent) != _DIGEST_BYTES:
        return False
    digests = [hmac.digest(secret, form, sha256) for form in (body, b64encode(body), _compact(body))]
    return sum(hmac.compare_digest(digest, sent) for digest in digests) > 0


def parse_events(body: bytes, project_id: str) -> list[AuditEvent | IncompleteEvent]:
    """Return the events in a body that are about users: of an array, or of one object.

    Raises:
        ValueError: The body is neither, or repeats a member, or has more than a thousand events.
    """
    events = [AuditEvent.from_json(event, project_id) for event in _objects(_parse(body))]
    return [event for event in events if event is not None]


def _parse(body: bytes) -> object:
    """Return strict JSON of any type.

    Raises:
        ValueError: It is malformed, or repeats a member.
    """
    document = parse_strict_json(b'{"body":' + body + b"}")
    if set(document) != {"body"}:
        raise ValueError("more than one value")
    return document["body"]


def _objects(value: object) -> Iterator[Mapping[str, object]]:
    items = cast("tuple[object, ...]", value) if isinstance(value, tuple) else (value,)
    if len(items) > _MAX_EVENTS:
        raise ValueError("too many events")
    for item in items:
        event = as_mapping(item)
        if event is None or as_text(event.get("action")) is None:
            raise ValueError("not an event")
        yield event


def _compact(body: bytes) -> bytes:
    """Return a body as compact JSON with its members in their order, or unchanged if it is malformed.

    Anyone can cause this work, so it is done by the parser of the standard library, which is written in C.
    The strict parser costs several times as much, and runs after the signature is verified.
    """
    try:
        text = json.dumps(json.loads(body.decode()), ensure_ascii=False, separators=(",", ":"))
    except (ValueError, RecursionError):
        return body
    return text.encode(errors="surrogatepass")


def _is_disabled(data: Mapping[str, object] | None) -> bool:
    """Return whether the data of a modified user say that the new status is ``disabled``."""
    change = as_mapping((data or {}).get("Change")) or {}
    return as_text(change.get("status")) == "disabled"
