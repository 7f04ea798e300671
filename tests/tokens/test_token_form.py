"""The form of a token: one encoding, one reading and a bounded size.

Requirements TV-01 to TV-04. Wrong tokens are real ones, tampered with. If the fault is in the signed part,
the signature over it is valid.
"""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from fastapi_descope._tokens.claims import looks_like_jwt
from fastapi_descope.errors import TokenError, TokenReason
from fastapi_descope.session import Claims
from tests.helpers.tampering import POLICY, Forge, segment, twin, with_segment
from tests.hostile.tables.token_forms import NOT_STRICT_OBJECTS, NOT_TOKENS, RESHAPED

ErrorOf = Callable[..., TokenError]
Verify = Callable[..., Claims]
Tamper = Callable[[str], object]


@pytest.mark.parametrize("value", NOT_TOKENS.values(), ids=NOT_TOKENS)
def test_tv01_a_value_that_is_not_a_token_is_malformed(error_of: ErrorOf, value: object) -> None:
    """Every input, of whatever type, raises the same error."""
    assert error_of(value).reason is TokenReason.MALFORMED


@pytest.mark.parametrize("tamper", RESHAPED.values(), ids=RESHAPED)
def test_tv01_tv03_a_token_has_exactly_one_encoding(error_of: ErrorOf, forge: Forge, tamper: Tamper) -> None:
    """A text that a lenient decoder would take for the good token is malformed."""
    assert error_of(tamper(forge.token())).reason is TokenReason.MALFORMED


@pytest.mark.parametrize("index", [0, 1, 2])
def test_tv03_unused_bits_are_zero_in_every_segment(
    error_of: ErrorOf, verify_token: Verify, forge: Forge, index: int
) -> None:
    """A segment whose last character is changed, but decodes to the same bytes, is malformed."""
    for padding in range(4):
        claims = forge.claims(pad="x" * padding)
        token = forge.token(claims, header={"alg": "RS256", "kid": "A", "pad": "x" * padding})
        if len(segment(token, index)) % 4:
            tampered = with_segment(token, index, twin(segment(token, index)))
            assert error_of(tampered).reason is TokenReason.MALFORMED
        assert verify_token(token)["sub"] == "U2forge"


@pytest.mark.parametrize("size", [8193, 8194, 65536, 1_000_000, 4_000_000])
def test_tv02_the_size_is_checked_first(error_of: ErrorOf, size: int) -> None:
    """Even junk is too large and not malformed."""
    assert error_of("!" * size).reason is TokenReason.TOO_LARGE


def test_tv02_the_maximum_size_is_inclusive_and_configurable(
    forge: Forge, error_of: ErrorOf, verify_token: Verify
) -> None:
    """A token of exactly ``max_bytes`` is accepted, one byte more is not."""
    token = forge.token(forge.claims(pad="x" * 2000))
    exact, less = (replace(POLICY, max_bytes=len(token) - cut) for cut in (0, 1))
    assert verify_token(token, policy=exact)["pad"] == "x" * 2000
    assert error_of(token, policy=less).reason is TokenReason.TOO_LARGE


@pytest.mark.parametrize(("length", "reason"), [(1024, None), (1028, TokenReason.TOO_LARGE)])
def test_tv02_a_header_has_at_most_1024_bytes(
    error_of: ErrorOf, verify_token: Verify, forge: Forge, length: int, reason: TokenReason | None
) -> None:
    """The size of the encoded header has its own limit."""
    header = json.dumps({"alg": "RS256", "kid": "A", "pad": ""}).encode()
    padded = header.replace(b'""', b'"' + b"x" * (length * 3 // 4 - len(header)) + b'"')
    token = forge.token(header=padded)
    assert len(segment(token, 0)) == length
    if reason is None:
        assert verify_token(token)["sub"] == "U2forge"
    else:
        assert error_of(token).reason is reason


@pytest.mark.parametrize("raw", NOT_STRICT_OBJECTS.values(), ids=NOT_STRICT_OBJECTS)
def test_tv04_claims_that_are_not_strict_json_are_malformed(
    error_of: ErrorOf, forge: Forge, raw: bytes
) -> None:
    """Claims that another parser could read differently are rejected, although the signature is valid."""
    assert error_of(forge.token(raw)).reason is TokenReason.MALFORMED


@pytest.mark.parametrize("raw", NOT_STRICT_OBJECTS.values(), ids=NOT_STRICT_OBJECTS)
def test_tv04_a_header_that_is_not_strict_json_is_rejected(
    error_of: ErrorOf, forge: Forge, raw: bytes
) -> None:
    """The header is parsed like the claims, and before the signature is checked."""
    error = error_of(forge.token(header=raw))
    assert error.reason in {TokenReason.MALFORMED, TokenReason.TOO_LARGE}


@pytest.mark.parametrize("text", ["a.b.c", "A-_9.A-_9.A-_9"])
def test_three_base64url_segments_look_like_a_jwt(text: str) -> None:
    """The segments are not decoded."""
    assert looks_like_jwt(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a.b",
        "a.b.c.d",
        "a..c",
        ".b.c",
        "a.b.",
        "a.b.c\n",
        "a.b.c ",
        "a:b.c.d",
        "é.b.c",
        "a.b.=",
        "a.b.\x00",
    ],
)
def test_any_other_text_does_not_look_like_a_jwt(text: str) -> None:
    """Padding, white space, colons, control characters and non-ASCII characters are rejected."""
    assert not looks_like_jwt(text)
