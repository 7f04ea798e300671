"""Parsers of Descope's API responses.

They return values or raise one precise error, without I/O. Tokens are not verified here. Section numbers are
those of the wire contract.
"""

import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from .._config.origin import Origin
from .._encoding import FrozenDict, as_mapping, as_objects, as_text
from .._tokens.claims import looks_like_jwt
from ..errors import InvalidUpstreamResponse, RateLimited, UpstreamRejected, UpstreamUnavailable
from ..profile import UserProfile

__all__ = [
    "ApiResponse",
    "NotpStart",
    "TokenResponse",
    "parse_login_url",
    "parse_max_age",
    "parse_notp_start",
    "parse_profile",
    "parse_tenant_names",
    "parse_tokens",
    "raise_for_status",
]

_ERROR_CODE = re.compile(r"E[0-9]{6}")
_SECONDS = re.compile(r"[0-9]{1,19}")  # at most the digits of a 64-bit integer
_MAX_AGE = re.compile(r"""(?:^|[\s,])max-age\s*=\s*"?([0-9]{1,9})(?![0-9])""", re.IGNORECASE)
_COOKIE_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")  # RFC 6265, section 4.1.1
# Printable ASCII without the backslash, which browsers treat as a slash.
_URL = re.compile(r"(?P<origin>https?://[^/?#]+)(?:[/?#][!-\[\]-~]*)?", re.IGNORECASE | re.ASCII)
_MAX_URL_CHARACTERS = 8192
_MAX_NOTP_CHARACTERS = 1024
_PENDING_REF = re.compile(rf"[!-~]{{1,{_MAX_NOTP_CHARACTERS}}}")

_DEFAULT_RETRY_AFTER = 5
_YEAR_SECONDS = 366 * 86400
_NOTHING: Mapping[str, object] = FrozenDict()


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """One HTTP response. ``body`` is None if it was larger than the caller allows."""

    status: int
    body: bytes | None = field(repr=False)
    retry_after: str = ""
    cache_control: str = ""
    set_cookies: tuple[str, ...] = field(default=(), repr=False)
    date: str = ""
    age: str = ""


def _nothing() -> Mapping[str, object]:
    return _NOTHING


