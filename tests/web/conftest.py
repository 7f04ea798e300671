"""Session cookies and token pairs for the tests of the web layer."""

from collections.abc import Callable

import pytest

from fastapi_descope._auth.credentials import Credentials
from fastapi_descope._web.cookies import SessionCookies
from fastapi_descope._web.credentials import CredentialsReader, Headers
from fastapi_descope.emulator import Clock, Emulator
from fastapi_descope.session import AuthSession, RefreshToken, TokenPair
from fastapi_descope.settings import DescopeSettings
from tests.helpers.app_harness import AppHarness, EnvFactory
from tests.helpers.emulator import signing_key
from tests.helpers.notp import TRUSTED

PROJECT = "P2abcdefghijklmnopqrstuvwxyz"
NOW = 1_700_000_000


def _settings(values: dict[str, object]) -> DescopeSettings:
    # Plain cookie names, which are easier to read in tables of headers.
    given = {
        "project_id": PROJECT,
        "public_url": "https://app.example.com",
        "cookie_prefix": "",
        **values,
    }
    return DescopeSettings(**given)  # type: ignore[arg-type] # any setting, by keyword


@pytest.fixture
def notp_env(make_env: EnvFactory) -> AppHarness:
    """Build an app with nOTP that trusts another origin. Its clock stands still until a test moves it."""
    emulator = Emulator(clock=Clock(lambda: NOW), signing_key=signing_key())
    return make_env(emulator=emulator, login_methods=["sso", "notp"], trusted_origins=[TRUSTED])


@pytest.fixture
def cookies_of() -> Callable[..., SessionCookies]:
    """Build the cookies of an app at https://app.example.com, with the given settings."""

    def build(**values: object) -> SessionCookies:
        return SessionCookies(_settings(values))

    return build


@pytest.fixture
def read_cookies() -> Callable[..., Credentials]:
    """Read the credentials in the headers of a GET request to that app, with the given settings."""

    def read(headers: Headers, **values: object) -> Credentials:
        return CredentialsReader(_settings(values)).read(
            {"type": "http", "method": "GET", "headers": headers}
        )

    return read


@pytest.fixture
def pair_of() -> Callable[..., TokenPair]:
    """Build a token pair; the session lives for ten minutes, the refresh token for a day."""

    def build(session: str = "s.s.s", refresh: str = "r.r.r", ends: float = NOW + 600) -> TokenPair:
        claims: dict[str, object] = {"sub": "U1", "iat": NOW, "exp": ends}
        return TokenPair(
            session_jwt=session,
            session=AuthSession.from_claims(claims),
            refresh=RefreshToken.from_claims(refresh, {**claims, "exp": NOW + 86_400}),
        )

    return build
