"""Whether JSON has the shape that the record says.

A type is ``string``, ``int``, ``bool``, ``true``, ``null``, ``object`` (of anything), ``jwt``, ``url``,
``rfc3339``, ``error_code`` or the name of a shape; ``[type]`` is a list of them, ``{type}`` a map to them,
and ``one|other`` is either.
"""

import re
from collections.abc import Callable, Mapping
from typing import cast

from .wire_record import ShapeRecord

__all__ = ["complaints"]

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_URL = re.compile(r"https?://[^\s/]+\S*")
_JWT = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
_CODE = re.compile(r"E\d{6}")


def _is(pattern: re.Pattern[str]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


_SIMPLE: Mapping[str, Callable[[object], bool]] = {
    "string": lambda value: isinstance(value, str),
    "int": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "bool": lambda value: isinstance(value, bool),
    "true": lambda value: value is True,
    "null": lambda value: value is None,
    "object": lambda value: isinstance(value, dict),
    "jwt": _is(_JWT),
    "url": _is(_URL),
    "rfc3339": _is(_RFC_3339),
    "error_code": _is(_CODE),
}


def complaints(kind: str, value: object, shapes: Mapping[str, ShapeRecord], at: str = "$") -> list[str]:
    """What is wrong with a value, each with its place; nothing if it fits.

    An object of a shape may hold no field that the record does not know, and lack none that a client needs.
    """
    if "|" in kind:
        each = [complaints(one, value, shapes, at) for one in kind.split("|")]
        return [] if [] in each else each[0]
    if kind in _SIMPLE:
        return [] if _SIMPLE[kind](value) else [f"{at}: not {kind}: {value!r}"]
    if kind[0] == "[":
        return _of_list(kind[1:-1], value, shapes, at)
    if kind[0] == "{":
        return _of_map(kind[1:-1], value, shapes, at)
    return _of_shape(shapes[kind], value, shapes, at)


def _of_list(kind: str, value: object, shapes: Mapping[str, ShapeRecord], at: str) -> list[str]:
    if not isinstance(value, list):
        return [f"{at}: not a list"]
    members = enumerate(cast("list[object]", value))
    return [line for number, each in members for line in complaints(kind, each, shapes, f"{at}[{number}]")]


def _of_map(kind: str, value: object, shapes: Mapping[str, ShapeRecord], at: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{at}: not an object"]
    members = cast("dict[str, object]", value).items()
    return [line for name, each in members for line in complaints(kind, each, shapes, f"{at}.{name}")]


def _of_shape(shape: ShapeRecord, value: object, shapes: Mapping[str, ShapeRecord], at: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{at}: not an object"]
    members = cast("dict[str, object]", value)
    found = [f"{at}.{name}: not in the record" for name in members if name not in shape.fields]
    for name, field in shape.fields.items():
        if name in members:
            found += complaints(field.type, members[name], shapes, f"{at}.{name}")
        elif field.needed_by:
            found.append(f"{at}.{name}: missing, {field.needed_by} need it")
    return found
