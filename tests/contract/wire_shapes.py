"""Checks JSON against the shapes of the record.

A type is ``string``, ``int``, ``bool``, ``true``, ``null``, ``object`` (of anything), ``jwt``, ``url``,
``rfc3339``, ``error_code`` or the name of a shape; ``[type]`` is a list of them, ``{type}`` a map to them,
and ``one|other`` is either.
"""

import re
from collections.abc import Callable, Mapping
from typing import cast

from .wire_record import ShapeRecord

__all__ = ["shape_errors", "values_at"]

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_URL = re.compile(r"https?://[^\s/]+\S*")
_JWT = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
_CODE = re.compile(r"E\d{6}")


def _matches(pattern: re.Pattern[str]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


_SIMPLE: Mapping[str, Callable[[object], bool]] = {
    "string": lambda value: isinstance(value, str),
    "int": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "bool": lambda value: isinstance(value, bool),
    "true": lambda value: value is True,
    "null": lambda value: value is None,
    "object": lambda value: isinstance(value, dict),
    "jwt": _matches(_JWT),
    "url": _matches(_URL),
    "rfc3339": _matches(_RFC_3339),
    "error_code": _matches(_CODE),
}


def shape_errors(
    type_name: str, value: object, shapes: Mapping[str, ShapeRecord], at: str = "$"
) -> list[str]:
    """Return the errors in a value, each with its JSON path; an empty list if the value has the type.

    An object may have only recorded fields, and must have every field that a client needs.
    """
    if "|" in type_name:
        each = [shape_errors(one, value, shapes, at) for one in type_name.split("|")]
        return [] if [] in each else each[0]
    if type_name in _SIMPLE:
        return [] if _SIMPLE[type_name](value) else [f"{at}: not {type_name}: {value!r}"]
    if type_name[0] == "[":
        return _list_errors(type_name[1:-1], value, shapes, at)
    if type_name[0] == "{":
        return _map_errors(type_name[1:-1], value, shapes, at)
    return _object_errors(shapes[type_name], value, shapes, at)


def values_at(body: object, path: str) -> list[object]:
    """Return the values at a path such as ``user.userTenants[].tenantId``, except falsy ones."""
    name, _, rest = path.partition(".")
    value = cast("dict[str, object]", body).get(name.removesuffix("[]")) if isinstance(body, dict) else None
    members = cast("list[object]", value or []) if name.endswith("[]") else [value]
    return [each for member in members for each in (values_at(member, rest) if rest else [member]) if each]


def _list_errors(kind: str, value: object, shapes: Mapping[str, ShapeRecord], at: str) -> list[str]:
    if not isinstance(value, list):
        return [f"{at}: not a list"]
    members = enumerate(cast("list[object]", value))
    return [line for number, each in members for line in shape_errors(kind, each, shapes, f"{at}[{number}]")]


def _map_errors(kind: str, value: object, shapes: Mapping[str, ShapeRecord], at: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{at}: not an object"]
    members = cast("dict[str, object]", value).items()
    return [line for name, each in members for line in shape_errors(kind, each, shapes, f"{at}.{name}")]


def _object_errors(
    shape: ShapeRecord, value: object, shapes: Mapping[str, ShapeRecord], at: str
) -> list[str]:
    if not isinstance(value, dict):
        return [f"{at}: not an object"]
    members = cast("dict[str, object]", value)
    errors = [f"{at}.{name}: not in the record" for name in members if name not in shape.fields]
    for name, field in shape.fields.items():
        if name in members:
            errors += shape_errors(field.type, members[name], shapes, f"{at}.{name}")
        elif field.needed_by:
            errors.append(f"{at}.{name}: missing, {field.needed_by} need it")
    return errors
