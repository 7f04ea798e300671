"""Descope's audit webhook: no body breaks the parser, and no change of a signed body is accepted (RV-07)."""

import hmac
import json
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastapi_descope._revocation.audit_webhook import AuditEvent, IncompleteEvent, is_signed, parse_events

PROJECT = "P2abcdefghijklmnopqrstuvwxyz"
SECRET = b"a-secret-of-a-connector"
_BODY = b'[{"action":"UserDeleted","occurred":1800000000123,"userId":"U2ada"}]'

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=20,
)
_REQUIRED: dict[str, st.SearchStrategy[object]] = {
    "action": st.sampled_from(["UserDeleted", "UserModified"]) | st.text(),
}
_OPTIONAL: dict[str, st.SearchStrategy[object]] = {
    "occurred": st.integers() | _JSON,
    "userId": st.sampled_from(["U2ada", "ada@acme.example"]) | _JSON,
    "projectId": st.just(PROJECT) | _JSON,
    "data": st.just({"Change": {"status": "disabled"}}) | _JSON,
}
_EVENTS = st.lists(st.fixed_dictionaries(_REQUIRED, optional=_OPTIONAL), max_size=4)


def _sign(text: bytes) -> str:
    return b64encode(hmac.digest(SECRET, text, sha256)).decode()


@example(_BODY)
@given(st.binary(max_size=300) | (_JSON | _EVENTS).map(lambda value: json.dumps(value).encode()))
def test_rv07_any_body_is_parsed_or_refused(body: bytes) -> None:
    """With a ``ValueError``. Events have a user who is no address, and a time, or say what is missing."""
    with suppress(ValueError):
        for event in parse_events(body, PROJECT):
            if isinstance(event, IncompleteEvent):
                assert event.missing in {"user", "time"}
                continue
            assert event.user_id
            assert "@" not in event.user_id
            assert isinstance(event.at, float)


@given(st.integers(0, len(_BODY) - 1), st.integers(0, 255))
def test_rv07_changed_byte_is_not_signed(position: int, byte: int) -> None:
    """Whichever of the three forms of the body was signed."""
    changed = _BODY[:position] + bytes([byte]) + _BODY[position + 1 :]

    for signed in (_BODY, b64encode(_BODY)):
        assert is_signed(changed, _sign(signed), SECRET) is (changed == _BODY)


@given(st.text(max_size=60))
def test_rv07_any_other_signature_is_refused(signature: str) -> None:
    """It is text of a client."""
    assert not is_signed(_BODY, signature, SECRET)


@pytest.mark.parametrize(
    "body", [b"[" * 500_000, b'{"a":' * 100_000, b"[1", b"\xff", b"[" + b"9" * 5000 + b"]"]
)
def test_rv07_unsigned_body_of_any_form_is_refused(body: bytes) -> None:
    """It is parsed to compare its compact form, and can be nested deeper than a parser goes."""
    assert not is_signed(body, _sign(b"another"), SECRET)


_FORMS: dict[str, Callable[[bytes], bytes]] = {
    "the body": lambda body: body,
    "the body in base64": b64encode,
    "the body as compact JSON": lambda body: json.dumps(
        json.loads(body), ensure_ascii=False, separators=(",", ":")
    ).encode(),
}


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_EXACT = st.recursive(  # values that every JSON library writes alike
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=20,
)


@given(
    st.sampled_from(sorted(_FORMS)), st.lists(st.dictionaries(_TEXT, _EXACT), max_size=4), st.integers(0, 3)
)
def test_rv07_each_form_of_a_signature_is_accepted(
    form: str, events: list[dict[str, object]], indent: int
) -> None:
    """Whatever is in the body, and with any white space."""
    body = json.dumps(events, ensure_ascii=False, indent=indent).encode()

    assert is_signed(body, _sign(_FORMS[form](body)), SECRET)


@pytest.mark.parametrize(
    ("data", "is_end"),
    [
        ({"Change": {"status": "disabled"}}, True),
        ({"Change": {"status": "enabled"}}, False),
        ({"Change": {"name": "disabled"}}, False),
        ({"Change": ["disabled"]}, False),
        ({"status": "disabled"}, False),
        (None, False),
        ("disabled", False),
    ],
)
def test_only_the_new_status_disables_a_user(data: object, *, is_end: bool) -> None:
    """Any other change is a reason to refresh, which ends the session too if the user is disabled."""
    event = {"action": "UserModified", "occurred": 1_800_000_000_500, "userId": "U2ada", "data": data}

    found = parse_events(json.dumps(event).encode(), PROJECT)

    assert found == [AuditEvent("U2ada", 1_800_000_000.5, is_end)]
