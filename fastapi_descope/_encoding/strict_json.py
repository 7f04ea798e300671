"""Strict JSON: one reading of a text, or none (requirement TV-04).

Python's parser is lenient where an attacker likes it: of two members with one name it keeps the last,
it knows ``NaN``, and a deep enough array exhausts the stack. Two readers that disagree about a token
are a hole, so everything with a second reading is refused here.
"""

import json
import math
import re
from collections.abc import Mapping
from typing import NoReturn, cast

from .frozen_dict import FrozenDict

__all__ = ["parse_object"]

_MAX_DIGITS = 20
_MAX_DEPTH = 32

_BLANK = " \t\r\n"
_BRACKETS = b"[]{}"
_NO_BRACKET = bytes(set(range(256)).difference(_BRACKETS))
# An unterminated string runs to the end of the text, so that no input makes this pattern try twice.
_STRING = re.compile(rb'"(?:[^"\\]+|\\.?)*(?:"|\Z)', re.DOTALL)


def parse_object(raw: bytes) -> Mapping[str, object]:
    """The JSON object in ``raw``, read-only at every depth: objects are mappings, lists are tuples.

    Raises ValueError, and nothing else, for what is not UTF-8 (a byte order mark included), not one
    JSON object (RFC 8259), repeats a member name at any depth, holds a number without a finite value or
    of more than 20 significant digits, nests deeper than 32 levels, or escapes half a surrogate pair.
    """
    text = raw.decode().strip(_BLANK)
    if raw.count(b"{") + raw.count(b"[") > _MAX_DEPTH:
        _check_depth(raw)
    value, end = _DECODER.raw_decode(text)
    if end != len(text) or not text.startswith("{"):
        raise ValueError("not one object")
    if "\\ud" in text or "\\uD" in text:
        _check_surrogates(text)
    return cast("Mapping[str, object]", value)


def _check_depth(raw: bytes) -> None:
    depth = 0
    for bracket in _STRING.sub(b"", raw).translate(None, _NO_BRACKET):
        depth += 1 if bracket in b"[{" else -1
        if depth > _MAX_DEPTH:
            raise ValueError("nested too deep")


def _check_surrogates(text: str) -> None:
    """Half a surrogate pair has no UTF-8 form: it would blow up in whatever writes it out later."""
    json.dumps(json.loads(text), ensure_ascii=False).encode()


def _object(pairs: list[tuple[str, object]]) -> Mapping[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("repeated member")
    for name, value in pairs:
        if type(value) is list:
            members[name] = _tuple(cast("list[object]", value))
    return FrozenDict(members)


def _tuple(items: list[object]) -> tuple[object, ...]:
    if list not in map(type, items):
        return tuple(items)
    return tuple(_tuple(cast("list[object]", item)) if isinstance(item, list) else item for item in items)


def _integer(text: str) -> int:
    if len(text.lstrip("-")) > _MAX_DIGITS:
        raise ValueError("number too long")
    return int(text)


def _real(text: str) -> float:
    number = float(text)
    digits = "".join(filter(str.isdigit, text.lower().partition("e")[0])).lstrip("0")
    if len(digits) > _MAX_DIGITS or not math.isfinite(number):
        raise ValueError("number too long")
    return number


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_int=_integer,
    parse_float=_real,
    parse_constant=_refuse_constant,
)
