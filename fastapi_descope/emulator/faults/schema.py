"""The JSON and form representation of a fault, and its validation."""

import re
from email.utils import parsedate_to_datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ..api_errors import ApiError
from .queue import Faults

__all__ = ["FaultSpec"]

_GARBAGE = b"<html><body><h1>502 Bad Gateway</h1></body>"
_MAX_SECONDS = 3600
_SERVER_HEADERS = {"content-length", "transfer-encoding", "connection"}
_NUMBER = re.compile(r"[0-9]{1,10}")
_HEADER = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,100}")
_VALUE = re.compile(r"([!-~]([ -~]{0,998}[!-~])?)?")


def _seconds_or_date(value: object) -> str:
    """Validate the value of a ``Retry-After`` header (RFC 9110, section 10.2.3)."""
    text = str(value)
    if isinstance(value, int | str) and (_NUMBER.fullmatch(text) or _is_date(text)):
        return text
    raise ValueError("expected a number of seconds, or an HTTP date")


def _is_date(text: str) -> bool:
    try:
        return bool(parsedate_to_datetime(text)) and _VALUE.fullmatch(text) is not None
    except ValueError:
        return False


def _header_value(value: str) -> str:
    if not _VALUE.fullmatch(value):
        raise ValueError("expected visible characters")
    return value


def _header_name(name: str) -> str:
    if not _HEADER.fullmatch(name) or name.lower() in _SERVER_HEADERS:
        raise ValueError("expected a header name that the server does not set itself")
    return name


_Seconds = Annotated[float, Field(ge=0, le=_MAX_SECONDS, allow_inf_nan=False)]
_RetryAfter = Annotated[str, BeforeValidator(_seconds_or_date)]
_Headers = dict[Annotated[str, AfterValidator(_header_name)], Annotated[str, AfterValidator(_header_value)]]


class FaultSpec(BaseModel):
    """The arguments of ``Faults.add`` in JSON, and ``garbage``: HTML instead of JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoint: str
    times: Annotated[int, Field(ge=1, le=1000)] = 1
    status: Annotated[int, Field(ge=200, le=599)] | None = None
    body: str | dict[str, object] | None = None
    garbage: bool = False
    headers: _Headers | None = None
    retry_after: _RetryAfter | None = None
    delay: _Seconds = 0
    drip: _Seconds = 0
    cut: Literal["reset", "close"] | None = None
    when: Literal["before", "after"] = "before"

    @classmethod
    def from_json(cls, values: dict[str, object], *, strict: bool = True) -> "FaultSpec":
        """Return the fault in a JSON object.

        Args:
            values: The object.
            strict: Reject text for numbers.

        Raises:
            ApiError: It is invalid. The message has the position but not the value.
        """
        try:
            return cls.model_validate(values, strict=strict)
        except ValidationError as error:
            raise ApiError.invalid(_describe(error)) from None

    @classmethod
    def from_form(cls, form: dict[str, str]) -> "FaultSpec":
        """Return the fault in the console's form: one kind of fault and its numbers.

        Raises:
            ApiError: The form is invalid.
        """
        seconds = form.get("seconds", "0")
        parts: dict[str, dict[str, object]] = {
            "status": {"status": form.get("status")},
            "limit": {"status": 429, "retry_after": seconds},
            "delay": {"delay": seconds},
            "drip": {"drip": seconds},
            "reset": {"cut": "reset"},
            "close": {"cut": "close"},
            "garbage": {"garbage": True},
        }
        common: dict[str, object] = {
            name: form[name] for name in ("endpoint", "times", "when") if name in form
        }
        return cls.from_json(common | parts.get(form.get("kind", ""), {}), strict=False)

    def add_to(self, faults: Faults) -> None:
        """Add the fault to ``faults``.

        Raises:
            ApiError: The endpoint is unknown, or the fault has no effect or contradicts itself.
        """
        if self.garbage and self.body is not None:
            raise ApiError.invalid("garbage replaces the body: send one of them")
        if not (self._has_response or self.cut or self.delay or self.drip):
            raise ApiError.invalid("a fault needs a status, a body, garbage, a delay, a drip or a cut")
        try:
            faults.add(
                self.endpoint,
                times=self.times,
                status=self.status,
                body=self._body,
                headers=self._sent_headers,
                retry_after=self.retry_after,
                delay=self.delay,
                drip=self.drip,
                cut=self.cut,
                when=self.when,
            )
        except ValueError as error:
            raise ApiError.invalid(str(error)) from None

    @property
    def _has_response(self) -> bool:
        return self.garbage or self.status is not None or self.body is not None

    @property
    def _body(self) -> bytes | dict[str, object] | None:
        if self.garbage:
            return _GARBAGE
        return self.body.encode() if isinstance(self.body, str) else self.body

    @property
    def _sent_headers(self) -> dict[str, str]:
        kind = {"content-type": "text/html"} if self.garbage else {}
        return kind | {name.lower(): value for name, value in (self.headers or {}).items()}


def _describe(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False)[0]
    place = ".".join(str(step) for step in first["loc"]) or "fault"
    return f"{place}: {first['msg'].removeprefix('Value error, ')}"
