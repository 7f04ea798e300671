"""A token's form: one spelling, one reading, and a bounded size, or it is refused.

Requirements TV-01 to TV-04. Wrong tokens are real ones, tampered with; where the fault is in what is
signed, the signature over it is genuine.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from fastapi_descope.core.session import Claims
from fastapi_descope.errors import TokenError, TokenReason
from tests.support.tampering import POLICY, Forge, segment, twin, with_segment

Refusal = Callable[..., TokenError]
Verify = Callable[..., Claims]
Tamper = Callable[[str], object]


NOT_TOKENS: Mapping[str, object] = {
    "none": None,
    "zero": 0,
    "true": True,
    "float": 1.5,
    "bytes": b"a.b.c",
    "list": ["a.b.c"],
    "dict": {"payload": "a", "signatures": []},
    "object": object(),
    "empty": "",
    "space": " ",
    "word": "token",
    "one dot": "a.b",
    "dots only": "..",
    "three dots": "...",
    "ellipsis": "\u2026",
    "lone surrogate": "\ud800.\udfff.\ud800",
    "nul": "\x00.\x00.\x00",
    "json": '{"payload":"e30","protected":"e30","signature":"AA"}',
    "no signatures": '{"payload":"e30","signatures":[]}',
    "bearer": "Bearer",
    "full-width": "\uff41\uff41.\uff42\uff42.\uff43\uff43",
    "arabic digits": "\u0661\u0661.\u0662\u0662.\u0663\u0663",
}


@pytest.mark.parametrize("value", NOT_TOKENS.values(), ids=NOT_TOKENS)
def test_tv01_what_is_no_token_is_malformed(token_refusal: Refusal, value: object) -> None:
    """Whatever is presented, the answer is one error of one family."""
    assert token_refusal(value).reason is TokenReason.MALFORMED


RESHAPED: Mapping[str, Tamper] = {
    "tv01-bytes": str.encode,
    "tv01-one segment": lambda t: segment(t, 0),
    "tv01-two segments": lambda t: t.rpartition(".")[0],
    "tv01-four segments": lambda t: f"{t}.AA",
    "tv01-five segments": lambda t: f"{t}.AA.AA",
    "tv01-six segments": lambda t: f"{t}.AA.AA.AA",
    "tv01-no header": lambda t: with_segment(t, 0, ""),
    "tv01-no payload": lambda t: with_segment(t, 1, ""),
    "tv01-no signature": lambda t: with_segment(t, 2, ""),
    "tv01-leading dot": lambda t: f".{t}",
    "tv01-trailing dot": lambda t: f"{t}.",
    "tv01-twice": lambda t: t + t,
    "tv01-comma": lambda t: f"{t},{t}",
    "tv01-scheme": lambda t: f"Bearer {t}",
    "tv03-padded signature": lambda t: f"{t}==",
    "tv03-one padding": lambda t: f"{t}=",
    "tv03-padded header": lambda t: with_segment(t, 0, segment(t, 0) + "="),
    "tv03-data after padding": lambda t: f"{t}==AA",
    "tv03-leading space": lambda t: f" {t}",
    "tv03-trailing space": lambda t: f"{t} ",
    "tv03-leading newline": lambda t: f"\n{t}",
    "tv03-trailing newline": lambda t: f"{t}\n",
    "tv03-carriage return": lambda t: f"{t}\r\n",
    "tv03-tab inside": lambda t: f"{t[:30]}\t{t[30:]}",
    "tv03-newline inside": lambda t: f"{t[:-30]}\n{t[-30:]}",
    "tv03-space inside": lambda t: f"{t[:-30]} {t[-30:]}",
    "tv03-junk inside": lambda t: f"{t[:-30]}!{t[-30:]}",
    "tv03-junk after": lambda t: f"{t}!!!!",
    "tv03-nul after": lambda t: f"{t}\x00",
    "tv03-bom before": lambda t: f"\ufeff{t}",
    "tv03-zero-width inside": lambda t: f"{t[:-9]}\u200b{t[-9:]}",
    "tv03-non-breaking space": lambda t: f"{t}\xa0",
    "tv03-quoted": lambda t: f'"{t}"',
    "tv03-percent": lambda t: f"{t}%3D",
    "tv03-plus": lambda t: with_segment(t, 2, "+" + segment(t, 2)[1:]),
    "tv03-slash": lambda t: with_segment(t, 2, "/" + segment(t, 2)[1:]),
    "tv03-unused bits of the signature": lambda t: with_segment(t, 2, twin(segment(t, 2))),
    "tv03-one character more": lambda t: f"{t}AAA",
    "tv03-one character": lambda t: with_segment(t, 2, "A"),
    "tv03-five characters": lambda t: with_segment(t, 1, "AAAAA"),
    "tv03-surrogate inside": lambda t: f"{t[:-9]}\ud800{t[-9:]}",
    "tv03-homoglyph": lambda t: with_segment(t, 2, "\u0410" + segment(t, 2)[1:]),
}


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


DEEP = 1000
NOT_STRICT_OBJECTS: Mapping[str, bytes] = {
    "not utf-8": b'{"a":"\xff"}',
    "overlong utf-8": b'{"a":"\xc0\xaf"}',
    "encoded surrogate": b'{"a":"\xed\xa0\x80"}',
    "bom": b'\xef\xbb\xbf{"a":1}',
    "utf-16": '{"a":1}'.encode("utf-16"),
    "utf-16-le": '{"a":1}'.encode("utf-16-le"),
    "utf-32": '{"a":1}'.encode("utf-32"),
    "array": b"[]",
    "array of one": b'[{"a":1}]',
    "null": b"null",
    "number": b"1",
    "string": b'"{}"',
    "true": b"true",
    "nothing": b" ",
    "trailing data": b'{"a":1}x',
    "two objects": b"{}{}",
    "trailing nul": b'{"a":1}\x00',
    "trailing comma": b'{"a":1,}',
    "comma only": b"{,}",
    "unclosed": b'{"a":1',
    "unclosed string": b'{"a":"b',
    "unclosed escape": b'{"a":"\\',
    "single quotes": b"{'a':1}",
    "bare name": b"{a:1}",
    "number as name": b'{1:"a"}',
    "comment": b'{"a":1/**/}',
    "form feed": b"\x0c{}",
    "non-breaking space": "\xa0{}".encode(),
    "control character": b'{"a":"\x01"}',
    "newline in string": b'{"a":"\n"}',
    "bad escape": b'{"a":"\\x41"}',
    "short unicode escape": b'{"a":"\\u12"}',
    "leading zero": b'{"a":01}',
    "leading plus": b'{"a":+1}',
    "bare point": b'{"a":.5}',
    "point at end": b'{"a":5.}',
    "hex": b'{"a":0x1}',
    "arabic digit": '{"a":\u0661}'.encode(),
    "NaN": b'{"a":NaN}',
    "Infinity": b'{"a":Infinity}',
    "minus Infinity": b'{"a":-Infinity}',
    "huge exponent": b'{"a":1e999}',
    "huge negative exponent": b'{"a":-1e999}',
    "21 digits": b'{"a":100000000000000000000}',
    "21 negative digits": b'{"a":-100000000000000000000}',
    "21 digits with a point": b'{"a":1.00000000000000000000}',
    "5000 digits": b'{"a":' + b"1" * 5000 + b"}",
    "repeated member": b'{"a":1,"a":1}',
    "repeated by escape": b'{"sub":1,"\\u0073ub":1}',
    "repeated in depth": b'{"a":{"b":1,"b":2}}',
    "repeated in a list": b'{"a":[{"b":1,"b":2}]}',
    "lone surrogate": b'{"a":"\\ud800"}',
    "lone low surrogate": b'{"a":"\\uDC00"}',
    "surrogates reversed": b'{"a":"\\udc00\\ud800"}',
    "lone surrogate in a name": b'{"\\ud83d":1}',
    "lone surrogate in depth": b'{"a":[{"b":["\\uD83d "]}]}',
    "33 objects": b'{"a":' * 33 + b"1" + b"}" * 33,
    "32 arrays": b'{"a":' + b"[" * 32 + b"]" * 32 + b"}",
    "deep arrays": b'{"a":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "deep and unclosed": b'{"a":' + b"[" * DEEP,
    "deep after quotes": b'{"a":"\\"[","b":' + b"[" * 33 + b"]" * 33 + b"}",
}


@pytest.mark.parametrize("raw", NOT_STRICT_OBJECTS.values(), ids=NOT_STRICT_OBJECTS)
def test_tv04_claims_are_strict_json(token_refusal: Refusal, forge: Forge, raw: bytes) -> None:
    """Claims that any other reader could read otherwise are refused, although they are truly signed."""
    assert token_refusal(forge.token(raw)).reason is TokenReason.MALFORMED


@pytest.mark.parametrize("raw", NOT_STRICT_OBJECTS.values(), ids=NOT_STRICT_OBJECTS)
def test_tv04_a_header_is_strict_json(token_refusal: Refusal, forge: Forge, raw: bytes) -> None:
    """A header is read as strictly as claims are, but before any signature."""
    error = token_refusal(forge.token(header=raw))
    assert error.reason in {TokenReason.MALFORMED, TokenReason.TOO_LARGE}
