"""Strict JSON accepts unambiguous text, has exact limits, and returns read-only values.

Requirement TV-04. ``test_token_form`` has the tests of rejected text, in whole tokens.
"""

from collections.abc import Mapping
from typing import cast

import pytest

from fastapi_descope._encoding import FrozenDict, parse_strict_json

NOTHING: Mapping[str, object] = {}
UNAMBIGUOUS = [
    pytest.param(b"{}", {}, id="empty"),
    pytest.param(b' \t\r\n{ "a" : 1 }\n\r\t ', {"a": 1}, id="surrounding white space"),
    pytest.param(b'{"":0}', {"": 0}, id="empty name"),
    pytest.param(b'{"a":[true,false,null]}', {"a": (True, False, None)}, id="constants"),
    pytest.param(b'{"a":-0}', {"a": 0}, id="negative zero"),
    pytest.param(b'{"a":-1.5e2}', {"a": -150.0}, id="float"),
    pytest.param(b'{"a":99999999999999999999}', {"a": 99999999999999999999}, id="20 digits"),
    pytest.param(b'{"a":-99999999999999999999}', {"a": -99999999999999999999}, id="20 negative digits"),
    pytest.param(b'{"a":-1.0000000000000000000}', {"a": -1.0}, id="20 digits with a point"),
    pytest.param(b'{"a":1.0000000000000000000e10}', {"a": 1e10}, id="20 digits and an exponent"),
    pytest.param(b'{"a":0.00015932551501219558}', {"a": 0.00015932551501219558}, id="leading zeros"),
    pytest.param(b'{"a":-1.7976931348623157E+308}', {"a": -1.7976931348623157e308}, id="largest double"),
    pytest.param(b'{"a":1e-999}', {"a": 0.0}, id="underflow to zero"),
    pytest.param(b'{"a":1e000000000000000000000001}', {"a": 10.0}, id="25 digits in the exponent"),
    pytest.param(b'{"a":"1234567890123456789012"}', {"a": "1234567890123456789012"}, id="digits in a string"),
    pytest.param(b'{"a\\":":"\\":\\":"}', {'a":': '":":'}, id="quotes and colons in strings"),
    pytest.param(b'{"a" :{"b"\t:1,"c"\n\n:2}}', {"a": {"b": 1, "c": 2}}, id="white space before colons"),
    pytest.param(b'{"a":"\\"\\\\\\/\\b\\f\\n\\r\\t"}', {"a": '"\\/\b\f\n\r\t'}, id="escapes"),
    pytest.param(b'{"\\u00e9":"\\u003c"}', {"\xe9": "<"}, id="escaped character"),
    pytest.param(b'{"a":"\\ud83d\\ude00 \\uD83D\\uDE00"}', {"a": "\U0001f600 \U0001f600"}, id="escaped pair"),
    pytest.param(b'{"a":"\\\\ud800"}', {"a": "\\ud800"}, id="escaped backslash"),
    pytest.param(b'{"a":"\\ud7ff"}', {"a": "\ud7ff"}, id="escaped d but no surrogate"),
    pytest.param('{"a":"\U0001f600\ufeff"}'.encode(), {"a": "\U0001f600\ufeff"}, id="utf-8"),
    pytest.param(b'{"a":{"a":1},"b":{"a":1}}', {"a": {"a": 1}, "b": {"a": 1}}, id="one name in two objects"),
    pytest.param(
        b'{"__proto__":{},"constructor":1}', {"__proto__": {}, "constructor": 1}, id="like a prototype"
    ),
    pytest.param(b'{"a":[' + b",".join([b"[{}]"] * 99) + b"]}", {"a": ((NOTHING,),) * 99}, id="many shallow"),
    pytest.param(b'{"a":"' + b"[" * 99 + b'","b":[]}', {"a": "[" * 99, "b": ()}, id="brackets in a string"),
    pytest.param(
        b'{"a":"\\"' + b"[" * 99 + b'","b":"\\\\"}',
        {"a": '"' + "[" * 99, "b": "\\"},
        id="brackets and quotes",
    ),
]