@dataclass(frozen=True, slots=True)
class TokenResponse:
    """The **unverified** tokens of a response, and the fields that come with them.

    Attributes:
        session_jwt: None if the response does not contain one.
        refresh_jwt: None if the response does not contain one: without rotation a refresh may omit it.
        next_refresh_seconds: 0 unless the project has an inactivity timeout (section 5.4).
        fields: The JSON object of the response. ``Login.from_response`` parses it; a refresh does not use it.
    """

    # sessionExpiration is not parsed: the session ends with the verified claim exp of its token.

    session_jwt: str | None = field(repr=False)
    refresh_jwt: str | None = field(repr=False)
    next_refresh_seconds: int = 0
    fields: Mapping[str, object] = field(default_factory=_nothing, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class NotpStart:
    """A started nOTP sign-in: where the user confirms it, and the secret reference to fetch its session."""

    url: str = field(repr=False)
    pending_ref: str = field(repr=False)


def raise_for_status(response: ApiResponse) -> None:
    """Raise an error unless the status is 2xx (requirements 2.9).

    A 4xx is a refusal only if its body is a Descope error (section 6): the 401 page of a proxy or firewall
    must not end a session.

    Raises:
        RateLimited: 429.
        UpstreamUnavailable: 5xx.
        UpstreamRejected: any other 4xx with a well-formed Descope error.
        InvalidUpstreamResponse: any other 4xx, a redirect, or a body that is too large.
    """
    if response.status == 429:  # noqa: PLR2004 - Too Many Requests
        raise RateLimited(_retry_after(response))
    if response.status >= 500:  # noqa: PLR2004 - server errors
        raise UpstreamUnavailable(_retry_after(response))
    if response.status >= 400:  # noqa: PLR2004 - client errors
        raise _client_error(response)
    if not 200 <= response.status < 300:  # noqa: PLR2004 - success
        raise InvalidUpstreamResponse("redirect")
    if response.body is None:
        raise InvalidUpstreamResponse("oversize")


def parse_tokens(response: ApiResponse) -> TokenResponse:
    """Return the tokens of a JWTResponse (section 2.0).

    In cookie mode Descope sends the tokens as cookies (section 4); tokens in the body take precedence.

    Raises:
        InvalidUpstreamResponse: the body is not a JSON object, or a token is not ASCII text.
    """
    fields = _json_object(response)
    return TokenResponse(
        session_jwt=_token(fields, "sessionJwt")
        or _token_cookie(response, fields, "sessionCookieName", "DS"),
        refresh_jwt=_token(fields, "refreshJwt") or _token_cookie(response, fields, "cookieName", "DSR"),
        next_refresh_seconds=_seconds(fields.get("nextRefreshSeconds")),
        fields=fields,
    )


def parse_login_url(response: ApiResponse) -> str:
    """Return the URL to redirect the browser to (section 2.1).

    Only its form is checked: the host may be any identity provider.

    Raises:
        InvalidUpstreamResponse: the URL is not https (http on loopback), longer than 8 KiB, not printable
            ASCII, or contains credentials.
    """
    return _web_url(_json_object(response).get("url"), limit=_MAX_URL_CHARACTERS, reason="login_url")


def parse_notp_start(response: ApiResponse) -> NotpStart:
    """Return the URL to confirm an nOTP sign-in at, and its pending reference (section 2.16).

    The QR code of the response is ignored: its encoding is not documented.

    Raises:
        InvalidUpstreamResponse: the URL is longer than 1,024 characters or breaks another rule of
            ``parse_login_url``, or the reference is not 1 to 1,024 characters of visible ASCII.
    """
    # NP-07: a longer URL would not fit into a QR code, nor a longer reference into a cookie.
    fields = _json_object(response)
    url = _web_url(fields.get("redirectUrl"), limit=_MAX_NOTP_CHARACTERS, reason="notp_url")
    pending_ref = as_text(fields.get("pendingRef")) or ""
    if _PENDING_REF.fullmatch(pending_ref) is None:
        raise InvalidUpstreamResponse("pending_ref")
    return NotpStart(url, pending_ref)


def parse_profile(response: ApiResponse) -> UserProfile:
    """Return the user of ``/v1/auth/me`` (section 2.9). A field of the wrong type counts as absent.

    Raises:
        InvalidUpstreamResponse: the body is not a JSON object, or has no user id.
    """
    profile = UserProfile.from_json(_json_object(response))
    if profile is None:
        raise InvalidUpstreamResponse("profile")
    return profile


def parse_tenant_names(response: ApiResponse) -> Mapping[str, str]:
    """Return tenant names by id (section 2.10). The name of a tenant without one is its id.

    Raises:
        InvalidUpstreamResponse: the body is not a JSON object, or ``tenants`` is not a list.
    """
    tenants = _json_object(response).get("tenants")
    if tenants is not None and not isinstance(tenants, list):
        raise InvalidUpstreamResponse("tenants")
    return FrozenDict(
        {
            tenant_id: as_text(entry.get("name")) or tenant_id
            for entry in as_objects(cast("object", tenants))
            if (tenant_id := as_text(entry.get("id")))
        }
    )


def parse_max_age(response: ApiResponse) -> int | None:
    """Return the ``max-age`` of Cache-Control in seconds, or None if it is absent or invalid."""
    match = _MAX_AGE.search(response.cache_control)
    return int(match[1]) if match else None


def _web_url(value: object, *, limit: int, reason: str) -> str:
    # CB-11: no browser is sent to anything but a web URL.
    url = as_text(value) or ""
    match = _URL.fullmatch(url) if len(url) <= limit else None
    origin = Origin.parse(match["origin"]) if match else None
    if origin is None or (origin.scheme == "http" and not origin.is_loopback):
        raise InvalidUpstreamResponse(reason)
    return url


def _retry_after(response: ApiResponse) -> int:
    """Return the seconds of ``Retry-After``, which the error clamps. A date counts as absent."""
    text = response.retry_after.strip()
    return int(text) if _SECONDS.fullmatch(text) else _DEFAULT_RETRY_AFTER


def _client_error(response: ApiResponse) -> UpstreamRejected | InvalidUpstreamResponse:
    fields = as_mapping(_json(response.body)) or _NOTHING
    code = fields.get("errorCode")
    if not isinstance(code, str) or not code:
        return InvalidUpstreamResponse("unsigned_refusal")
    return UpstreamRejected(response.status, code if _ERROR_CODE.fullmatch(code) else "")


def _json(body: bytes | None) -> object:
    """Return the JSON value of a body, or None. The parser's error would contain the whole body."""
    with contextlib.suppress(ValueError, RecursionError):
        # Decoded explicitly: json.loads(bytes) also accepts UTF-16 and a byte order mark.
        return cast("object", json.loads((body or b"").decode()))
    return None


def _json_object(response: ApiResponse) -> Mapping[str, object]:
    value = as_mapping(_json(response.body))
    if value is None:
        raise InvalidUpstreamResponse("not_json")
    return value


def _token(fields: Mapping[str, object], name: str) -> str | None:
    value = fields.get(name)
    # JSON can contain a lone surrogate, which cannot be encoded to compute a digest.
    if value is not None and not (isinstance(value, str) and value.isascii()):
        raise InvalidUpstreamResponse("token_type")
    return value or None


def _token_cookie(
    response: ApiResponse, fields: Mapping[str, object], name_field: str, default: str
) -> str | None:
    """Return the token of the cookie whose name is in ``name_field``, or ``default`` without that field."""
    name = as_text(fields.get(name_field)) or default
    if _COOKIE_NAME.fullmatch(name) is None:
        name = default
    token = None
    for header in response.set_cookies:
        key, _, value = header.partition(";")[0].partition("=")
        if key.strip() == name and looks_like_jwt(value.strip()):
            token = value.strip()
    return token


def _seconds(value: object) -> int:
    """Return ``value`` if it is a number of seconds up to a year, else 0."""
    is_valid = isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _YEAR_SECONDS
    return cast("int", value) if is_valid else 0
