"""Parsing of small request bodies: JSON or URL-encoded forms, with limits."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from starlette.requests import Request
from starlette.types import Message

from fastapi_descope._web.routes.body import read_fields
from fastapi_descope.errors import BadRequest

pytestmark = pytest.mark.anyio

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=x"


def _request(body: bytes, media_type: str, chunk: int = 1 << 20) -> Request:
    chunks = [body[at : at + chunk] for at in range(0, len(body), chunk)] or [b""]

    async def messages() -> AsyncIterator[Message]:
        for index, part in enumerate(chunks):
            yield {"type": "http.request", "body": part, "more_body": index < len(chunks) - 1}

    stream = messages()
    headers = [(b"content-type", media_type.encode())]
    return Request({"type": "http", "method": "POST", "headers": headers}, stream.__anext__)


@pytest.mark.parametrize(
    ("body", "media_type", "fields"),
    [
        (b"", "", {}),
        (b"tenant=acme&return_to=%2Fa%3Fb%3D1", FORM, {"tenant": "acme", "return_to": "/a?b=1"}),
        (b"tenant=acme", FORM + "; charset=utf-8", {"tenant": "acme"}),
        (b'{"tenant": "acme", "n": 1, "list": ["x"]}', "application/json", {"tenant": "acme"}),
        (b'{"tenant": "acme"}', "Application/JSON;charset=utf-8", {"tenant": "acme"}),
        (b"{%s}" % b",".join(b'"a%d":1' % n for n in range(16)), "application/json", {}),
    ],
    ids=["empty", "form", "form with charset", "json", "json with charset", "sixteen members"],
)
async def test_text_fields_are_read(body: bytes, media_type: str, fields: dict[str, str]) -> None:
    """Members that are not text are ignored."""
    assert await read_fields(_request(body, media_type)) == fields


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (b"tenant=acme", "text/plain"),
        (b"tenant=acme", MULTIPART),
        (b"tenant=a&tenant=b", FORM),
        (b"tenant", FORM),
        (b"tenant=%ff", FORM),
        ("tenant=é".encode(), FORM),
        (b"&".join(b"a%d=1" % n for n in range(17)), FORM),
        (b'{"tenant": "a", "tenant": "b"}', "application/json"),
        (b'{"tenant": "a", "nested": {"x": 1, "x": 2}}', "application/json"),
        (b"{%s}" % b",".join(b'"a%d":1' % n for n in range(17)), "application/json"),
        (b'{"tenant": NaN}', "application/json"),
        (b"{", "application/json"),
        (b"[1]", "application/json"),
        (b"\xff\xfe", "application/json"),
        (b"[" * 8000, "application/json"),
        (b'{"a":' * 1600, "application/json"),
        (b"tenant=" + b"a" * 8186, FORM),
    ],
    ids=[
        "text",
        "multipart",
        "twice",
        "no value",
        "not utf-8",
        "not ascii",
        "many fields",
        "twice in json",
        "twice inside",
        "many members",
        "not a number",
        "half",
        "a list",
        "utf-16",
        "deep",
        "deep objects",
        "large",
    ],
)
async def test_anything_else_is_a_bad_request(body: bytes, media_type: str) -> None:
    """No input raises any other exception."""
    with pytest.raises(BadRequest):
        await read_fields(_request(body, media_type))


async def test_body_that_ends_early_is_a_bad_request() -> None:
    """The client has disconnected. A 500 would log a traceback for each of them."""

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    with pytest.raises(BadRequest):
        await read_fields(Request({"type": "http", "method": "POST", "headers": []}, receive))


@pytest.mark.parametrize(
    ("body", "media_type", "fields"),
    [
        (b"", FORM, {}),
        (b"tenant=acme&return_to=%2Fa%3Fb%3D1", FORM, {"tenant": "acme", "return_to": "/a?b=1"}),
        (b'{"tenant": "acme"}', "application/json", {"tenant": "acme"}),
    ],
    ids=["empty", "form", "json"],
)
@pytest.mark.parametrize("reader", [Request.form, Request.body], ids=["form", "body"])
async def test_a_body_that_a_dependency_has_read_is_read_again(
    reader: Callable[[Request], Awaitable[object]], body: bytes, media_type: str, fields: dict[str, str]
) -> None:
    """Starlette has cached the body or the form, although the stream is consumed."""
    request = _request(body, media_type)
    await reader(request)

    assert await read_fields(request) == fields


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (b"tenant=a&tenant=b", FORM),
        (b"&".join(b"a%d=1" % n for n in range(17)), FORM),
        (b"tenant=" + b"a" * 8186, FORM),
        (b'--x\r\nContent-Disposition: form-data; name="tenant"\r\n\r\nacme\r\n--x--', MULTIPART),
        (
            b'--x\r\nContent-Disposition: form-data; name="tenant"\r\n\r\n+2AA-\r\n--x--',
            MULTIPART + "; charset=utf-7",
        ),
    ],
    ids=["twice", "many fields", "large", "multipart", "multipart with a lone surrogate"],
)
async def test_the_limits_apply_to_a_form_that_a_dependency_has_parsed(body: bytes, media_type: str) -> None:
    """Starlette's own limits are wider, or it has none."""
    request = _request(body, media_type)
    await request.form()

    with pytest.raises(BadRequest):
        await read_fields(request)


async def test_a_consumed_body_is_a_bad_request() -> None:
    """The content of the body is lost."""
    request = _request(b"tenant=acme", FORM)
    async for _ in request.stream():
        pass

    with pytest.raises(BadRequest, match="was read before"):
        await read_fields(request)


async def test_a_large_body_is_not_read_to_its_end() -> None:
    """The limit applies to a body that arrives in chunks."""
    request = _request(b"a" * (1 << 20), FORM, chunk=4096)

    with pytest.raises(BadRequest, match="too large"):
        await read_fields(request)
