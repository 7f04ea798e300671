"""Canonical base64url, strict JSON with readers for its fields, and an immutable dict."""

import math
import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn, Self, TypeVar, cast

from pydantic_core import from_json

__all__ = [
    "FrozenDict",
    "as_mapping",
    "as_names",
    "as_objects",
    "as_text",
    "base64url_decode",
    "base64url_encode",
    "canonical_segments",
    "is_canonical_base64url",
    "parse_strict_json",
]

K = TypeVar("K")
V = TypeVar("V")

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_ALPHABET_AND_DOT = _ALPHABET + b"."
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_TO_URL_SAFE = bytes.maketrans(b"+/", b"-_")
# Indexed by length modulo 4: the last characters whose unused bits are zero, and the padding to add.
_LAST_CHARACTERS = (_ALPHABET, b"", b"AQgw", b"AEIMQUYcgkosw048")
_PADDING = (b"", b"", b"==", b"=")


def is_canonical_base64url(text: bytes) -> bool:
    """Return whether ``text`` is the canonical encoding of at least one byte."""
    return bool(canonical_segments(text, 1))


# Python's decoder skips foreign characters and ignores the unused bits of the last one. One signed token
# would have any number of encodings, each of which misses every cache and evades every deny-list (TV-03).
def canonical_segments(text: bytes, count: int) -> list[bytes]:
    """Return the parts of ``text`` between its dots, if they are ``count`` canonical encodings, else none."""
    segments = text.split(b".", count)
    if len(segments) != count or text.translate(None, _ALPHABET_AND_DOT):
        return []
    for segment in segments:
        if not segment or segment[-1] not in _LAST_CHARACTERS[len(segment) % 4]:
            return []
    return segments


def base64url_decode(text: bytes) -> bytes:
    """Return the bytes encoded in ``text``, which must be canonical or empty: this is not checked."""
    return a2b_base64(text.translate(_TO_STANDARD) + _PADDING[len(text) % 4])


def base64url_encode(data: bytes) -> str:
    """Return the canonical encoding of ``data``."""
    return b2a_base64(data, newline=False).translate(_TO_URL_SAFE).rstrip(b"=").decode("ascii")


_MAX_DIGITS = 20
_MAX_DEPTH = 32

_WHITESPACE = b" \t\r\n"
_DIGITS_TO_ZERO = bytes.maketrans(b".123456789", b"0000000000")
_LONG_NUMBER = b"0" * (_MAX_DIGITS + 1)
_STRING = re.compile(rb'"(?:[^"\\]+|\\.)*"', re.DOTALL)
_MANTISSA = re.compile(rb"([\d.]+)(?:[eE][+-]?\d+)?")


# Requirement TV-04. The parser keeps the last of two members with one name, and numbers of any length. Two
# parsers that read one token differently are a vulnerability.
def parse_strict_json(raw: bytes) -> Mapping[str, object]:
    """Parse one JSON object, read-only at every depth: objects become mappings, lists become tuples.

    No other error is raised for any input.

    Raises:
        ValueError: the text is not UTF-8 (or begins with a byte order mark), is not exactly one JSON object
            (RFC 8259), repeats a member name at any depth, contains a number that is not finite or has more
            than 20 significant digits, is nested deeper than 32 levels, or escapes half a surrogate pair.
    """
    # Pydantic's parser is much faster than Python's while its code is not in the processor's cache, as after
    # an RSA operation. It shares equal strings of up to 64 bytes.
    value = from_json(raw)
    if type(value) is not dict:
        raise ValueError("not one object")
    sizes: list[int] = []
    frozen = _freeze_object(cast("dict[str, Any]", value), _MAX_DEPTH, sizes)
    _check_text(raw, sum(sizes))
    return frozen


def _freeze_object(members: dict[str, Any], depth: int, sizes: list[int]) -> "FrozenDict[str, object]":
    """Return a read-only copy of a new object, and append the size of each object in it to ``sizes``."""
    if depth == 0:
        raise ValueError("nested too deep")
    sizes.append(len(members))
    for name, value in members.items():
        kind: object = value.__class__
        if kind is str:  # most of them
            continue
        if kind is list:
            members[name] = _freeze_list(value, depth - 1, sizes)
        elif kind is dict:
            members[name] = _freeze_object(value, depth - 1, sizes)
        elif kind is float:
            _freeze_item(value, depth, sizes)
    return FrozenDict(members)


def _freeze_list(items: list[Any], depth: int, sizes: list[int]) -> tuple[object, ...]:
    if depth == 0:
        raise ValueError("nested too deep")
    for item in items:
        if type(item) is not str:
            return tuple([_freeze_item(each, depth - 1, sizes) for each in items])
    return tuple(items)


def _freeze_item(value: Any, depth: int, sizes: list[int]) -> object:
    kind: object = value.__class__
    if kind is list:
        return _freeze_list(value, depth, sizes)
    if kind is dict:
        return _freeze_object(value, depth, sizes)
    if kind is float and not math.isfinite(value):
        raise ValueError("number too large")
    return value


def _check_text(raw: bytes, members: int) -> None:
    """Check that valid JSON has only short numbers, and as many members as its value: no name is repeated."""
    # A cheap test first, on the text with its strings. Without white space each name of a member is followed
    # by a quote and a colon. More of them, and long runs of digits, can also be the content of strings.
    outline = raw.translate(_DIGITS_TO_ZERO, _WHITESPACE)
    if outline.count(b'":') == members and _LONG_NUMBER not in outline:
        return
    structure = _STRING.sub(b"", raw)
    if structure.count(b":") != members:
        raise ValueError("repeated member")
    for mantissa in _MANTISSA.findall(structure):
        if len(mantissa.replace(b".", b"").lstrip(b"0")) > _MAX_DIGITS:
            raise ValueError("number too long")


def as_text(value: object) -> str | None:
    """Return ``value`` if it is a string other than ``""``, else None."""
    return value if isinstance(value, str) and value else None


def as_mapping(value: object) -> Mapping[str, object] | None:
    """Return ``value`` if it is a JSON object, else None."""
    return cast("Mapping[str, object]", value) if isinstance(value, Mapping) else None


def as_names(value: object) -> tuple[str, ...]:
    """Return the strings in a list, or nothing for any other value."""
    # A string is not a list of names: "administrator" does not contain "admin" (TN-04).
    names = tuple([item for item in _items(value) if isinstance(item, str)])
    # A session keeps one object, and not also a copy of the one in its claims.
    return cast("tuple[str, ...]", value) if names == value else names


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
