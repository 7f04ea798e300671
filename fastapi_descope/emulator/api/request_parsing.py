"""What a request brings along: its JSON object, and the arguments in it."""

import json
from typing import cast

from starlette.requests import Request

from ..api_errors import ApiError

__all__ = ["bool_field", "json_object", "object_field", "read_body", "string_field", "string_list"]

_BODY_BYTES = 64 * 1024
_LEVELS = 32


async def read_body(request: Request) -> bytes:
    """The body. Raises ApiError once it exceeds 64 KiB, without reading the rest."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _BODY_BYTES:
            raise ApiError.malformed("The body is too large")
    return body


async def json_object(request: Request) -> dict[str, object]:
    """The JSON object in the body. No body is an empty object, as an SDK sends it. Raises ApiError."""
    body = await read_body(request)
    if not body.strip():
        return {}
    try:
        parsed: object = json.loads(body)
        # Python reads NaN and lone surrogates, which no response could hold.
        json.dumps(parsed, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise ApiError.malformed("The body is not JSON") from None
    if not isinstance(parsed, dict):
        raise ApiError.malformed("The body is not a JSON object")
    found = cast("dict[str, object]", parsed)
    if not _is_shallow(found, _LEVELS):
        raise ApiError.malformed(f"The body is nested more than {_LEVELS} levels deep")
    return found


def _is_shallow(value: object, levels: int) -> bool:
    """Whether it can be written again, for example into a token, however deep in a call that is."""
    if not isinstance(value, dict | list):
        return True
    inner = cast("dict[str, object] | list[object]", value)
    values = inner.values() if isinstance(inner, dict) else inner
    return levels > 0 and all(_is_shallow(one, levels - 1) for one in values)


def string_field(body: dict[str, object], name: str) -> str:
    """A string that has to be there. Raises ApiError."""
    value = body.get(name)
    if value is None or value == "":
        raise ApiError.missing(f"{name} is missing")
    if not isinstance(value, str):
        raise ApiError.invalid(f"{name} must be a string")
    return value


def bool_field(body: dict[str, object], name: str) -> bool:
    """A boolean, false where absent or null. Raises ApiError for anything else."""
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise ApiError.invalid(f"{name} must be true or false")
    return bool(value)


def object_field(body: dict[str, object], name: str) -> dict[str, object]:
    """An object, empty where absent or null. Raises ApiError for anything else."""
    value = body.get(name)
    if value is not None and not isinstance(value, dict):
        raise ApiError.invalid(f"{name} must be an object")
    return cast("dict[str, object]", value or {})


def string_list(body: dict[str, object], name: str) -> tuple[str, ...]:
    """A list of strings, empty where absent or null. Raises ApiError for anything else."""
    value = body.get(name)
    if value is None:
        return ()
    if not isinstance(value, list):
        raise ApiError.invalid(f"{name} must be a list")
    found = tuple(item for item in cast("list[object]", value) if isinstance(item, str))
    if len(found) != len(cast("list[object]", value)):
        raise ApiError.invalid(f"{name} must hold strings only")
    return found
