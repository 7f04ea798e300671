"""Any input as a token or as a key set gives a value or one family of errors.

Requirements TV-01, TV-03, TV-04 and JW-08, for generated inputs.
"""

import json
import math
from collections.abc import Mapping
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastapi_descope._encoding import (
    base64url_decode,
    base64url_encode,
    is_canonical_base64url,
    parse_strict_json,
)
from fastapi_descope._tokens.claims import Key, TokenKind, verify
from fastapi_descope._tokens.jwks import parse_key_set
from fastapi_descope.errors import InvalidUpstreamResponse, TokenError
from fastapi_descope.session import AuthSession, Claims, RefreshToken
from tests.helpers.tampering import NOW, POLICY, PROJECT, Forge, encode

FORGE = Forge()
KEYS = parse_key_set(FORGE.key_set("A")).keys
VALID_TOKEN = FORGE.token()
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


def verify_or_none(token: object, kind: TokenKind = TokenKind.SESSION) -> Claims | None:
    """Return the claims, or None if the token is rejected. Any other error fails the test."""
    try:
        return verify(token, kinds=(kind,), keys=KEYS, policy=POLICY, now=NOW)[1]
    except TokenError:
        return None


@given(ANYTHING, st.sampled_from(TokenKind))
def test_tv01_any_value_is_rejected_with_a_token_error(token: object, kind: TokenKind) -> None:
    """A value without a signature is never accepted."""
    assert verify_or_none(token, kind) is None


@given(st.lists(st.binary(max_size=60).map(encode) | st.text(max_size=20), min_size=2, max_size=5))
def test_tv01_any_text_with_dots_is_rejected(parts: list[str]) -> None:
    """The segments are random base64url or random text."""
    assert verify_or_none(".".join(parts)) is None


@given(st.data())
def test_tv03_no_mutation_of_a_valid_token_is_accepted(data: st.DataObject) -> None:
    """Of all texts close to a valid token, only the token itself is accepted."""
    start = data.draw(st.integers(0, len(VALID_TOKEN)))
    end = data.draw(st.integers(start, min(len(VALID_TOKEN), start + 4)))
    inserted = data.draw(st.text(max_size=4) | st.text("AQgw=.-_+/ \n", max_size=4))
    mutated = VALID_TOKEN[:start] + inserted + VALID_TOKEN[end:]
    assert (verify_or_none(mutated) is not None) is (mutated == VALID_TOKEN)


@given(st.binary(max_size=300), st.sampled_from(["header", "claims"]))
def test_tv04_signed_random_bytes_are_rejected(raw: bytes, part: str) -> None:
    """A valid signature over random bytes raises no other error."""
    assert verify_or_none(FORGE.token(raw) if part == "claims" else FORGE.token(header=raw)) is None


@given(st.dictionaries(st.sampled_from(CLAIMS), JSON | PLAUSIBLE | st.floats()))
def test_tv17_signed_random_claims_are_rejected_or_usable(changes: dict[str, object]) -> None:
    """Accepted claims give a session and a refresh token."""
    token = FORGE.token(FORGE.claims(**changes))
    for kind in TokenKind:
        claims = verify_or_none(token, kind)
        if claims is not None:
            session, refresh = AuthSession.from_claims(claims), RefreshToken.from_claims(token, claims)
            assert session.user.id == refresh.subject == claims.get("dsub", claims["sub"])
            assert session.issued_at < session.expires_at + 1
            assert token not in repr((session, refresh))


@given(st.dictionaries(st.sampled_from(HEADERS), JSON | PLAUSIBLE))
def test_tv05_only_rs256_with_a_known_key_is_accepted(changes: dict[str, object]) -> None:
    """A random header is only accepted without extensions."""
    header: dict[str, object] = {"alg": "RS256", "kid": "A"} | changes
    if verify_or_none(FORGE.token(header=header)) is not None:
        assert (header["alg"], header["kid"]) == ("RS256", "A")
        assert not {"crit", "b64", "zip", "jwk", "jku", "x5u", "x5c"}.intersection(header)


def keys_or_none(body: bytes) -> Mapping[str, Key] | None:
    """Return the keys, or None if the key set is invalid. Any other error fails the test."""
    try:
        keys = parse_key_set(body).keys
    except InvalidUpstreamResponse:
        return None
    assert keys
    return keys


@given(st.binary())
def test_jw08_random_bytes_are_not_a_key_set(body: bytes) -> None:
    """The only error is InvalidUpstreamResponse."""
    assert keys_or_none(body) is None


@given(st.integers(0, len(KEY_SET)), st.integers(0, 4), st.binary(max_size=4))
def test_jw09_a_mutated_key_set_has_usable_keys_or_is_an_error(start: int, cut: int, inserted: bytes) -> None:
    """No other error is raised, and every key is complete."""
    keys = keys_or_none(KEY_SET[:start] + inserted + KEY_SET[start + cut :]) or {}
    assert all(kid == key.kid for kid, key in keys.items())


@given(st.lists(JSON | st.dictionaries(st.sampled_from(MEMBERS), JSON | PLAUSIBLE), max_size=6))
def test_jw09_random_members_do_not_affect_a_good_key(members: list[object]) -> None:
    """The good key is used with any other members in the set."""
    keys = keys_or_none(FORGE.key_set(*([m, None][m == "A"] for m in members), "A"))
    assert keys is not None
    assert keys["A"] == KEYS["A"]


