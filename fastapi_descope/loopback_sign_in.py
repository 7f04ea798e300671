"""Signs a seeded user in at a running emulator, the way a browser would, and brings home the session JWT.

For trying out an API with curl. It works against an emulator alone: nothing else signs anybody in by the
mere press of a button, and nothing but the loopback is ever asked.
"""

import re
from html import unescape
from http.client import HTTPConnection, HTTPException
from urllib.parse import parse_qs, urlencode, urlsplit

from .core.client import DescopeClient
from .errors import ConfigurationError, UpstreamError, UpstreamRefused
from .origin import Origin

__all__ = ["sign_in"]

_CALLBACK = "http://127.0.0.1/"
"""Nobody listens there: the code is read off the redirect, which is never followed."""

_SECONDS = 5.0
_FORM_TOKEN = re.compile(r'name="form_token" value="([^"]+)"')
# The page marks the user that the login hint names, if that is a member of the tenant.
_HINTED_USER = re.compile(r'name="user" value="([^"]+)" data-hinted')


async def sign_in(base_url: str, *, project_id: str, user: str, tenant: str | None = None) -> str:
    """The session JWT of ``user`` (a login id) in ``tenant``; without one, in that of the user's domain.

    Four requests. Raises ``ConfigurationError`` with a sentence for whoever typed the command: not a
    loopback URL, no emulator there, no such project, tenant or member.
    """
    origin = Origin.parse(base_url.removesuffix("/"))
    if origin is None or not origin.is_loopback:
        raise ConfigurationError(
            "Only the emulator gives tokens away, and DESCOPE_BASE_URL does not point to this machine"
        )
    client = DescopeClient(base_url=str(origin), project_id=project_id)
    try:
        page = await client.sso_authorize(tenant=tenant or user, redirect_url=_CALLBACK, login_hint=user)
        answer = await client.sso_exchange(_code(origin, urlsplit(page).path))
    except UpstreamRefused as refused:
        raise ConfigurationError(
            f"The emulator refuses ({refused.upstream_code or refused.upstream_status}):"
            " check the project id, and that the tenant exists"
        ) from None
    except (UpstreamError, HTTPException, OSError):
        raise ConfigurationError(
            f"No emulator answers at {origin}; start one with: fastapi-descope emulator"
        ) from None
    finally:
        await client.aclose()
    if answer.session_jwt is None:
        raise ConfigurationError("The emulator answered without a session token")
    return answer.session_jwt


def _code(origin: Origin, path: str) -> str:
    """The code that the sign-in page gives for the hinted user. Blocks, which harms nobody in a command."""
    connection = HTTPConnection(origin.host.strip("[]"), origin.port or 80, timeout=_SECONDS)
    try:
        connection.request("GET", path)
        page = connection.getresponse().read().decode(errors="replace")
        connection.request("POST", path, _choice(page), {"Content-Type": "application/x-www-form-urlencoded"})
        answer = connection.getresponse()
        answer.read()
    finally:
        connection.close()
    codes = parse_qs(urlsplit(answer.headers.get("Location", "")).query).get("code")
    if not codes:
        raise ConfigurationError("The emulator's sign-in page did not take the answer; try again")
    return codes[0]


def _choice(page: str) -> str:
    """The form of the page, filled in for the hinted user."""
    form_token, user = _FORM_TOKEN.search(page), _HINTED_USER.search(page)
    if form_token is None or user is None:
        raise ConfigurationError("The tenant has no such user; the emulator lists its users when it starts")
    return urlencode({"form_token": unescape(form_token[1]), "user": unescape(user[1])})
