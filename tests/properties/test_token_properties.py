"""Whatever is presented as a token or published as a key set, there is one family of answers.

Requirements TV-01, TV-03, TV-04 and JW-08, beyond what anybody would write into a table.
"""

import json
from collections.abc import Mapping
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastapi_descope._encoding import base64url, strict_json
from fastapi_descope._tokens.claims import Key, TokenKind, verify
from fastapi_descope._tokens.jwks import parse_key_set
from fastapi_descope.errors import InvalidUpstreamResponse, TokenError
from fastapi_descope.session import AuthSession, Claims, RefreshToken
from tests.helpers.tampering import NOW, POLICY, PROJECT, Forge, encode

FORGE = Forge()
KEYS = parse_key_set(FORGE.key_set("A")).keys
GOOD = FORGE.token()
KEY_SET = FORGE.key_set("A", "B")

ANYTHING = st.text() | st.binary() | st.none() | st.integers() | st.floats() | st.lists(st.text())
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**19), 10**19)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
CLAIMS = ["exp", "iat", "nbf", "iss", "aud", "sub", "dsub", "drn", "dct", "tenants", "roles", "amr", "su"]
HEADERS = ["alg", "kid", "typ", "crit", "b64", "zip", "jwk", "jku", "x5u", "x5c", "x5t", "cty"]
MEMBERS = ["alg", "e", "kid", "kty", "n", "use", "key_ops", "d", "p", "x5c"]
PLAUSIBLE = st.sampled_from(["RS256", "A", "JWT", "DS", "DSR", PROJECT, "RSA", "sig", "AQAB", NOW, NOW + 600])


def outcome(token: object, kind: TokenKind = TokenKind.SESSION) -> Claims | None:
    """The claims, or None if the token is refused; anything else fails the test."""
    try:
        return verify(token, kind=kind, keys=KEYS, policy=POLICY, now=NOW)
    except TokenError:
        return None


@given(ANYTHING, st.sampled_from(TokenKind))
def test_tv01_anything_is_refused_in_one_way(token: object, kind: TokenKind) -> None:
    """No value that nobody signed is a token, and none raises anything but a TokenError."""
    assert outcome(token, kind) is None


@given(st.lists(st.binary(max_size=60).map(encode) | st.text(max_size=20), min_size=2, max_size=5))
def test_tv01_what_looks_like_a_token_is_refused(parts: list[str]) -> None:
    """Nor is anything of segments and dots."""
    assert outcome(".".join(parts)) is None


@given(st.data())
def test_tv03_no_mutation_of_a_good_token_passes(data: st.DataObject) -> None:
    """Of all texts near a good token, only the token itself is accepted."""
    start = data.draw(st.integers(0, len(GOOD)))
    end = data.draw(st.integers(start, min(len(GOOD), start + 4)))
    put = data.draw(st.text(max_size=4) | st.text("AQgw=.-_+/ \n", max_size=4))
    mutated = GOOD[:start] + put + GOOD[end:]
    assert (outcome(mutated) is not None) is (mutated == GOOD)


@given(st.binary(max_size=300), st.sampled_from(["header", "claims"]))
def test_tv04_signed_bytes_are_claims_or_refused(raw: bytes, part: str) -> None:
    """A genuine signature over arbitrary bytes makes no trouble either."""
    assert outcome(FORGE.token(raw) if part == "claims" else FORGE.token(header=raw)) is None


@given(st.dictionaries(st.sampled_from(CLAIMS), JSON | PLAUSIBLE | st.floats()))
def test_tv17_signed_claims_are_values_or_refused(changes: dict[str, object]) -> None:
    """Claims of any shape are refused, or can be made into a session and a refresh token."""
    token = FORGE.token(FORGE.claims(**changes))
    for kind in TokenKind:
        claims = outcome(token, kind)
        if claims is not None:
            session, refresh = AuthSession.from_claims(claims), RefreshToken.from_claims(token, claims)
            assert session.user.id == refresh.subject == claims.get("dsub", claims["sub"])
            assert session.issued_at < session.expires_at + 1
            assert token not in repr((session, refresh))


@given(st.dictionaries(st.sampled_from(HEADERS), JSON | PLAUSIBLE))
def test_tv05_signed_headers_pass_only_as_they_must_be(changes: dict[str, object]) -> None:
    """Of all headers over good claims, only RS256 under the known key without extensions passes."""
    header: dict[str, object] = {"alg": "RS256", "kid": "A"} | changes
    if outcome(FORGE.token(header=header)) is not None:
        assert (header["alg"], header["kid"]) == ("RS256", "A")
        assert not {"crit", "b64", "zip", "jwk", "jku", "x5u", "x5c"}.intersection(header)


