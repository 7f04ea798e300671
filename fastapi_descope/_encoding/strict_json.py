"""A strict JSON parser: every text that another parser could read differently is rejected."""

# Requirement TV-04. Python's parser keeps the last of two members with one name, accepts NaN, and exhausts
# the stack on deep arrays. Two parsers that read one token differently are a vulnerability.

import json
import math
import re
from collections.abc import Mapping
from typing import NoReturn, cast

from .frozen_dict import FrozenDict

__all__ = ["parse_object"]

_MAX_DIGITS = 20
_MAX_DEPTH = 32

_WHITESPACE = " \t\r\n"
_BRACKETS = b"[]{}"
_OTHER_BYTES = bytes(set(range(256)).difference(_BRACKETS))
# An unterminated string matches up to the end of the text, so that the pattern never backtracks.
_STRING = re.compile(rb'"(?:[^"\\]+|\\.?)*(?:"|\Z)', re.DOTALL)


def parse_object(raw: bytes) -> Mapping[str, object]:
    """Parse one JSON object, read-only at every depth: objects become mappings, lists become tuples.

    No other error is raised for any input.

    Raises:
        ValueError: the text is not UTF-8 (or begins with a byte order mark), is not exactly one JSON object
            (RFC 8259), repeats a member name at any depth, contains a number that is not finite or has more
            than 20 significant digits, is nested deeper than 32 levels, or escapes half a surrogate pair.
    """
    text = raw.decode().strip(_WHITESPACE)
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
    for bracket in _STRING.sub(b"", raw).translate(None, _OTHER_BYTES):
        depth += 1 if bracket in b"[{" else -1
        if depth > _MAX_DEPTH:
            raise ValueError("nested too deep")


def _check_surrogates(text: str) -> None:
    # Half a surrogate pair cannot be encoded in UTF-8, so writing it later would fail.
    json.dumps(json.loads(text), ensure_ascii=False).encode()


def _build_object(pairs: list[tuple[str, object]]) -> Mapping[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("repeated member")
    for name, value in pairs:
        if type(value) is list:
            members[name] = _freeze_list(cast("list[object]", value))
    return FrozenDict(members)


def _freeze_list(items: list[object]) -> tuple[object, ...]:
    if list not in map(type, items):
        return tuple(items)
    return tuple(
        _freeze_list(cast("list[object]", item)) if isinstance(item, list) else item for item in items
    )


def _parse_integer(text: str) -> int:
    if len(text.lstrip("-")) > _MAX_DIGITS:
        raise ValueError("number too long")
    return int(text)


def _parse_real(text: str) -> float:
    number = float(text)
    digits = "".join(filter(str.isdigit, text.lower().partition("e")[0])).lstrip("0")
    if len(digits) > _MAX_DIGITS or not math.isfinite(number):
        raise ValueError("number too long")
    return number


def _reject_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_build_object,
    parse_int=_parse_integer,
    parse_float=_parse_real,
    parse_constant=_reject_constant,
)
