"""What Descope's API answered: one HTTP reply in, one value or one precise error out.

Pure: no network, no clock. Nothing is verified here; the tokens in an answer are only text until
``tokens.verify`` has passed them. Sections named below are those of the wire contract.
"""

import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import cast

from .._config.origin import Origin
from .._encoding import json_fields
from .._tokens.claims import looks_like_jwt
from ..errors import InvalidUpstreamResponse, RateLimited, UpstreamRejected, UpstreamUnavailable
from ..session import Tenant, UserProfile

__all__ = [
    "ApiResponse",
    "TokenResponse",
    "parse_login_url",
    "parse_max_age",
    "parse_profile",
    "parse_tenant_names",
    "parse_tokens",
    "raise_for_status",
]

_ERROR_CODE = re.compile(r"E[0-9]{6}")
_SECONDS = re.compile(r"[0-9]{1,19}")  # what a 64-bit integer holds; no longer text is parsed
_MAX_AGE = re.compile(r"""(?:^|[\s,])max-age\s*=\s*"?([0-9]{1,9})(?![0-9])""", re.IGNORECASE)
_COOKIE_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")  # RFC 6265, section 4.1.1
# Printable ASCII, without the backslash that browsers read as a slash.
_URL = re.compile(r"(?P<origin>https?://[^/?#]+)(?:[/?#][!-\[\]-~]*)?", re.IGNORECASE | re.ASCII)
_URL_CHARACTERS = 8192

_RETRY_AFTER = 5
_YEAR = 366 * 86400
_NOTHING: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """One HTTP reply. ``body`` is None if it was larger than the caller allows."""

    status: int
    body: bytes | None = field(repr=False)
    retry_after: str = ""
    cache_control: str = ""
    set_cookies: tuple[str, ...] = field(default=(), repr=False)
    date: str = ""
    age: str = ""


@dataclass(frozen=True, slots=True)
class TokenResponse:
    """The tokens that Descope issued, **unverified**, and what it said beside them.

    A token is None if the answer holds none: without rotation a refresh may leave out the refresh token.
    ``next_refresh_seconds`` is 0 unless the project has an inactivity timeout (section 5.4).
    ``profile`` is None if the answer holds no user object, as refreshes tend to.
    """

    session_jwt: str | None = field(repr=False)
    refresh_jwt: str | None = field(repr=False)
    next_refresh_seconds: int = 0
    first_seen: bool = False
    profile: UserProfile | None = None


def raise_for_status(reply: ApiResponse) -> None:
    """Return if Descope said yes (2xx); otherwise raise what its answer means (requirements 2.9).

    A "no" counts only if Descope signed it with its error shape (section 6): a proxy's or firewall's
    401 page must never end a session.

    Raises:
        RateLimited: 429.
        UpstreamUnavailable: 5xx.
        UpstreamRejected: any other 4xx with a well-formed Descope error.
        InvalidUpstreamResponse: everything else: a redirect, or a 4xx of somebody else.
    """
    if reply.status == 429:  # noqa: PLR2004 - Too Many Requests
        raise RateLimited(_retry_after(reply))
    if reply.status >= 500:  # noqa: PLR2004 - server errors
        raise UpstreamUnavailable(_retry_after(reply))
    if reply.status >= 400:  # noqa: PLR2004 - client errors
        raise _refusal(reply)
    if not 200 <= reply.status < 300:  # noqa: PLR2004 - success
        raise InvalidUpstreamResponse("redirect")
    if reply.body is None:
        raise InvalidUpstreamResponse("oversize")


def parse_tokens(reply: ApiResponse) -> TokenResponse:
    """The JWTResponse of a reply (section 2.0).

    In cookie mode the tokens come as cookies (section 4); those of the body win. What the answer says of
    cookie domain, path and age is for browsers that Descope serves itself and is ignored (CK-06).

    Raises:
        InvalidUpstreamResponse: no JSON object, or a token that is not text.
    """
    answer = _object(reply)
    return TokenResponse(
        session_jwt=_token(answer, "sessionJwt") or _cookie(reply, answer, "sessionCookieName", "DS"),
        refresh_jwt=_token(answer, "refreshJwt") or _cookie(reply, answer, "cookieName", "DSR"),
        next_refresh_seconds=_seconds(answer.get("nextRefreshSeconds")),
        first_seen=answer.get("firstSeen") is True,
        profile=_profile(json_fields.mapping(answer.get("user"))),
    )


def parse_login_url(reply: ApiResponse) -> str:
    """Where to send the browser to sign in (section 2.1), checked for its form alone (CB-11).

    Any host may be an identity provider, so the host is not compared with Descope's.

    Raises:
        InvalidUpstreamResponse: not an https URL (http on loopback) of at most 8 KiB of printable ASCII, or
            one with credentials in it.
    """
    url = json_fields.text(_object(reply).get("url")) or ""
    found = _URL.fullmatch(url) if len(url) <= _URL_CHARACTERS else None
    origin = Origin.parse(found["origin"]) if found else None
    if origin is None or (origin.scheme == "http" and not origin.is_loopback):
        raise InvalidUpstreamResponse("login_url")
    return url


