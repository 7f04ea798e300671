"""Combinations of cookie settings."""

from collections.abc import Mapping

import pytest

from fastapi_descope.errors import ConfigurationError
from fastapi_descope.settings import DescopeSettings

HTTPS = {"public_url": "https://app.example.com"}
LOOPBACK = {"public_url": "http://localhost:8000"}


def configure(values: Mapping[str, object]) -> DescopeSettings:
    """Return settings with these values."""
    return DescopeSettings.model_validate({"project_id": "P" + "a" * 27, **values})


@pytest.mark.parametrize(
    "values",
    [
        {**HTTPS, "cookie_secure": True},
        {**LOOPBACK, "cookie_secure": False},
        {"cookie_secure": False},
        {**HTTPS, "cookie_samesite": "none"},
        {"cookie_samesite": "none"},
        {**LOOPBACK, "cookie_samesite": "none", "cookie_secure": True},
        {**LOOPBACK, "cookie_prefix": "__Host-", "cookie_secure": True},
        {**HTTPS, "cookie_prefix": "__Secure-", "cookie_domain": "example.com"},
        {**HTTPS, "cookie_domain": "app.example.com"},
        {"session_cookie_name": "DSX", "refresh_cookie_name": "DSQ"},
    ],
)
def test_consistent_cookie_settings_are_accepted(values: dict[str, object]) -> None:
    """Browsers keep cookies with these attributes."""
    settings = configure(values)

    assert {name: getattr(settings, name) for name in values} == values


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {**HTTPS, "cookie_secure": False},
            (
                "DESCOPE_COOKIE_SECURE: false contradicts DESCOPE_PUBLIC_URL, which is https;"
                " remove this setting"
            ),
        ),
        (
            {**LOOPBACK, "cookie_samesite": "none"},
            (
                "DESCOPE_COOKIE_SAMESITE: browsers reject SameSite=None without Secure;"
                " set DESCOPE_COOKIE_SECURE=true"
            ),
        ),
        (
            {"cookie_secure": False, "cookie_samesite": "none"},
            (
                "DESCOPE_COOKIE_SAMESITE: browsers reject SameSite=None without Secure;"
                " set DESCOPE_COOKIE_SECURE=true"
            ),
        ),
        (
            {**LOOPBACK, "cookie_prefix": "__Host-"},
            (
                "DESCOPE_COOKIE_PREFIX: browsers reject prefixed cookies without Secure;"
                " set DESCOPE_COOKIE_SECURE=true"
            ),
        ),
        (
            {"cookie_secure": False, "cookie_prefix": "__Secure-"},
            (
                "DESCOPE_COOKIE_PREFIX: browsers reject prefixed cookies without Secure;"
                " set DESCOPE_COOKIE_SECURE=true"
            ),
        ),
        (
            {**HTTPS, "cookie_prefix": "__Host-", "cookie_domain": "example.com"},
            (
                "DESCOPE_COOKIE_PREFIX: __Host- cookies have no domain;"
                " remove this setting or DESCOPE_COOKIE_DOMAIN"
            ),
        ),
        (
            {"session_cookie_name": "DSR"},
            (
                "DESCOPE_REFRESH_COOKIE_NAME: expected a name that differs from DESCOPE_SESSION_COOKIE_NAME,"
                " also before the first dot"
            ),
        ),
        (
            {"session_cookie_name": "DSR.1"},
            (
                "DESCOPE_REFRESH_COOKIE_NAME: expected a name that differs from DESCOPE_SESSION_COOKIE_NAME,"
                " also before the first dot"
            ),
        ),
        (
            {"session_cookie_name": "DSR", "refresh_cookie_name": "DS"},
            (
                "DESCOPE_REFRESH_COOKIE_NAME: DS is reserved for the session cookie,"
                " and DSR for the refresh cookie"
            ),
        ),
        (
            {"session_cookie_name": "DSR", "refresh_cookie_name": "DSX"},
            (
                "DESCOPE_REFRESH_COOKIE_NAME: DS is reserved for the session cookie,"
                " and DSR for the refresh cookie"
            ),
        ),
        (
            {"session_cookie_name": "DSX", "refresh_cookie_name": "DS"},
            (
                "DESCOPE_REFRESH_COOKIE_NAME: DS is reserved for the session cookie,"
                " and DSR for the refresh cookie"
            ),
        ),
        (
            {"cookie_domain": "example.com"},
            "DESCOPE_COOKIE_DOMAIN: requires DESCOPE_PUBLIC_URL, whose host it must be or contain",
        ),
    ],
)
def test_st06_contradictory_cookie_settings_are_refused(values: dict[str, object], message: str) -> None:
    """Browsers would reject or never send these cookies (ST-06)."""
    with pytest.raises(ConfigurationError) as caught:
        configure(values)

    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("public_url", "domain"),
    [
        ("https://app.example.com", "com"),
        ("https://app.example.com", ".com"),
        ("https://app.example.com", "p.example.com"),
        ("https://app.example.com", "x.app.example.com"),
        ("https://app.example.com", "evil.example"),
        ("https://app.example.com", "example.com."),
        ("https://app.example.com", "..example.com"),
        ("https://app.example.com", "example.com; Path=/evil"),
        ("https://app.example.com", "https://example.com"),
        ("http://localhost:8000", "localhost"),
        ("https://10.1.2.3", "10.1.2.3"),
        ("https://10.1.2.3", "2.3"),
    ],
)
def test_st06_cookie_domain_must_contain_the_public_host(public_url: str, domain: str) -> None:
    """A top-level domain, sibling, partial label, address or injected attribute is refused (CK-06)."""
    with pytest.raises(ConfigurationError) as caught:
        configure({"public_url": public_url, "cookie_domain": domain})

    assert str(caught.value) == (
        "DESCOPE_COOKIE_DOMAIN: expected the host of DESCOPE_PUBLIC_URL or a parent domain of it,"
        " but no top-level domain"
    )


