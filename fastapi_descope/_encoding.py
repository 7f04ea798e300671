"""Canonical base64url, strict JSON with readers for its fields, and an immutable dict."""

import json
import math
import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterable, Mapping
from typing import NoReturn, Self, TypeVar, cast

__all__ = [
    "FrozenDict",
    "as_mapping",
    "as_names",
    "as_objects",
    "as_text",
    "base64url_decode",
    "base64url_encode",
    "is_canonical_base64url",
    "parse_strict_json",
]

K = TypeVar("K")
V = TypeVar("V")

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_TO_URL_SAFE = bytes.maketrans(b"+/", b"-_")
# Indexed by length modulo 4: the last characters whose unused bits are zero, and the padding to add.
_LAST_CHARACTERS = (_ALPHABET, b"", b"AQgw", b"AEIMQUYcgkosw048")
_PADDING = (b"", b"", b"==", b"=")


def is_canonical_base64url(text: bytes) -> bool:
    """Return whether ``text`` is the canonical encoding of at least one byte."""
    # Python's decoder skips foreign characters and ignores the unused bits of the last one. One signed token
    # would have any number of encodings, each of which misses every cache and evades every deny-list (TV-03).
    if not text or text[-1] not in _LAST_CHARACTERS[len(text) % 4]:
        return False
    return not text.translate(None, _ALPHABET)


def base64url_decode(text: bytes) -> bytes:
    """Return the bytes encoded in ``text``, which must be canonical or empty: this is not checked."""
    return a2b_base64(text.translate(_TO_STANDARD) + _PADDING[len(text) % 4])


def base64url_encode(data: bytes) -> str:
    """Return the canonical encoding of ``data``."""
    return b2a_base64(data, newline=False).translate(_TO_URL_SAFE).rstrip(b"=").decode("ascii")


_MAX_DIGITS = 20
_MAX_DEPTH = 32

_WHITESPACE = " \t\r\n"
_BRACKETS = b"[]{}"
_OTHER_BYTES = bytes(set(range(256)).difference(_BRACKETS))
# An unterminated string matches up to the end of the text, so that the pattern never backtracks.
_STRING = re.compile(rb'"(?:[^"\\]+|\\.?)*(?:"|\Z)', re.DOTALL)


# Requirement TV-04. Python's parser keeps the last of two members with one name, accepts NaN, and exhausts
# the stack on deep arrays. Two parsers that read one token differently are a vulnerability.
def parse_strict_json(raw: bytes) -> Mapping[str, object]:
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


def as_text(value: object) -> str | None:
    """Return ``value`` if it is a string other than ``""``, else None."""
    return value if isinstance(value, str) and value else None


def as_mapping(value: object) -> Mapping[str, object] | None:
    """Return ``value`` if it is a JSON object, else None."""
    return cast("Mapping[str, object]", value) if isinstance(value, Mapping) else None


def as_names(value: object) -> tuple[str, ...]:
    """Return the strings in a list, or nothing for any other value."""
    # A string is not a list of names: "administrator" does not contain "admin" (TN-04).
    return tuple(item for item in _items(value) if isinstance(item, str))


def as_objects(value: object) -> tuple[Mapping[str, object], ...]:
    """Return the JSON objects in a list, or nothing for any other value."""
    return tuple(found for item in _items(value) if (found := as_mapping(item)) is not None)


def _items(value: object) -> Iterable[object]:
    # strict_json returns lists as tuples, json.loads as lists.
    return cast("Iterable[object]", value) if isinstance(value, (tuple, list)) else ()


# All requests of a session share its claims, so a handler must not be able to change them (TV-17).
# MappingProxyType is not enough: json.dumps, dataclasses.asdict and FastAPI's encoder fail on a proxy.
class FrozenDict(dict[K, V]):
    """A dict whose mutating methods raise ``TypeError``. Its values must be immutable, too.

    ``copy.copy`` and ``copy.deepcopy`` return the object itself. Its method ``copy`` returns a plain dict,
    which may be changed.
    """

    __slots__ = ()

    def __setitem__(self, key: K, value: V, /) -> NoReturn:
        """Raise ``TypeError``."""
        _raise_immutable()

    def __delitem__(self, key: K, /) -> NoReturn:
        """Raise ``TypeError``."""
        _raise_immutable()

    def __ior__(self, other: object, /) -> Self:  # type: ignore[override, misc] # always raises
        """Raise ``TypeError``."""
        _raise_immutable()

    def clear(self) -> NoReturn:
        """Raise ``TypeError``."""
        _raise_immutable()

    def pop(self, *_arguments: object) -> NoReturn:
        """Raise ``TypeError``."""
        _raise_immutable()

    def popitem(self) -> NoReturn:
        """Raise ``TypeError``."""
        _raise_immutable()

    def setdefault(self, *_arguments: object) -> NoReturn:
        """Raise ``TypeError``."""
        _raise_immutable()

    def update(self, *_arguments: object, **_members: object) -> NoReturn:
        """Raise ``TypeError``."""
        _raise_immutable()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _memo: dict[int, object]) -> Self:
        return self

    def __reduce__(self) -> tuple[type[Self], tuple[dict[K, V]]]:
        return type(self), (dict(self),)


def _raise_immutable() -> NoReturn:
    raise TypeError("This dict is shared between requests and cannot be changed; copy it with dict() first")