def parse_profile(reply: ApiResponse) -> UserProfile:
    """The flat ResponseUser of ``/v1/auth/me`` (section 2.9). A field of the wrong type counts as absent.

    Raises:
        InvalidUpstreamResponse: no JSON object, or no user id in it.
    """
    profile = _profile(_object(reply))
    if profile is None:
        raise InvalidUpstreamResponse("profile")
    return profile


def parse_tenant_names(reply: ApiResponse) -> Mapping[str, str]:
    """Tenant names by id (section 2.10); a tenant without a name has its id for one.

    Raises:
        InvalidUpstreamResponse: no JSON object, or ``tenants`` is not a list.
    """
    listed = _object(reply).get("tenants")
    if listed is not None and not isinstance(listed, list):
        raise InvalidUpstreamResponse("tenants")
    return MappingProxyType(
        {
            tenant_id: json_fields.text(entry.get("name")) or tenant_id
            for entry in json_fields.objects(cast("object", listed))
            if (tenant_id := json_fields.text(entry.get("id")))
        }
    )


def parse_max_age(reply: ApiResponse) -> int | None:
    """The ``max-age`` of the reply's Cache-Control in seconds, or None without a sane one."""
    found = _MAX_AGE.search(reply.cache_control)
    return int(found[1]) if found else None


def _retry_after(reply: ApiResponse) -> int:
    """Seconds to wait; the error clamps them. A date or anything odd counts as absent."""
    text = reply.retry_after.strip()
    return int(text) if _SECONDS.fullmatch(text) else _RETRY_AFTER


def _refusal(reply: ApiResponse) -> UpstreamRejected | InvalidUpstreamResponse:
    answer = json_fields.mapping(_json(reply.body)) or _NOTHING
    code = answer.get("errorCode")
    if not isinstance(code, str) or not code:
        return InvalidUpstreamResponse("unsigned_refusal")
    return UpstreamRejected(reply.status, code if _ERROR_CODE.fullmatch(code) else "")


def _json(body: bytes | None) -> object:
    """The JSON value of a body, or None. The parser's own error would hold the whole body."""
    with contextlib.suppress(ValueError, RecursionError):
        # Decoded first: given bytes, json would also take UTF-16 and a byte order mark.
        return cast("object", json.loads((body or b"").decode()))
    return None


def _object(reply: ApiResponse) -> Mapping[str, object]:
    value = json_fields.mapping(_json(reply.body))
    if value is None:
        raise InvalidUpstreamResponse("not_json")
    return value


def _token(answer: Mapping[str, object], name: str) -> str | None:
    value = answer.get(name)
    # A lone surrogate, which JSON can hold, could not even be hashed.
    if value is not None and not (isinstance(value, str) and value.isascii()):
        raise InvalidUpstreamResponse("token_type")
    return value or None


def _cookie(reply: ApiResponse, answer: Mapping[str, object], announced: str, default: str) -> str | None:
    """The token that the reply sets as a cookie, under the name it announces or Descope's default."""
    name = json_fields.text(answer.get(announced)) or default
    if _COOKIE_NAME.fullmatch(name) is None:
        name = default
    found = None
    for header in reply.set_cookies:
        key, _, value = header.partition(";")[0].partition("=")
        if key.strip() == name and looks_like_jwt(value.strip()):
            found = value.strip()
    return found


def _profile(user: Mapping[str, object] | None) -> UserProfile | None:
    """The profile of a ResponseUser, or None without a user id."""
    if user is None or not (user_id := json_fields.text(user.get("userId"))):
        return None
    memberships = {
        tenant_id: entry
        for entry in json_fields.objects(user.get("userTenants"))
        if (tenant_id := json_fields.text(entry.get("tenantId")))
    }
    return UserProfile(
        user_id=user_id,
        login_ids=json_fields.names(user.get("loginIds")),
        name=json_fields.text(user.get("name")),
        given_name=json_fields.text(user.get("givenName")),
        family_name=json_fields.text(user.get("familyName")),
        email=json_fields.text(user.get("email")),
        verified_email=user.get("verifiedEmail") is True,
        phone=json_fields.text(user.get("phone")),
        verified_phone=user.get("verifiedPhone") is True,
        picture=json_fields.text(user.get("picture")),
        tenants=MappingProxyType({key: _tenant(key, entry) for key, entry in memberships.items()}),
        tenant_names=MappingProxyType(
            {key: json_fields.text(entry.get("tenantName")) or key for key, entry in memberships.items()}
        ),
        custom_attributes=MappingProxyType(
            dict(json_fields.mapping(user.get("customAttributes")) or _NOTHING)
        ),
    )


def _tenant(tenant_id: str, entry: Mapping[str, object]) -> Tenant:
    """A user object says ``roleNames`` where a token says ``roles`` (section 2.0)."""
    return Tenant(
        tenant_id, json_fields.names(entry.get("roleNames")), json_fields.names(entry.get("permissions"))
    )


def _seconds(value: object) -> int:
    """A number of seconds from now; absurd ones count as absent, so that adding them overflows nothing."""
    sane = isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _YEAR
    return cast("int", value) if sane else 0
