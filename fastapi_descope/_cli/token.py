"""Signs a user in at a running emulator, the way a browser would, and brings home the session JWT.

For trying out an API with curl. It works against an emulator alone: nothing else signs anybody in by the
mere press of a button, and nothing but the loopback is ever asked.
"""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import cast
from urllib.parse import parse_qs, urlencode, urlsplit

from .._config.origin import Origin
from .._upstream.responses import ApiResponse, parse_tokens
from ..emulator.client import submit_login_form
from ..errors import ConfigurationError, InvalidUpstreamResponse

__all__ = ["NOWHERE", "issue_token"]

NOWHERE = "http://127.0.0.1/"
"""Nobody listens there: the code is read off the redirect, which is never followed."""

_SECONDS = 5.0
_BYTES = 1024 * 1024
_ERROR, _NO_SUCH_USER = 400, 422
_SSO, _SOCIAL = "/v1/auth/sso/authorize", "/v1/auth/oauth/authorize"


def issue_token(
    base_url: str,
    *,
    project_id: str,
    user: str,
    tenant: str | None = None,
    auth_management_key: str | None = None,
    redirect_url: str = NOWHERE,
) -> str:
    """The session JWT of ``user`` (a login id) in ``tenant``.

    Without a tenant it is that of the user's domain, and where the domain is no tenant's, none: that takes
    a sign-in with Google, as the emulator plays it. ``redirect_url`` is one that the project approves.

    Blocks for four requests, or five. Raises ``ConfigurationError`` with a sentence for whoever typed the
    command: not a loopback URL, no emulator there, what the emulator refuses and why, no such user.
    """
    origin = Origin.parse(base_url.removesuffix("/"))
    if origin is None or not origin.is_loopback:
        raise ConfigurationError(
            "Only the emulator gives tokens away, and DESCOPE_BASE_URL does not point to this machine"
        )
    emulator = _Emulator(origin, ":".join(filter(None, (project_id, auth_management_key))))
    page = _begun(emulator, user, tenant, redirect_url)
    reply = emulator.call("/v1/auth/sso/exchange", {"code": _code(emulator, page, user)})
    with contextlib.suppress(InvalidUpstreamResponse):
        token = parse_tokens(ApiResponse(reply.status, reply.body, set_cookies=reply.set_cookies)).session_jwt
        if token is not None:
            return token
    raise ConfigurationError("The emulator answered without a session token")


class _Refused(ConfigurationError):
    """The emulator said no."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came back."""

    status: int
    body: bytes = field(repr=False)
    location: str = field(repr=False)
    set_cookies: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Emulator:
    """Where it is, and what goes into the bearer."""

    origin: Origin
    bearer: str = field(repr=False)

    def call(self, path: str, body: Mapping[str, object]) -> _Answer:
        """A call of Descope's API. Raises ``_Refused`` with the emulator's own words."""
        headers = {"Authorization": f"Bearer {self.bearer}", "Content-Type": "application/json"}
        answer = self.request("POST", path, json.dumps(body), headers)
        if answer.status < _ERROR:
            return answer
        said = _member(answer, "errorMessage")
        if said is None:
            raise self._absent()
        raise _Refused(f"The emulator refuses: {''.join(each for each in said if each.isprintable())}")

    def start(self, path: str, query: Mapping[str, str]) -> str:
        """The path of the sign-in page that a start leads to."""
        url = _member(self.call(f"{path}?{urlencode(query, errors='replace')}", {}), "url")
        if url is None:
            raise self._absent()
        return urlsplit(url).path

    def request(
        self, method: str, path: str, body: str | None = None, headers: Mapping[str, str] | None = None
    ) -> _Answer:
        """One request, on a connection of its own."""
        connection = HTTPConnection(self.origin.host.strip("[]"), self.origin.port or 80, timeout=_SECONDS)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            cookies = tuple(answer.headers.get_all("Set-Cookie", ()))
            return _Answer(answer.status, answer.read(_BYTES), answer.headers.get("Location", ""), cookies)
        except (HTTPException, OSError):
            raise self._absent() from None
        except ValueError:
            raise ConfigurationError(
                "The project id or the auth management key holds characters that no header may carry"
            ) from None
        finally:
            connection.close()

    def _absent(self) -> ConfigurationError:
        return ConfigurationError(
            f"No emulator answers at {self.origin}; start one with: fastapi-descope emulator"
        )


def _begun(emulator: _Emulator, user: str, tenant: str | None, redirect_url: str) -> str:
    """The path of the sign-in page: the tenant's, or one where no tenant is asked for."""
    query = {"redirectURL": redirect_url, "loginHint": user}
    try:
        return emulator.start(_SSO, {"tenant": tenant or user, **query})
    except _Refused as refused:
        if tenant is not None:
            raise
        try:
            return emulator.start(_SOCIAL, {"provider": "google", **query})
        except _Refused as unsocial:
            if str(unsocial) == str(refused):
                raise refused from None
            raise ConfigurationError(
                f"{refused}. Without a tenant it takes google among the social_providers. {unsocial}"
            ) from None


def _code(emulator: _Emulator, path: str, user: str) -> str:
    """The code that the sign-in page gives for the user."""
    page = emulator.request("GET", path).body.decode(errors="replace")
    try:
        form = urlencode(submit_login_form(page, user), errors="replace")
    except LookupError as error:
        raise ConfigurationError(str(error)) from None
    answer = emulator.request("POST", path, form, {"Content-Type": "application/x-www-form-urlencoded"})
    if answer.status == _NO_SUCH_USER:
        raise ConfigurationError(
            "There is no such user, or not in that tenant; the emulator lists its users when it starts"
        )
    codes = parse_qs(urlsplit(answer.location).query).get("code")
    if not codes:
        raise ConfigurationError("The emulator's sign-in page did not take the answer; try again")
    return codes[0]


def _member(answer: _Answer, name: str) -> str | None:
    """A text of the JSON object in an answer; None if there is no such thing in it."""
    with contextlib.suppress(ValueError, RecursionError):
        parsed: object = json.loads(answer.body)
        if isinstance(parsed, dict):
            value = cast("dict[str, object]", parsed).get(name)
            return value if isinstance(value, str) else None
    return None
