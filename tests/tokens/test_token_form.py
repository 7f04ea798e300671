"""A token's form: one spelling, one reading, and a bounded size, or it is refused.

Requirements TV-01 to TV-04. Wrong tokens are real ones, tampered with; where the fault is in what is
signed, the signature over it is genuine.
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

Refusal = Callable[..., TokenError]
Verify = Callable[..., Claims]
Tamper = Callable[[str], object]


@pytest.mark.parametrize("value", NOT_TOKENS.values(), ids=NOT_TOKENS)
def test_tv01_what_is_no_token_is_malformed(token_refusal: Refusal, value: object) -> None:
    """Whatever is presented, the answer is one error of one family."""
    assert token_refusal(value).reason is TokenReason.MALFORMED


@pytest.mark.parametrize("tamper", RESHAPED.values(), ids=RESHAPED)
def test_a_token_has_exactly_one_spelling(token_refusal: Refusal, forge: Forge, tamper: Tamper) -> None:
    """A text that a lenient reader would take for the good token is malformed (TV-01, TV-03)."""
    assert token_refusal(tamper(forge.token())).reason is TokenReason.MALFORMED


@pytest.mark.parametrize("index", [0, 1, 2])
def test_tv03_unused_bits_are_zero_in_every_segment(
    token_refusal: Refusal, token_verify: Verify, forge: Forge, index: int
) -> None:
    """A changed last character that decodes to the same bytes is refused, wherever it stands."""
    for padding in range(4):
        claims = forge.claims(pad="x" * padding)
        token = forge.token(claims, header={"alg": "RS256", "kid": "A", "pad": "x" * padding})
        if len(segment(token, index)) % 4:
            tampered = with_segment(token, index, twin(segment(token, index)))
            assert token_refusal(tampered).reason is TokenReason.MALFORMED
        assert token_verify(token)["sub"] == "U2forge"


@pytest.mark.parametrize("size", [8193, 8194, 65536, 1_000_000, 4_000_000])
def test_tv02_a_large_token_is_not_looked_into(token_refusal: Refusal, size: int) -> None:
    """The size is judged before anything else: even junk is then too large, not malformed."""
    assert token_refusal("!" * size).reason is TokenReason.TOO_LARGE


def test_tv02_the_bound_is_inclusive_and_configurable(
    forge: Forge, token_refusal: Refusal, token_verify: Verify
) -> None:
    """A token of exactly ``max_bytes`` passes, one byte more does not."""
    token = forge.token(forge.claims(pad="x" * 2000))
    exact, less = (replace(POLICY, max_bytes=len(token) - cut) for cut in (0, 1))
    assert token_verify(token, policy=exact)["pad"] == "x" * 2000
    assert token_refusal(token, policy=less).reason is TokenReason.TOO_LARGE


@pytest.mark.parametrize(("length", "reason"), [(1024, None), (1028, TokenReason.TOO_LARGE)])
def test_tv02_a_header_has_1024_bytes_at_most(
    token_refusal: Refusal, token_verify: Verify, forge: Forge, length: int, reason: TokenReason | None
) -> None:
    """The encoded header segment is bounded on its own."""
    header = json.dumps({"alg": "RS256", "kid": "A", "pad": ""}).encode()
    padded = header.replace(b'""', b'"' + b"x" * (length * 3 // 4 - len(header)) + b'"')
    token = forge.token(header=padded)
    assert len(segment(token, 0)) == length
    if reason is None:
        assert token_verify(token)["sub"] == "U2forge"
    else:
        assert token_refusal(token).reason is reason


@pytest.mark.parametrize("raw", NOT_STRICT_OBJECTS.values(), ids=NOT_STRICT_OBJECTS)
def test_tv04_claims_are_strict_json(token_refusal: Refusal, forge: Forge, raw: bytes) -> None:
    """Claims that any other reader could read otherwise are refused, although they are truly signed."""
    assert token_refusal(forge.token(raw)).reason is TokenReason.MALFORMED


@pytest.mark.parametrize("raw", NOT_STRICT_OBJECTS.values(), ids=NOT_STRICT_OBJECTS)
def test_tv04_a_header_is_strict_json(token_refusal: Refusal, forge: Forge, raw: bytes) -> None:
    """A header is read as strictly as claims are, but before any signature."""
    error = token_refusal(forge.token(header=raw))
    assert error.reason in {TokenReason.MALFORMED, TokenReason.TOO_LARGE}


@pytest.mark.parametrize("text", ["a.b.c", "A-_9.A-_9.A-_9"])
def test_a_jwt_is_known_by_its_spelling(text: str) -> None:
    """Three segments of the base64url alphabet."""
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
def test_what_no_header_may_carry_is_no_jwt(text: str) -> None:
    """Padding, white space, colons, control and foreign characters are refused."""
    assert not looks_like_jwt(text)