def keys_or_none(body: bytes) -> Mapping[str, Key] | None:
    """The keys, or None if the set is nonsense; anything else fails the test."""
    try:
        keys = parse_key_set(body).keys
    except InvalidUpstreamResponse:
        return None
    assert keys
    return keys


@given(st.binary())
def test_jw08_any_bytes_are_nonsense(body: bytes) -> None:
    """Nothing that nobody meant as a key set is one."""
    assert keys_or_none(body) is None


@given(st.integers(0, len(KEY_SET)), st.integers(0, 4), st.binary(max_size=4))
def test_jw09_a_mutated_key_set_has_usable_keys_or_none(start: int, cut: int, put: bytes) -> None:
    """A key set with an error in it never raises anything foreign, and never holds half a key."""
    keys = keys_or_none(KEY_SET[:start] + put + KEY_SET[start + cut :]) or {}
    assert all(kid == key.kid for kid, key in keys.items())


@given(st.lists(JSON | st.dictionaries(st.sampled_from(MEMBERS), JSON | PLAUSIBLE), max_size=6))
def test_jw09_odd_members_do_not_spoil_a_good_one(members: list[object]) -> None:
    """Whatever stands beside a good key, the good one is used."""
    keys = keys_or_none(FORGE.key_set(*([m, None][m == "A"] for m in members), "A"))
    assert keys is not None
    assert keys["A"] == KEYS["A"]


@given(st.dictionaries(st.sampled_from(MEMBERS), JSON | PLAUSIBLE))
def test_jw10_a_tampered_key_is_fit_or_dropped(changes: dict[str, object]) -> None:
    """A used key has the members that it must have, whatever was done to them."""
    member = FORGE.jwk("B", **changes)
    keys = keys_or_none(FORGE.key_set(member))
    if keys is not None:
        assert list(keys) == [member["kid"]]
        assert (member["alg"], member["kty"], member.get("use", "sig")) == ("RS256", "RSA", "sig")
        assert not {"d", "p"}.intersection(member)


def frozen(value: object) -> object:
    """The value as strict JSON hands it out: lists are tuples."""
    if isinstance(value, dict):
        return {name: frozen(item) for name, item in cast("dict[str, object]", value).items()}
    if isinstance(value, list):
        return tuple(frozen(item) for item in cast("list[object]", value))
    return value


@given(
    value=st.dictionaries(st.text(), JSON),
    ascii_only=st.booleans(),
    indent=st.none() | st.just(1),
)
def test_tv04_strict_json_reads_what_json_writes(
    value: dict[str, object], *, ascii_only: bool, indent: int | None
) -> None:
    """Unambiguous JSON comes back as it was written, with or without escapes and white space."""
    raw = json.dumps(value, ensure_ascii=ascii_only, indent=indent, allow_nan=False).encode()
    assert strict_json.parse_object(raw) == frozen(value)


@given(st.binary() | st.text(' {}[]",:\\u0123456789dDeE+-.truefalsn\n', max_size=60).map(str.encode))
def test_tv04_any_bytes_are_an_object_or_a_value_error(raw: bytes) -> None:
    """Nothing else can come of it, and what is accepted Python's own parser accepts as well."""
    try:
        parsed = strict_json.parse_object(raw)
    except ValueError:
        return
    assert parsed == frozen(json.loads(raw))


@given(st.binary(min_size=1))
def test_tv03_every_bytes_have_one_spelling(raw: bytes) -> None:
    """The canonical text decodes to the bytes; whatever else does is not canonical."""
    text = encode(raw).encode()
    assert base64url.is_canonical(text)
    assert base64url.decode(text) == raw


@given(st.binary(max_size=40) | st.text("AQgwBCDEFGH-_=", max_size=12).map(str.encode))
def test_tv03_a_canonical_text_is_what_its_bytes_are_spelled(text: bytes) -> None:
    """Canonical means: encoding what was decoded gives the same text again."""
    if base64url.is_canonical(text):
        assert encode(base64url.decode(text)).encode() == text


@pytest.mark.parametrize("kind", TokenKind)
def test_the_token_that_is_mutated_is_good(kind: TokenKind) -> None:
    """The properties above start from a token that passes as a session, and as nothing else."""
    assert (outcome(GOOD, kind) is not None) is (kind is TokenKind.SESSION)
