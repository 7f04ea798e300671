"""Reads bodies of limited length, and the fields of small ones: a URL-encoded form or a JSON object."""

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import FormData
from starlette.requests import ClientDisconnect, Request

from ..._encoding import parse_strict_json
from ...errors import BadRequest

__all__ = ["media_type", "read_body", "read_fields"]

_MAX_BYTES = 8_192
_MAX_FIELDS = 16


def media_type(request: Request) -> str:
    """Return the media type of the body in lower case and without parameters, or "" if it has none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_body(request: Request, max_bytes: int) -> bytes | None:
    """Return the body, or None if it is longer than ``max_bytes``: the rest of it is not read.

    Raises:
        RuntimeError: the body was read before.
        ClientDisconnect: the client sends no more of it.
    """
    body = bytearray()
    async for chunk in request.stream():
        if len(body) + len(chunk) > max_bytes:
            return None
        body += chunk
    return bytes(body)


async def read_fields(request: Request, *, max_bytes: int = _MAX_BYTES) -> Mapping[str, str]:
    """Return the text fields of the body, up to ``max_bytes`` and 16 fields. An empty body has none.

    A dependency of the app may have read the body or the form already.

    Raises:
        BadRequest: the body is neither a JSON object nor a URL-encoded form, is too large or incomplete, or
            repeats a field.
    """
    body = await _body(request, max_bytes)
    if not body:
        return {}
    match media_type(request):
        case "application/json":
            return _from_json(body)
        case "application/x-www-form-urlencoded":
            return _from_form(body)
        case _:
            raise BadRequest("Send JSON or a URL-encoded form")


async def _body(request: Request, max_bytes: int) -> bytes:
    try:
        body = await read_body(request, max_bytes)
    except RuntimeError:
        body = _parsed_form(request)
    except ClientDisconnect:  # otherwise each client could cause the traceback of a 500
        raise BadRequest("The request is incomplete") from None
    if body is None or len(body) > max_bytes:
        raise BadRequest("The request is too large")
    return body


def _parsed_form(request: Request) -> bytes:
    """Encode the form that a dependency has parsed, so that the same limits apply to it."""
    # Starlette caches a parsed form here. Calling request.form() would parse the body if it is not.
    form = getattr(request, "_form", None)
    if not isinstance(form, FormData):
        raise BadRequest("The body of the request was read before this route could read it")
    return urlencode(form.multi_items(), errors="replace").encode("ascii")


def _from_json(body: bytes) -> Mapping[str, str]:
    try:
        fields = parse_strict_json(body)
    except ValueError:
        raise BadRequest("The body is not a JSON object, or a name occurs twice") from None
    if len(fields) > _MAX_FIELDS:
        raise BadRequest("The body has too many fields")
    return {name: value for name, value in fields.items() if isinstance(value, str)}


def _from_form(body: bytes) -> Mapping[str, str]:
    try:
        pairs = parse_qsl(
            body.decode("ascii"), strict_parsing=True, errors="strict", max_num_fields=_MAX_FIELDS
        )
    except ValueError:
        raise BadRequest("The body is not a URL-encoded form") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise BadRequest("A field occurs twice")
    return fields
