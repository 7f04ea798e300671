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


@pytest.mark.parametrize(
    ("value", "former"),
    [
        ("", ()),
        ("DS", ("DS",)),
        ("DS,DSR", ("DS", "DSR")),
        (["DS", "DSR"], ("DS", "DSR")),
        (" DS;   Domain=example.com ", ("DS; Domain=example.com",)),
        ("DS;domain=.Example.COM, DS", ("DS; Domain=example.com", "DS")),
        ("DS, DS", ("DS",)),
        ("__Secure-DS; Domain=example.com", ("__Secure-DS; Domain=example.com",)),
        ("__Secure-DS; Domain=app.example.com", ("__Secure-DS; Domain=app.example.com",)),
        ("__Host-OLD", ("__Host-OLD",)),
        ("a.b", ("a.b",)),
    ],
)
def test_ck13_former_cookies_are_normalised(value: object, former: tuple[str, ...]) -> None:
    """Each is a name, or a name with its domain as in Set-Cookie (CK-13)."""
    assert configure({**HTTPS, "former_cookies": value}).former_cookies == former


FORM = (
    "DESCOPE_FORMER_COOKIES: expected cookies of earlier settings, separated by commas, each a name with its"
    " prefix, and with its domain if it had one: DS, DSR, __Secure-DS; Domain=example.com"
)
FORMER_DOMAIN = (
    "DESCOPE_FORMER_COOKIES: a domain must be the host of DESCOPE_PUBLIC_URL or a parent domain of it;"
    " a __Host- cookie has none"
)
IN_USE = "DESCOPE_FORMER_COOKIES: lists a cookie that the current settings use"


@pytest.mark.parametrize(
    ("values", "former", "message"),
    [
        ({}, "a b", FORM),
        ({}, "DS; Path=/x", FORM),
        ({}, "DS; Domain=", FORM),
        ({}, "DS; Domain=example.com; Secure", FORM),
        ({}, "DS=x", FORM),
        ({}, "DS; Domain=example.com\r\nX: 1", FORM),
        ({}, "DS,", FORM),
        ({}, "DS; Domain=evil.example", FORMER_DOMAIN),
        ({}, "DS; Domain=com", FORMER_DOMAIN),
        ({}, "DS; Domain=p.example.com", FORMER_DOMAIN),
        ({"public_url": None}, "DS; Domain=example.com", FORMER_DOMAIN),
        ({"public_url": "https://10.1.2.3"}, "DS; Domain=2.3", FORMER_DOMAIN),
        ({}, "__Host-OLD; Domain=example.com", FORMER_DOMAIN),
        ({}, "__Host-DS", IN_USE),
        ({}, "__Host-DSR.0", IN_USE),
        ({"cookie_prefix": ""}, "DSR", IN_USE),
        ({"session_cookie_name": "DS.x"}, "__Host-DS", IN_USE),
        ({"cookie_domain": "example.com"}, "__Secure-DS; Domain=example.com", IN_USE),
    ],
)
def test_ck13_st06_former_cookies_that_make_no_sense_are_refused(
    values: dict[str, object], former: str, message: str
) -> None:
    """A cookie in use would be set and deleted, and a foreign domain cannot be reached (CK-13, ST-06)."""
    with pytest.raises(ConfigurationError) as caught:
        configure({**HTTPS, **values, "former_cookies": former})

    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("values", "former"),
    [
        ({"cookie_prefix": ""}, "DS; Domain=example.com"),
        ({"cookie_domain": "example.com"}, "__Secure-DS"),
        ({"cookie_domain": "app.example.com"}, "__Secure-DS; Domain=example.com"),
    ],
)
def test_ck13_former_cookie_may_have_the_current_name(values: dict[str, object], former: str) -> None:
    """With another domain it is another cookie (CK-13)."""
    assert configure({**HTTPS, **values, "former_cookies": former}).former_cookies == (former,)
