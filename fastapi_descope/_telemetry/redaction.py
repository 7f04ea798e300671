"""Redaction of login secrets in the logs of servers and HTTP libraries, and in spans.

The access log of a server contains the URL of the callback with its code and state, and so does the span of
the request. Only the loggers named here and the spans of our own routes are redacted.
"""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Number
from typing import cast

from opentelemetry import trace
from typing_extensions import override

__all__ = ["RedactLoginSecrets", "install", "redact_span", "redact_value"]

# LG-01, LG-05: no codes, states or tokens in logs and spans.
_LOGGERS = (
    "uvicorn.access",
    "uvicorn.error",  # logs WebSockets
    "httpx",
    "httpcore",
    # A filter does not see records of child loggers, so those of httpcore are listed, too.
    "httpcore.connection",
    "httpcore.http11",
    "httpcore.http2",
    "httpcore.proxy",
    "httpcore.socks",
)

_SPAN_ATTRIBUTES = ("url.query", "url.full", "http.target", "http.url")
"""The attributes that contain the query, in the current and previous semantic conventions."""

_REDACTED = "[redacted]"

_MAX_VALUE_CHARACTERS = 128


def _escapable(name: str) -> str:
    """Return a pattern for a parameter name. Any character of it may be percent-encoded, also repeatedly."""
    codes = ((character, ord(character), ord(character.upper())) for character in name)
    return "".join(f"(?:{character}|%(?:25)*(?:{low:x}|{high:x}))" for character, low, high in codes)


_NAMES = "|".join(
    map(_escapable, ("code", "state", "err", "error_description", "jwt", "loginhint", "login_hint"))
)
_VALUE = r"[^&\s#]*[^&\s#\"'<>,;)\]}]"
"""A value may contain quotes. Those at its end belong to the text around the URL."""

# Clients choose the URL. A match can begin only where the repetition of the previous one must have ended, so
# all three patterns run in linear time.
_PARAMETER = re.compile(
    r"(?P<name>(?:[?&]|%3F|%26)"  # percent-encoded: a URL in a parameter of another URL
    rf"(?:{_NAMES}|(?:[a-z_]|%(?:25)*[4-7][0-9a-f])*?{_escapable('token')})(?:=|%3D))"
    rf"{_VALUE}",
    re.IGNORECASE,
)
_TENANT_ADDRESS = re.compile(
    rf"(?P<name>[?&]{_escapable('tenant')}=)[^?&\s#]*(?:@|%(?:25)*40)[^?&\s#]*[^?&\s#\"'<>,;)\]}}]",
    re.IGNORECASE,
)
# The token of a link has a short name, so it is redacted at this path only. No ``?`` may follow the first
# one, so a match can begin only where the previous one has ended.
_LINK_TOKEN = re.compile(
    rf"(?P<name>/magiclink/verify\?(?:[^\s#?\"']*&)?{_escapable('t')}=)[^&\s#\"']+", re.IGNORECASE
)
_ANY_LINK = "/magiclink/verify?"
_DOTTED_TEXT = re.compile(r"(?<![\w%-])[\w%-]+(?:\.[\w-]*){2,}", re.ASCII)
_JWT_START = "eyJ"


def _without_jwt(found: re.Match[str]) -> str:
    """Return the dotted text up to the JWT in it. The text before the JWT may be an encoded ``=``."""
    before, start, _ = found[0].partition(_JWT_START)
    return before + _REDACTED if start else before


def _redact(text: str) -> str:
    """Return ``text`` without secrets: the same object if there are none."""
    if "=" in text or "%3D" in text:
        text = _PARAMETER.sub(rf"\g<name>{_REDACTED}", text)
        text = _LINK_TOKEN.sub(rf"\g<name>{_REDACTED}", text)
        text = _TENANT_ADDRESS.sub(rf"\g<name>{_REDACTED}", text)
    if _JWT_START in text:
        text = _DOTTED_TEXT.sub(_without_jwt, text)
    return text


@dataclass(frozen=True, slots=True)
class _LazyRedacted:
    """An argument of another type, such as a URL, which is converted to text when the line is written.

    An exception of its ``__str__`` is then raised where logging handles it, and not in the filter.
    """

    value: object

    @override
    def __str__(self) -> str:
        return _redact(str(self.value))

    @override
    def __repr__(self) -> str:
        return _redact(repr(self.value))


def _redact_argument(value: object) -> object:
    if isinstance(value, str):
        return _redact(value)
    return value if value is None or isinstance(value, Number) else _LazyRedacted(value)


class RedactLoginSecrets(logging.Filter):
    """Redacts codes, states, error texts, tokens and e-mail addresses in log records.

    It redacts the query parameters that can contain them, and JWTs anywhere. The rest of the message, the
    number of its arguments and its level do not change. It passes every record and never raises.
    """

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        """Redact the record in place and return True."""
        record.msg = cast("str", _redact_argument(record.msg))
        if isinstance(record.args, tuple):
            record.args = tuple(_redact_argument(value) for value in record.args)
        elif isinstance(record.args, Mapping):
            record.args = {name: _redact_argument(value) for name, value in record.args.items()}
        return True


_FILTER = RedactLoginSecrets()


def install() -> None:
    """Add the filter to the loggers of uvicorn, httpx and httpcore.

    It is idempotent: all apps of a process share one filter.
    """
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_FILTER)


def redact_span() -> None:
    """Redact the query in the attributes of the current span, which belongs to a login route.

    A span that does not record, or whose attributes cannot be read, does not change.
    """
    span = trace.get_current_span()
    attributes: object = getattr(span, "attributes", None)
    if not isinstance(attributes, Mapping):
        return
    for name in _SPAN_ATTRIBUTES:
        value = cast("Mapping[str, object]", attributes).get(name)
        if isinstance(value, str):
            # The patterns recognise the first parameter of a query by its question mark, and the token of a
            # link by its path.
            span.set_attribute(name, _redact(_ANY_LINK + value).removeprefix(_ANY_LINK))


def redact_value(value: object) -> object:
    """Return ``value`` without line breaks, escape sequences and e-mail addresses.

    A JWT template can use an e-mail address as the user id, so an id with an @ is replaced.
    """
    if not isinstance(value, str):
        return value
    if "@" in value:
        return "(address)"
    # LG-03: a line break would forge another line.
    return value.encode("unicode_escape").decode()[:_MAX_VALUE_CHARACTERS]
