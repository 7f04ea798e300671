"""Fixtures: an in-process emulator on a clock that moves only on request, and helpers to call it."""

import re
from collections.abc import Callable, Coroutine
from html import unescape
from typing import Literal

import httpx
import pytest
from jose import jwt

from fastapi_descope.emulator import Clock, Emulator, Project, SigningKey

Call = Callable[..., Coroutine[None, None, httpx.Response]]

NOW = 1_800_000_000.0
BACK = "http://localhost:8000/callback?state=a%20b#top"


@pytest.fixture
def clock() -> Clock:
    """A clock that moves only through ``advance``."""
    return Clock(lambda: NOW)


@pytest.fixture(scope="session")
def rsa_key() -> SigningKey:
    """One RSA key for all tests, because generating it takes longer than most of them."""
    return SigningKey.generate()


@pytest.fixture
def make(clock: Clock, rsa_key: SigningKey) -> Callable[..., Emulator]:
    """Return a function that makes an emulator on the test's clock, by default with the default project."""

    def emulator(project: Project | None = None) -> Emulator:
        return Emulator(project, clock=clock, signing_key=rsa_key.with_new_kid())

    return emulator


@pytest.fixture
def make_console(clock: Clock, rsa_key: SigningKey) -> Callable[..., Emulator]:
    """Return a function that makes an emulator with a console, by default one that can change its state."""

    def emulator(console: Literal["view", "faults"] = "faults", project: Project | None = None) -> Emulator:
        return Emulator(project, clock=clock, signing_key=rsa_key.with_new_kid(), console=console)

    return emulator


@pytest.fixture
def call() -> Call:
    """Return a function that sends one request with the project's bearer plus ``token`` and ``key``."""

    async def send(
        emulator: Emulator,
        method: str,
        path: str,
        *,
        token: str = "",
        key: str = "",
        json: object = None,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
        params: dict[str, str] | None = None,
    ) -> httpx.Response:
        bearer = ":".join(part for part in (emulator.project_id, token, key) if part)
        transport = httpx.ASGITransport(emulator)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:4000") as client:
            return await client.request(
                method,
                path,
                json=json,
                content=content,
                headers={"authorization": f"Bearer {bearer}"} | (headers or {}),
                params=params,
            )

    return send


@pytest.fixture
def start(call: Call) -> Callable[..., Coroutine[None, None, str]]:
    """Return a function that starts an SSO sign-in for ``BACK`` and returns the URL of its page."""

    async def started(emulator: Emulator, token: str = "", **more: str) -> str:
        query = {"tenant": "acme", "redirectURL": BACK} | more
        path, options = "/v1/auth/sso/authorize", {"stepup": bool(token)}
        response = await call(emulator, "POST", path, token=token, params=query, json=options)
        url: str = response.json()["url"]
        return url

    return started


@pytest.fixture
def confirm(
    call: Call,
) -> Call:
    """Return a function that opens a sign-in page, chooses a user and returns the redirect."""

    async def press(emulator: Emulator, url: str, user: str | None, /, **changes: str) -> httpx.Response:
        page = await call(emulator, "GET", url)
        match = re.search(r'name="form_token" value="([^"]+)"', page.text)
        assert match is not None
        choice = {"refuse": "yes"} if user is None else {"user": _user_id(emulator, user)}
        form = {"form_token": unescape(match[1])} | choice | changes
        return await call(
            emulator,
            "POST",
            url,
            content=str(httpx.QueryParams(form)).encode(),
            headers={"content-type": "application/x-www-form-urlencoded"},
        )

    return press


def _user_id(emulator: Emulator, login_id: str) -> str:
    user = emulator.project.find_user(login_id)
    assert user is not None
    return user.user_id


@pytest.fixture
def get_code(
    call: Call,
    confirm: Call,
) -> Callable[..., Coroutine[None, None, str]]:
    """Return a function that signs a user in on the page and returns the code."""

    async def sign_in(
        emulator: Emulator,
        user: str = "ada@acme.example",
        tenant: str = "acme",
        *,
        token: str = "",
        options: dict[str, object] | None = None,
        **params: str,
    ) -> str:
        query = {"tenant": tenant, "redirectURL": "http://localhost:8000/callback"} | params
        path = "/v1/auth/sso/authorize"
        started = await call(emulator, "POST", path, token=token, json=options, params=query)
        redirect = await confirm(emulator, started.json()["url"], user)
        return httpx.URL(redirect.headers["location"]).params["code"]

    return sign_in


@pytest.fixture
def read() -> Callable[[Emulator, str], dict[str, object]]:
    """Return a function that checks a token against the published keys and returns its claims."""

    def claims(emulator: Emulator, token: str) -> dict[str, object]:
        kid = jwt.get_unverified_header(token)["kid"]
        key = next(key for key in emulator.public_keys if key["kid"] == kid)
        unchecked = {"verify_aud": False, "verify_exp": False, "verify_iat": False}
        return jwt.decode(token, key, algorithms=["RS256"], options=unchecked)

    return claims
