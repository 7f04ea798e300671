"""The five parsers of hostile input as fuzz targets: each takes any bytes, and fails if a promise is broken.

An input may contain placeholders, because keys and tokens are new in each run: ``$name`` stands for the
value that the target documents.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from functools import cache
from typing import NamedTuple, cast
from urllib.parse import parse_qs, unquote

from ada_url import URL
from starlette.types import Scope

from fastapi_descope._tokens.claims import TokenKind, verify
from fastapi_descope._tokens.jwks import parse_key_set
from fastapi_descope._web.redirects import RedirectPolicy
from fastapi_descope.errors import InvalidUpstreamResponse, TokenError
from fastapi_descope.session import AuthSession, RefreshToken
from fastapi_descope.settings import DescopeSettings
from tests.helpers.app_harness import AppHarness, build_app_harness
from tests.helpers.asgi_client import WireResponse, send_request
from tests.helpers.tampering import NOW, POLICY, Forge

__all__ = ["TARGETS"]

FORGE = Forge()
KEYS = parse_key_set(FORGE.key_set("A")).keys

OWN = "https://app.example.com"
TRUSTED = "https://admin.example.com:8443"
SCOPE: Scope = {"type": "http", "scheme": "https", "headers": [(b"host", b"evil.example")]}
REDIRECTS = RedirectPolicy(
    DescopeSettings(project_id="P2abcdefghijklmnopqrstuvwxyz", public_url=OWN, trusted_origins=(TRUSTED,))
)

# More pages than the callback has. A page that shows a part of the request has any number of forms.
_PAGES = 12


def _fill(data: bytes, values: Mapping[bytes, bytes]) -> bytes:
    """Replace the placeholders, the longest name first."""
    for name in sorted(values, key=len, reverse=True):
        data = data.replace(b"$" + name, values[name])
    return data


def fuzz_token(data: bytes) -> None:
    """Verify a token: signed ``claims`` or ``header``, or a ``text`` (``$0.$1.$2`` is a valid token)."""
    part, _, content = data.partition(b" ")
    if part == b"claims":
        token = FORGE.token(content)
    elif part == b"header":
        token = FORGE.token(header=content)
    else:
        segments = (segment.encode() for segment in FORGE.token().split("."))
        values = {str(index).encode(): segment for index, segment in enumerate(segments)}
        token = _fill(content, values).decode("latin-1")
    for kind in TokenKind:
        _check_token(token, kind, is_ours=part in (b"claims", b"header") or token == FORGE.token())


def _check_token(token: str, kind: TokenKind, *, is_ours: bool) -> None:
    try:
        _, claims = verify(token, kinds=(kind,), keys=KEYS, policy=POLICY, now=NOW)
    except TokenError:
        return
    assert is_ours, "an unsigned token was accepted"
    session, refresh = AuthSession.from_claims(claims), RefreshToken.from_claims(token, claims)
    assert session.user.id == refresh.subject == claims.get("dsub", claims["sub"])
    assert token not in repr((session, refresh))


def fuzz_key_set(data: bytes) -> None:
    """Parse the body of a key set. ``$n`` is the modulus of a valid key."""
    body = _fill(data, {b"n": str(FORGE.jwk("A")["n"]).encode()})
    try:
        keys = parse_key_set(body).keys
    except InvalidUpstreamResponse:
        return
    published = json.loads(body)["keys"]
    members = [cast("dict[str, object]", member) for member in published if isinstance(member, dict)]
    for kid, key in keys.items():
        assert key.kid == kid
        assert any(_is_signing_key(member) for member in members if member.get("kid") == kid)
    assert keys


def _is_signing_key(member: dict[str, object]) -> bool:
    kind = (member.get("alg"), member.get("kty"), member.get("use", "sig"))
    private = {"d", "p", "q", "dp", "dq", "qi", "k"}.intersection(member)
    return kind == ("RS256", "RSA", "sig") and not private


def fuzz_return_path(data: bytes) -> None:
    """Decide about a redirect target. A browser must stay on our origins for every accepted one."""
    target = data.decode("utf-8", "replace")
    accepted = REDIRECTS.safe_redirect(target, SCOPE)
    if accepted is None:
        return
    assert accepted == target
    assert accepted.isascii()
    assert accepted.isprintable()
    for reading in (target, unquote(target), unquote(unquote(target))):
        readable = reading.encode("utf-8", "replace").decode("utf-8")
        assert URL(readable, base=f"{OWN}/auth/login/sso").origin in (OWN, TRUSTED)


class _App(NamedTuple):
    """An app with two users, and the cookies with which they are signed in."""

    env: AppHarness
    loop: asyncio.Runner
    tokens: Mapping[bytes, bytes]

    def get(self, target: str, cookie: bytes) -> WireResponse:
        """Send a navigation with these bytes as its Cookie header."""
        headers = [(b"sec-fetch-mode", b"navigate"), (b"sec-fetch-dest", b"document"), (b"cookie", cookie)]
        response = self.loop.run(send_request(self.env.app, target, headers))
        self.env.events.clear()
        return response


@cache
def _app() -> _App:
    """Build the app once per process.

    ``$DS`` and ``$DSR`` are the session and the refresh token of Ada, ``$XS`` and ``$XR`` those of another
    user.
    """
    env, loop = build_app_harness(), asyncio.Runner()
    tokens: dict[bytes, bytes] = {}
    for user, names in (("ada@acme.example", (b"DS", b"DSR")), ("hank@globex.example", (b"XS", b"XR"))):
        browser = env.browser()
        loop.run(browser.sign_in(user, "acme" if names[0] == b"DS" else "globex"))
        for name, cookie in zip(names, ("DS", "DSR"), strict=True):
            tokens[name] = (browser.cookie(cookie) or "").encode()
    return _App(env, loop, tokens)


def _user(response: WireResponse) -> str | None:
    assert response.status in (200, 303, 401), response.status
    return json.loads(response.body)["user"] if response.status == 200 else None


@cache
def _users() -> tuple[str, str]:
    """Return the ids of Ada and of the other user."""
    app = _app()
    ada, other = (_user(app.get("/me", b"DS=" + app.tokens[name])) for name in (b"DS", b"XS"))
    assert ada
    assert other
    return ada, other


def fuzz_cookie_header(data: bytes) -> None:
    """Open a page with any Cookie header, alone and beside the cookies of Ada.

    Only a token of a user shows the page of that user, and nothing makes Ada another user.
    """
    app, (ada, other) = _app(), _users()
    hostile = _fill(data, app.tokens)
    own = {ada: (b"DS", b"DSR"), other: (b"XS", b"XR")}
    user = _user(app.get("/me", hostile))
    assert user is None or any(app.tokens[name] in hostile for name in own[user])
    victim = _fill(b"DS=$DS; DSR=$DSR", app.tokens)
    for cookie in (victim + b"; " + hostile, hostile + b"; " + victim):
        assert _user(app.get("/me", cookie)) in (ada, None)


class _PendingLogin(NamedTuple):
    """A browser that has been at the identity provider."""

    cookie: bytes
    code: bytes
    state: bytes


def _start_login() -> _PendingLogin:
    app = _app()
    browser = app.env.browser()
    callback = URL(app.loop.run(browser.open_callback()))
    query = parse_qs(callback.search.removeprefix("?"))
    cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in browser.http.cookies.jar)
    return _PendingLogin(cookies.encode(), query["code"][0].encode(), query["state"][0].encode())


_pending: list[_PendingLogin] = []
_pages: set[bytes] = set()


def fuzz_callback_query(data: bytes) -> None:
    """Open the callback with any query. ``$code`` and ``$state`` are those of a login that the browser began.

    Cookies are set for exactly this code and state. A refusal is one of a few pages, whatever was sent.
    """
    login = _pending.pop() if _pending else _start_login()
    query = _fill(data, {b"code": login.code, b"state": login.state}).decode("latin-1")
    response = _app().get(f"/callback?{query}", login.cookie)
    assert response.status in (303, 400), response.status
    if response.status == 303:
        values = parse_qs(query, keep_blank_values=True, encoding="latin-1")
        assert (values["code"], values["state"]) == ([login.code.decode()], [login.state.decode()])
        assert response.one("location") == "/me"
        return
    assert not any(line.startswith(("DS=", "DSR=")) for line in response.all("set-cookie"))
    _pages.add(response.body)
    assert len(_pages) <= _PAGES, "the page depends on what was sent"
    if not any("descope_login" in line for line in response.all("set-cookie")):
        _pending.append(login)


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    "token": fuzz_token,
    "key_set": fuzz_key_set,
    "cookie_header": fuzz_cookie_header,
    "return_path": fuzz_return_path,
    "callback_query": fuzz_callback_query,
}
"""One target per parser, by the name of its corpus."""