@given(st.dictionaries(st.sampled_from(MEMBERS), JSON | PLAUSIBLE))
def test_jw10_a_tampered_key_is_valid_or_rejected(changes: dict[str, object]) -> None:
    """A used key has the required members, and no private ones."""
    member = FORGE.jwk("B", **changes)
    keys = keys_or_none(FORGE.key_set(member))
    if keys is not None:
        assert list(keys) == [member["kid"]]
        assert (member["alg"], member["kty"], member.get("use", "sig")) == ("RS256", "RSA", "sig")
        assert not {"d", "p"}.intersection(member)


def frozen(value: object) -> object:
    """Return the value as strict JSON returns it: with tuples for lists."""
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
    """Unambiguous JSON is parsed to the same value, with or without escapes and white space."""
    raw = json.dumps(value, ensure_ascii=ascii_only, indent=indent, allow_nan=False).encode()
    assert parse_strict_json(raw) == frozen(value)


SYNTAX = st.sampled_from(' {}[]",:\\u0123456789dDeE+-.truefalsn\n')


def _with_one_more(value: object, position: int, character: str) -> bytes:
    text = json.dumps(value)
    return (text[:position] + character + text[position:]).encode()


@given(
    st.binary()
    | st.text(SYNTAX, max_size=60).map(str.encode)
    | st.builds(_with_one_more, st.dictionaries(st.text(), JSON), st.integers(0, 40), SYNTAX | st.just(""))
)
def test_tv04_any_bytes_are_an_object_or_a_value_error(raw: bytes) -> None:
    """No other error is raised, and Python's own parser reads an accepted text to the same value."""
    try:
        parsed = parse_strict_json(raw)
    except ValueError:
        return
    assert parsed == frozen(json.loads(raw))


def _no_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("repeated member")
    return members


def _short(text: str) -> str:
    """Return the text of a number of at most 20 significant digits."""
    if len("".join(filter(str.isdigit, text.lower().partition("e")[0])).lstrip("0")) > 20:
        raise ValueError("number too long")
    return text


def _finite(text: str) -> float:
    if not math.isfinite(float(text)):
        raise ValueError("not finite")
    return float(_short(text))


def parse_slowly(raw: bytes) -> object:
    """Return what strict JSON is by its definition: with Python's parser, and a check at every token."""
    value: object = json.loads(
        raw.decode(),
        object_pairs_hook=_no_repeats,
        parse_int=lambda text: int(_short(text)),
        parse_float=_finite,
        parse_constant=_finite,
    )
    json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair cannot be encoded
    return frozen(value)


def _object_text(members: list[tuple[str, str, str]]) -> str:
    return "{" + ",".join(f"{name}{space}:{space}{value}" for name, space, value in members) + "}"


NAMES = st.sampled_from(['"a"', '"\\u0061"', '"b"', '""', '"\\":"', '":"', '"a b"', '"\\ud800"'])
SPACES = st.sampled_from(["", "", "", " ", "\t", "\n ", "\r"])
LEAVES = NAMES | st.sampled_from(
    [
        *("null", "NaN", "0", "-0", "1" * 20, "1" * 21, "-" + "9" * 21),
        *("1." + "0" * 19, "1." + "0" * 20, "0." + "0" * 30 + "1", "1e9", "1e999", "1E-999", "1e" + "0" * 30),
        *('"' + "1" * 30 + '"', '"\\\\"', '"\\"1 :"'),
    ]
)
TEXTS = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.lists(st.tuples(NAMES, SPACES, inner), max_size=3).map(_object_text)
    ),
    max_leaves=12,
)


@given(st.lists(st.tuples(NAMES, SPACES, TEXTS), max_size=4).map(_object_text))
def test_tv04_strict_json_is_exactly_as_strict_as_its_definition(text: str) -> None:
    """A text is accepted if and only if a check at every token accepts it, and has the same value."""
    try:
        expected = parse_slowly(text.encode())
    except ValueError:
        with pytest.raises(ValueError, match=r"."):
            parse_strict_json(text.encode())
    else:
        assert parse_strict_json(text.encode()) == expected


@given(st.binary(min_size=1))
def test_tv03_the_encoding_of_any_bytes_is_canonical(raw: bytes) -> None:
    """The canonical text decodes to the same bytes."""
    text = encode(raw).encode()
    assert is_canonical_base64url(text)
    assert base64url_decode(text) == raw
    assert base64url_encode(raw) == text.decode()


@given(st.binary(max_size=40) | st.text("AQgwBCDEFGH-_=", max_size=12).map(str.encode))
def test_tv03_a_canonical_text_is_the_encoding_of_its_bytes(text: bytes) -> None:
    """Encoding the decoded bytes gives the same text."""
    if is_canonical_base64url(text):
        assert encode(base64url_decode(text)).encode() == text


@pytest.mark.parametrize("kind", TokenKind)
def test_the_unmutated_token_is_valid(kind: TokenKind) -> None:
    """The token of the properties above is a session token. That of an access key has the same form."""
    valid_kinds = {TokenKind.SESSION, TokenKind.ACCESS_KEY}
    assert (verify_or_none(VALID_TOKEN, kind) is not None) is (kind in valid_kinds)
