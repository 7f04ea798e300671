"""Request bodies and the fields in their JSON."""

import json
from typing import cast

from starlette.requests import Request

from ..api_errors import ApiError

__all__ = [
    "bool_field",
    "json_object",
    "object_field",
    "object_list",
    "read_body",
    "seconds_field",
    "string_field",
    "string_list",
]

_MAX_BODY_BYTES = 64 * 1024
_MAX_LEVELS = 32
_MAX_SECONDS = 10 * 366 * 24 * 3600


async def read_body(request: Request) -> bytes:
    """Return the body, at most 64 KiB.

    Raises:
        ApiError: The body is larger; the rest is not read.
    """
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_BODY_BYTES:
            raise ApiError.malformed("The body is too large")
    return body


async def json_object(request: Request) -> dict[str, object]:
    """Return the JSON object in the body. An empty body is an empty object, because SDKs send none.

    Raises:
        ApiError: The body is too large, not JSON, not an object, or nested too deeply.
    """
    body = await read_body(request)
    if not body.strip():
        return {}
    try:
        parsed: object = json.loads(body)
        # Python parses NaN and lone surrogates, which a response cannot contain.
        json.dumps(parsed, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise ApiError.malformed("The body is not JSON") from None
    if not isinstance(parsed, dict):
        raise ApiError.malformed("The body is not a JSON object")
    body_object = cast("dict[str, object]", parsed)
    if not _is_shallow(body_object, _MAX_LEVELS):
        raise ApiError.malformed(f"The body is nested more than {_MAX_LEVELS} levels deep")
    return body_object


def _is_shallow(value: object, levels: int) -> bool:
    """Return whether the value can be serialized again, for example into a token, without RecursionError."""
    if not isinstance(value, dict | list):
        return True
    inner = cast("dict[str, object] | list[object]", value)
    values = inner.values() if isinstance(inner, dict) else inner
    return levels > 0 and all(_is_shallow(value, levels - 1) for value in values)


def string_field(body: dict[str, object], name: str) -> str:
    """Return a required string.

    Raises:
        ApiError: It is missing, empty or not a string.
    """
    value = body.get(name)
    if value is None or value == "":
        raise ApiError.missing(f"{name} is missing")
    if not isinstance(value, str):
        raise ApiError.invalid(f"{name} must be a string")
    return value


def bool_field(body: dict[str, object], name: str) -> bool:
    """Return a boolean; False if absent or null.

    Raises:
        ApiError: It has another type.
    """
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise ApiError.invalid(f"{name} must be true or false")
    return bool(value)


def seconds_field(body: dict[str, object], name: str) -> int:
    """Return a number of seconds; 0 if absent or null.

    Raises:
        ApiError: It is not a whole number from 0 to ten years.
    """
    value = body.get(name)
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MAX_SECONDS:
        raise ApiError.invalid(f"{name} must be a number of seconds")
    return value


def object_field(body: dict[str, object], name: str) -> dict[str, object]:
    """Return an object; empty if absent or null.

    Raises:
        ApiError: It has another type.
    """
    value = body.get(name)
    if value is not None and not isinstance(value, dict):
        raise ApiError.invalid(f"{name} must be an object")
    return cast("dict[str, object]", value or {})


def object_list(body: dict[str, object], name: str) -> list[dict[str, object]]:
    """Return a list of objects; empty if absent or null.

    Raises:
        ApiError: It has another type.
    """
    value = body.get(name)
    if value is None:
        return []
    items = cast("list[object]", value) if isinstance(value, list) else [None]
    if not all(isinstance(item, dict) for item in items):
        raise ApiError.invalid(f"{name} must be a list of objects")
    return cast("list[dict[str, object]]", items)


def string_list(body: dict[str, object], name: str) -> tuple[str, ...]:
    """Return a list of strings; empty if absent or null.

    Raises:
        ApiError: It has another type.
    """
    value = body.get(name)
    if value is None:
        return ()
    if not isinstance(value, list):
        raise ApiError.invalid(f"{name} must be a list")
    strings = tuple(item for item in cast("list[object]", value) if isinstance(item, str))
    if len(strings) != len(cast("list[object]", value)):
        raise ApiError.invalid(f"{name} must contain only strings")
    return strings
