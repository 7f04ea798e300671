"""The ``token issue`` command: sign a user in at a running emulator and return the session JWT.

For trying out an API with curl. It sends requests to loopback hosts only, and works with the emulator only:
Descope itself signs no user in without credentials.
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

__all__ = ["UNUSED_REDIRECT_URL", "issue_token"]

UNUSED_REDIRECT_URL = "http://127.0.0.1/"
"""The default redirect URL. It is never requested: the code is read from the redirect."""

_TIMEOUT = 5.0
_MAX_BODY_BYTES = 1024 * 1024
_ERROR, _NO_SUCH_USER = 400, 422
_SSO, _SOCIAL = "/v1/auth/sso/authorize", "/v1/auth/oauth/authorize"


def issue_token(
    base_url: str,
    *,
    project_id: str,
    user: str,
    tenant: str | None = None,
    auth_management_key: str | None = None,
    redirect_url: str = UNUSED_REDIRECT_URL,
) -> str:
    """Return the session JWT of a user. Blocks for four or five requests.

    Args:
        base_url: The URL of the emulator, on a loopback host.
        project_id: The id of the emulator's project.
        user: The login id of the user.
        tenant: The tenant to sign in to. None selects the tenant of the user's e-mail domain, or, if there
            is none, signs in with Google and without a tenant.
        auth_management_key: Needed if the project requires it.
        redirect_url: A URL that the project approves.

    Raises:
        ConfigurationError: The URL is not a loopback URL, no emulator responds there, the emulator refuses
            the request, or it has no such user.
    """
    origin = Origin.parse(base_url.removesuffix("/"))
    if origin is None or not origin.is_loopback:
        raise ConfigurationError(
            "The command token issue works only with an emulator, and DESCOPE_BASE_URL is not a loopback URL"
        )
    emulator = _EmulatorClient(origin, ":".join(filter(None, (project_id, auth_management_key))))
    page = _start_login(emulator, user, tenant, redirect_url)
    response = emulator.call("/v1/auth/sso/exchange", {"code": _login_code(emulator, page, user)})
    api_response = ApiResponse(response.status, response.body, set_cookies=response.set_cookies)
    with contextlib.suppress(InvalidUpstreamResponse):
        token = parse_tokens(api_response).session_jwt
        if token is not None:
            return token
    raise ConfigurationError("The emulator's response contains no session token")


class _RequestRefused(ConfigurationError):
    """The emulator refused a request."""


@dataclass(frozen=True, slots=True)
class _Response:
    """An HTTP response of the emulator."""

    status: int
    body: bytes = field(repr=False)
    location: str = field(repr=False)
    set_cookies: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class _EmulatorClient:
    """A client of the emulator: its origin, and the bearer of API calls."""

    origin: Origin
    bearer: str = field(repr=False)

    def call(self, path: str, body: Mapping[str, object]) -> _Response:
        """Call Descope's API.

        Raises:
            _RequestRefused: The emulator refused; with its error message.
            ConfigurationError: No emulator responds.
        """
        headers = {"Authorization": f"Bearer {self.bearer}", "Content-Type": "application/json"}
        response = self.request("POST", path, json.dumps(body), headers)
        if response.status < _ERROR:
            return response
        message = _string_member(response, "errorMessage")
        if message is None:
            raise self._unreachable()
        printable = "".join(each for each in message if each.isprintable())
        raise _RequestRefused(f"The emulator refused the request: {printable}")

    def start_login(self, path: str, query: Mapping[str, str]) -> str:
        """Start a login and return the path of its sign-in page."""
        url = _string_member(self.call(f"{path}?{urlencode(query, errors='replace')}", {}), "url")
        if url is None:
            raise self._unreachable()
        return urlsplit(url).path

    def request(
        self, method: str, path: str, body: str | None = None, headers: Mapping[str, str] | None = None
    ) -> _Response:
        """Send one request on a new connection."""
        connection = HTTPConnection(self.origin.host.strip("[]"), self.origin.port or 80, timeout=_TIMEOUT)
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            cookies = tuple(response.headers.get_all("Set-Cookie", ()))
            location = response.headers.get("Location", "")
            return _Response(response.status, response.read(_MAX_BODY_BYTES), location, cookies)
        except (HTTPException, OSError):
            raise self._unreachable() from None
        except ValueError:
            raise ConfigurationError(
                "The project id or the auth management key contains characters that a header cannot carry"
            ) from None
        finally:
            connection.close()

    def _unreachable(self) -> ConfigurationError:
        return ConfigurationError(
            f"No emulator responds at {self.origin}; start one with: fastapi-descope emulator"
        )


def _start_login(emulator: _EmulatorClient, user: str, tenant: str | None, redirect_url: str) -> str:
    """Return the path of the sign-in page of the tenant's SSO, or of a social login without a tenant."""
    query = {"redirectURL": redirect_url, "loginHint": user}
    try:
        return emulator.start_login(_SSO, {"tenant": tenant or user, **query})
    except _RequestRefused as sso_error:
        if tenant is not None:
            raise
        try:
            return emulator.start_login(_SOCIAL, {"provider": "google", **query})
        except _RequestRefused as social_error:
            if str(social_error) == str(sso_error):
                raise sso_error from None
            raise ConfigurationError(
                f"{sso_error}. A login without a tenant needs google in the project's social_providers."
                f" {social_error}"
            ) from None


def _login_code(emulator: _EmulatorClient, path: str, user: str) -> str:
    """Submit the sign-in page for the user and return the code."""
    page = emulator.request("GET", path).body.decode(errors="replace")
    try:
        form = urlencode(submit_login_form(page, user), errors="replace")
    except LookupError as error:
        raise ConfigurationError(str(error)) from None
    response = emulator.request("POST", path, form, {"Content-Type": "application/x-www-form-urlencoded"})
    if response.status == _NO_SUCH_USER:
        raise ConfigurationError(
            "The emulator has no such user, or not in this tenant; it lists its users when it starts"
        )
    codes = parse_qs(urlsplit(response.location).query).get("code")
    if not codes:
        raise ConfigurationError("The emulator's sign-in page did not accept the login; try again")
    return codes[0]


def _string_member(response: _Response, name: str) -> str | None:
    """Return a string member of the JSON object in a response, or None if there is none."""
    with contextlib.suppress(ValueError, RecursionError):
        parsed: object = json.loads(response.body)
        if isinstance(parsed, dict):
            value = cast("dict[str, object]", parsed).get(name)
            return value if isinstance(value, str) else None
    return None
