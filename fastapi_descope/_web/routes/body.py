"""The fields of a small form, posted by a page or as JSON by a script."""

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import FormData
from starlette.requests import Request

from ..._encoding.strict_json import parse_object
from ...errors import BadRequest

__all__ = ["read_fields"]

_MAX_BYTES = 8_192
_MAX_FIELDS = 16


async def read_fields(request: Request) -> Mapping[str, str]:
    """The text fields of the body: a JSON object or a URL-encoded form, up to 8,192 bytes and 16 fields.

    Raises ``BadRequest`` for anything else, and for a field that is there twice: which one is meant cannot
    be told. No body at all is no fields. A dependency of the app may have read the body or the form before.
    """
    body = await _body(request)
    if not body:
        return {}
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == "application/json":
        return _from_json(body)
    if media_type == "application/x-www-form-urlencoded":
        return _from_form(body)
    raise BadRequest("Send JSON or a URL-encoded form")


async def _body(request: Request) -> bytes:
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += _bounded(chunk, len(body))
    except RuntimeError:  # Starlette's, for a stream that has been read already
        return _bounded(_form_read_before(request))
    return bytes(body)


def _bounded(part: bytes, before: int = 0) -> bytes:
    if before + len(part) > _MAX_BYTES:
        raise BadRequest("The request is too large")
    return part


def _form_read_before(request: Request) -> bytes:
    """The form that a dependency has had parsed, as it was sent: the same bounds hold for it."""
    # Where Starlette keeps it for whoever asks again; to ask would parse it, if nobody has.
    form = getattr(request, "_form", None)
    if not isinstance(form, FormData):
        raise BadRequest("The body of the request was read before the sign-in could read it")
    return urlencode(form.multi_items(), errors="replace").encode("ascii")


def _from_json(body: bytes) -> Mapping[str, str]:
    try:
        fields = parse_object(body)
    except ValueError:
        raise BadRequest("This is not one JSON object with each name in it once") from None
    if len(fields) > _MAX_FIELDS:
        raise BadRequest("There are too many fields")
    return {name: value for name, value in fields.items() if isinstance(value, str)}


def _from_form(body: bytes) -> Mapping[str, str]:
    try:
        pairs = parse_qsl(
            body.decode("ascii"), strict_parsing=True, errors="strict", max_num_fields=_MAX_FIELDS
        )
    except ValueError:
        raise BadRequest("This is not a form") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise BadRequest("A field is there twice")
    return fields