def test_cookie_domain_is_normalised() -> None:
    """RFC 6265 ignores a leading dot and case."""
    assert configure({**HTTPS, "cookie_domain": ".Example.COM"}).cookie_domain == "example.com"


@pytest.mark.parametrize(
    ("values", "prefix"),
    [
        pytest.param({}, "", id="no public URL"),
        pytest.param(LOOPBACK, "", id="http"),
        pytest.param({"cookie_secure": False}, "", id="not secure"),
        pytest.param(HTTPS, "__Host-", id="https"),
        pytest.param({"public_url": "https://localhost:8000"}, "__Host-", id="https on loopback"),
        pytest.param({"cookie_secure": True}, "__Host-", id="secure"),
        pytest.param({**LOOPBACK, "cookie_secure": True}, "__Host-", id="secure over http"),
        pytest.param({**HTTPS, "cookie_domain": "example.com"}, "__Secure-", id="domain"),
        pytest.param(
            {"public_url": "https://example.com", "cookie_domain": "example.com"},
            "__Secure-",
            id="own domain",
        ),
        pytest.param({**HTTPS, "cookie_samesite": "none"}, "__Host-", id="SameSite=None"),
    ],
)
@pytest.mark.parametrize("given", [{}, {"cookie_prefix": "auto"}, {"cookie_prefix": "Auto"}])
def test_ck03_default_prefix_is_the_strictest_that_browsers_accept(
    values: dict[str, object], prefix: str, given: dict[str, object]
) -> None:
    """It is fixed at start-up, and never depends on a request (CK-03)."""
    settings = configure({**values, **given})

    assert settings.cookie_prefix == prefix
    assert (settings.session_cookie, settings.refresh_cookie) == (f"{prefix}DS", f"{prefix}DSR")


@pytest.mark.parametrize(
    "values", [HTTPS, {**HTTPS, "cookie_domain": "example.com"}, {"cookie_secure": True}]
)
def test_ck03_empty_prefix_restores_the_plain_names(values: dict[str, object]) -> None:
    """For front-end SDKs and other back ends that share the cookies."""
    assert configure({**values, "cookie_prefix": ""}).session_cookie == "DS"