@pytest.mark.parametrize(("raw", "value"), UNAMBIGUOUS)
def test_unambiguous_json_is_accepted(raw: bytes, value: object) -> None:
    """Unusual JSON with a single meaning is parsed."""
    assert parse_strict_json(raw) == value


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"[]", "not one object"),
        (b'{"a":1,"a":1}', "repeated member"),
        (b'{"a":1000000000000000000000}', "number too long"),
        (b'{"a":1e999}', "number too large"),
        (b'{"a":[1e999]}', "number too large"),
        (b'{"a":' * 33 + b"0" + b"}" * 33, "nested too deep"),
        (b'{"a":' + b"[" * 32 + b"]" * 32 + b"}", "nested too deep"),
    ],
)
def test_error_has_the_reason_alone(raw: bytes, reason: str) -> None:
    """It quotes nothing of the text, which could be a secret."""
    with pytest.raises(ValueError, match=f"^{reason}$"):
        parse_strict_json(raw)


@pytest.mark.parametrize("sibling", [b"", b'"b":[[],[],{}],'], ids=["alone", "with others"])
@pytest.mark.parametrize("innermost", [b"[]", b"{}"], ids=["list inside", "object inside"])
@pytest.mark.parametrize(("begin", "end"), [(b"[", b"]"), (b'{"c":', b"}")], ids=["lists", "objects"])
def test_32_levels_are_accepted(begin: bytes, end: bytes, innermost: bytes, sibling: bytes) -> None:
    """Depth counts levels and not brackets, and 33 levels are an error."""
    assert parse_strict_json(b"{" + sibling + b'"a":' + begin * 30 + innermost + end * 30 + b"}")["a"]
    with pytest.raises(ValueError, match="too deep"):
        parse_strict_json(b"{" + sibling + b'"a":' + begin * 31 + innermost + end * 31 + b"}")


def is_frozen(value: object) -> bool:
    """Return whether no part of a value can be changed, at any depth."""
    if isinstance(value, Mapping):
        members = cast("Mapping[str, object]", value)
        return isinstance(members, FrozenDict) and all(map(is_frozen, members.values()))
    if isinstance(value, tuple):
        return all(map(is_frozen, cast("tuple[object, ...]", value)))
    return value is None or isinstance(value, (str, int, float))


def test_tv17_nothing_in_the_result_can_be_changed() -> None:
    """Objects are read-only mappings and lists are tuples."""
    parsed = parse_strict_json(b'{"a":[[[{"b":[1,[{"c":[]}]]}]],"x"],"d":{"e":{"f":[null]}}}')
    assert parsed == {
        "a": ((({"b": (1, ({"c": ()},))},),), "x"),
        "d": {"e": {"f": (None,)}},
    }
    assert is_frozen(parsed)


@pytest.mark.parametrize("quote", [b'"', b'\\"', b'"\\', b"\\", b'"[', b'\\"['])
def test_unterminated_strings_take_linear_time(quote: bytes) -> None:
    """4 MB of unterminated quotes and backslashes are rejected in one pass."""
    with pytest.raises(ValueError, match=r"string|escape|expected"):
        parse_strict_json(b'{"a":"' + b"[" * 33 + quote * (4_000_000 // len(quote)))


@pytest.mark.parametrize("item", [b'"\\\\"', b'"\\":"', b'"a"', b"1.5", b"123456789012345678901"])
def test_the_exact_check_takes_linear_time(item: bytes) -> None:
    """4 MB of strings and numbers before a repeated member are rejected in one pass."""
    items = b",".join([item] * (4_000_000 // len(item)))
    with pytest.raises(ValueError, match="repeated member"):
        parse_strict_json(b'{"a":[' + items + b'],"a":0}')
