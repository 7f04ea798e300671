"""The project's cookie settings are compared with the app's; the app's apply."""

import httpx
import pytest

from fastapi_descope import DescopeSettings
from fastapi_descope._auth.core_builder import CoreBuilder
from fastapi_descope._auth.project_cookies import CookieComparison, CookieDifference
from fastapi_descope._refresh.store import RefreshResult
from fastapi_descope.emulator import CookieSettings, Emulator, Project
from fastapi_descope.events import EventBus
from tests.helpers.app_harness import IDP
from tests.helpers.emulator import signing_key

PROJECT = Project().project_id


def differences(response: dict[str, object], **settings: object) -> tuple[CookieDifference, ...]:
    """Return the differences between the fields of a response and an app at https://app.example.com."""
    values = {"project_id": PROJECT, "public_url": "https://app.example.com", **settings}
    return CookieComparison(DescopeSettings(**values)).differences(response)  # type: ignore[arg-type] # any setting


def variables(response: dict[str, object], **settings: object) -> dict[str, str]:
    """Return the variables to set."""
    return {
        name: value for each in differences(response, **settings) for name, value in each.variables.items()
    }


@pytest.mark.parametrize(
    ("response", "settings"),
    [
        pytest.param({}, {}, id="nothing is sent"),
        pytest.param({"cookieName": "", "sessionCookieName": "", "cookieDomain": ""}, {}, id="empty"),
        pytest.param({"cookieName": "DSR", "sessionCookieName": "DS"}, {}, id="Descope's names"),
        pytest.param(
            {"cookieName": "DSR", "sessionCookieName": "DS"},
            {"session_cookie_name": "sid", "refresh_cookie_name": "rid"},
            id="Descope's names, which tokens may always have",
        ),
        pytest.param(
            {"cookieName": "rid", "sessionCookieName": "sid"},
            {"session_cookie_name": "sid", "refresh_cookie_name": "rid"},
            id="the configured names",
        ),
        pytest.param(
            {"cookieName": "__Host-rid", "sessionCookieName": "__Host-sid"},
            {"session_cookie_name": "sid", "refresh_cookie_name": "rid", "cookie_prefix": "__Host-"},
            id="the configured names with their prefix",
        ),
        pytest.param(
            {"cookieDomain": ".Example.com", "sessionCookieDomain": "example.com"},
            {"cookie_domain": "example.com"},
            id="the configured domain",
        ),
        pytest.param({"cookieDomain": "auth.descope.com"}, {}, id="a domain of another site"),
        pytest.param({"cookieDomain": "com"}, {}, id="a top-level domain"),
        pytest.param({"cookieDomain": "example.com"}, {"public_url": None}, id="no public URL"),
        pytest.param({"cookiePath": "/auth", "cookieMaxAge": 60}, {}, id="fields without a setting"),
        pytest.param(
            {"cookieName": "a b", "sessionCookieName": ["x"], "cookieDomain": "example.com\n"},
            {},
            id="malformed values",
        ),
    ],
)
def test_no_difference(response: dict[str, object], settings: dict[str, object]) -> None:
    """There is nothing to set."""
    assert differences(response, **settings) == ()


@pytest.mark.parametrize(
    ("response", "settings", "expected"),
    [
        ({"sessionCookieName": "sid"}, {}, {"DESCOPE_SESSION_COOKIE_NAME": "sid"}),
        (
            {"cookieName": "rid", "sessionCookieName": "DS"},
            {"refresh_cookie_name": "other"},
            {"DESCOPE_REFRESH_COOKIE_NAME": "rid"},
        ),
        (
            {"sessionCookieName": "__Secure-sid"},
            {},
            {"DESCOPE_COOKIE_PREFIX": "__Secure-", "DESCOPE_SESSION_COOKIE_NAME": "sid"},
        ),
        ({"cookieDomain": "Example.com"}, {}, {"DESCOPE_COOKIE_DOMAIN": "example.com"}),
        (
            {"cookieDomain": "other.net", "sessionCookieDomain": "app.example.com"},
            {"cookie_domain": "example.com"},
            {"DESCOPE_COOKIE_DOMAIN": "app.example.com"},
        ),
    ],
)
def test_a_difference_names_the_variables_and_values(
    response: dict[str, object], settings: dict[str, object], expected: dict[str, str]
) -> None:
    """The message has the same variables, and what the app has now."""
    (difference,) = differences(response, **settings)

    assert difference.variables == expected
    assert " and ".join(f"{name}={value}" for name, value in expected.items()) in difference.message
    assert difference.is_name is ("DESCOPE_COOKIE_DOMAIN" not in expected)


def test_all_differences_are_found() -> None:
    """Both names and the domain, once for two equal domains."""
    response: dict[str, object] = {
        "sessionCookieName": "sid",
        "cookieName": "rid",
        "sessionCookieDomain": "example.com",
        "cookieDomain": "example.com",
    }
    assert variables(response) == {
        "DESCOPE_SESSION_COOKIE_NAME": "sid",
        "DESCOPE_REFRESH_COOKIE_NAME": "rid",
        "DESCOPE_COOKIE_DOMAIN": "example.com",
    }
    assert len(differences(response)) == 3


def test_only_names_can_fail_a_login() -> None:
    """The error of a login does not name the domain."""
    comparison = CookieComparison(DescopeSettings(project_id=PROJECT, public_url="https://app.example.com"))
    domain = {"cookieDomain": "example.com"}

    error = comparison.rename_error({"cookieName": "rid", **domain})

    assert error is not None
    assert error.variables == {"DESCOPE_REFRESH_COOKIE_NAME": "rid"}
    assert comparison.rename_error(domain) is None


def test_a_difference_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """One line for each value; another value is another line."""
    comparison = CookieComparison(DescopeSettings(project_id=PROJECT, public_url="https://app.example.com"))

    for domain in ("example.com", "example.com", "app.example.com", "example.com"):
        comparison.warn({"cookieDomain": domain})

    assert [record.getMessage().partition(": set ")[2].partition(" ")[0] for record in caplog.records] == [
        "DESCOPE_COOKIE_DOMAIN=example.com",
        "DESCOPE_COOKIE_DOMAIN=app.example.com",
    ]


@pytest.mark.anyio
async def test_tokens_with_the_prefixed_names_are_verified() -> None:
    """The variables of a project whose names have a prefix lead to valid tokens."""
    emulator = Emulator(
        Project(cookies=CookieSettings("__Host-sid", "__Host-rid")), base_url=IDP, signing_key=signing_key()
    )
    settings = DescopeSettings(
        project_id=PROJECT,
        base_url=IDP,
        public_url="https://app.example.com",
        cookie_prefix="__Host-",
        session_cookie_name="sid",
        refresh_cookie_name="rid",
    )
    parts = CoreBuilder(settings, EventBus(), transport=httpx.ASGITransport(emulator))
    issued = emulator.issue("ada@acme.example", "acme")

    pair = await parts.tokens.verify(RefreshResult(issued.session_jwt, issued.refresh_jwt))

    assert pair.session.tenant_id == "acme"
