"""Readers for the fields of parsed JSON: a value of the wrong type counts as absent."""

from collections.abc import Iterable, Mapping
from typing import cast

__all__ = ["mapping", "names", "objects", "text"]


def text(value: object) -> str | None:
    """Return ``value`` if it is a string other than ``""``, else None."""
    return value if isinstance(value, str) and value else None


def mapping(value: object) -> Mapping[str, object] | None:
    """Return ``value`` if it is a JSON object, else None."""
    return cast("Mapping[str, object]", value) if isinstance(value, Mapping) else None


def names(value: object) -> tuple[str, ...]:
    """Return the strings in a list, or nothing for any other value."""
    # A string is not a list of names: "administrator" does not contain "admin" (TN-04).
    return tuple(item for item in _items(value) if isinstance(item, str))


def objects(value: object) -> tuple[Mapping[str, object], ...]:
    """Return the JSON objects in a list, or nothing for any other value."""
    return tuple(found for item in _items(value) if (found := mapping(item)) is not None)


def _items(value: object) -> Iterable[object]:
    # strict_json returns lists as tuples, json.loads as lists.
    return cast("Iterable[object]", value) if isinstance(value, (tuple, list)) else ()
