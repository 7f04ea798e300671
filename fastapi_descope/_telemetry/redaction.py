"""Keeps login secrets out of the records of others: of the server, HTTP libraries, and tracing (LG-01).

A server's access log holds the address of the callback, and with it the code and the state; so does the
span of its request. Only the lines of the loggers named here are touched, from ``install`` on; and only the
span of a request to one of our own routes.
"""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Number
from typing import cast

from opentelemetry import trace
from typing_extensions import override

__all__ = ["RedactLoginSecrets", "install", "redact_span"]

_LOGGERS = (
    "uvicorn.access",
    "uvicorn.error",  # has the lines of WebSockets
    "httpx",
    "httpcore",
    # A filter does not see what child loggers hand up, so httpcore's are named too.
    "httpcore.connection",
    "httpcore.http11",
    "httpcore.http2",
    "httpcore.proxy",
    "httpcore.socks",
)

_SPAN_ATTRIBUTES = ("url.query", "url.full", "http.target", "http.url")
"""Where tracing of servers puts the query, in the present and the previous conventions of OpenTelemetry."""

_MARK = "[redacted]"

# A match begins only where the repetition of the one before must have ended, so all three run in linear
# time over whatever a client puts into its URL.
_PARAMETER = re.compile(
    r"(?P<name>(?:[?&]|%3F|%26)"  # encoded: an address inside the parameter of another one
    r"(?:code|state|err|error_description|jwt|[a-z_]*token|login_?hint)(?:=|%3D))"
    r"[^&\s\"'<>#]+",
    re.IGNORECASE,
)
_TENANT_ADDRESS = re.compile(r"(?P<name>[?&]tenant=)[^?&\s\"'<>#]*(?:@|%40)[^?&\s\"'<>#]*", re.IGNORECASE)
_DOTTED = re.compile(r"(?<![\w%-])[\w%-]+(?:\.[\w-]*){2,}", re.ASCII)
_JWT_START = "eyJ"


def _without_jwt(found: re.Match[str]) -> str:
    """The dotted text up to the header of a JWT in it; what stands before may be an encoded ``=``."""
    before, start, _ = found[0].partition(_JWT_START)
    return before + _MARK if start else before


def _redacted(text: str) -> str:
    """``text`` without secrets: the same object if it holds none."""
    if "=" in text or "%3D" in text:
        text = _PARAMETER.sub(rf"\g<name>{_MARK}", text)
        text = _TENANT_ADDRESS.sub(rf"\g<name>{_MARK}", text)
    if _JWT_START in text:
        text = _DOTTED.sub(_without_jwt, text)
    return text


@dataclass(frozen=True, slots=True)
class _Later:
    """An argument of a foreign type, such as a URL: turned into text only if the line is written.

    So whatever its ``str`` raises is raised where logging expects it, and not in the filter.
    """

    value: object

    @override
    def __str__(self) -> str:
        return _redacted(str(self.value))

    @override
    def __repr__(self) -> str:
        return _redacted(repr(self.value))


def _argument(value: object) -> object:
    if isinstance(value, str):
        return _redacted(value)
    return value if value is None or isinstance(value, Number) else _Later(value)


class RedactLoginSecrets(logging.Filter):
    """Blanks codes, states, upstream error texts, tokens and e-mail hints in a record.

    It looks at the query parameters that can hold them, and for JWTs anywhere; the rest of the line, the
    number of its arguments and its level stay. Lets every record pass, and never raises.
    """

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        """Redact the record in place; always True."""
        record.msg = cast("str", _argument(record.msg))
        if isinstance(record.args, tuple):
            record.args = tuple(_argument(value) for value in record.args)
        elif isinstance(record.args, Mapping):
            record.args = {name: _argument(value) for name, value in record.args.items()}
        return True


_REDACT = RedactLoginSecrets()


def install() -> None:
    """Redact the lines of uvicorn's logs, httpx and httpcore from now on, for the life of the process.

    Any number of apps may ask for it: it is one filter, and a logger takes a filter once.
    """
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_REDACT)


def redact_span() -> None:
    """Blank codes, states and the like in the query that the current span may hold (LG-05).

    For the span of a request to a login route. A span without attributes to read, or that nobody
    records, stays as it is.
    """
    span = trace.get_current_span()
    attributes: object = getattr(span, "attributes", None)
    if not isinstance(attributes, Mapping):
        return
    for name in _SPAN_ATTRIBUTES:
        value = cast("Mapping[str, object]", attributes).get(name)
        if isinstance(value, str):
            # A bare query has no question mark to tell its first parameter by.
            span.set_attribute(name, _redacted("?" + value).removeprefix("?"))
