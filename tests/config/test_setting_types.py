"""Accepted and refused values of each setting, as keyword and as variable."""

from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, TypeAdapter, ValidationError

from fastapi_descope._config.setting_types import LocalPath
from fastapi_descope.errors import ConfigurationError
from fastapi_descope.settings import DescopeSettings

PROJECT = "P" + "a" * 27

Configure = Callable[[Mapping[str, object]], DescopeSettings]


@pytest.fixture(params=["keyword", "variable"])
def configure(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Configure:
    """Return a function that creates settings from keywords, or from variables."""

    def by_keyword(values: Mapping[str, object]) -> DescopeSettings:
        return DescopeSettings.model_validate({"project_id": PROJECT, **values})

    def by_variable(values: Mapping[str, object]) -> DescopeSettings:
        for name, value in {"project_id": PROJECT, **values}.items():
            monkeypatch.setenv(f"DESCOPE_{name.upper()}", str(value))
        return DescopeSettings()

    return by_keyword if request.param == "keyword" else by_variable


ACCEPTED: list[tuple[str, str, object]] = [
    ("project_id", "P" + "a" * 20, "P" + "a" * 20),
    ("project_id", "P" + "Z9" * 32, "P" + "Z9" * 32),
    ("base_url", "https://auth.example.com", "https://auth.example.com"),
    ("base_url", "https://auth.example.com/", "https://auth.example.com"),
    ("base_url", "HTTPS://Auth.Example.com:443", "https://auth.example.com"),
    ("base_url", "https://auth.example.com:8443", "https://auth.example.com:8443"),
    ("base_url", "http://localhost:8099", "http://localhost:8099"),
    ("base_url", "http://127.0.0.1:8099", "http://127.0.0.1:8099"),
    ("base_url", "https://127.8.9.1", "https://127.8.9.1"),
    ("base_url", "http://[::1]:8099", "http://[::1]:8099"),
    ("public_url", "https://app.example.com", "https://app.example.com"),
    ("public_url", "https://app.example.com/", "https://app.example.com"),
    ("public_url", "https://App.example.com:443", "https://app.example.com"),
    ("public_url", "http://localhost:8000/", "http://localhost:8000"),
    ("public_url", "https://10.0.0.5", "https://10.0.0.5"),
    ("login_methods", "sso", ("sso",)),
    ("login_methods", "google, sso ,google", ("google", "sso")),
    ("login_methods", "notp,oauth:Acme-ID_2,microsoft", ("notp", "oauth:Acme-ID_2", "microsoft")),
    ("login_path", "/welcome", "/welcome"),
    ("login_methods", "flow,sso", ("flow", "sso")),
    ("sign_up", "true", True),
    ("sign_up", "false", False),
    ("default_tenant", "T2abc", "T2abc"),
    ("default_tenant", "o'brien@acme.example", "o'brien@acme.example"),
    ("auth_management_key", "K2abc+/=", SecretStr("K2abc+/=")),
    ("audience", "my-app", "my-app"),
    ("extra_issuers", "", ()),
    ("extra_issuers", "a , https://b/c", ("a", "https://b/c")),
    ("first_party_clients", "P2a , TPA2b", ("P2a", "TPA2b")),
    ("trusted_origins", "", ()),
    ("trusted_origins", "https://a.example", ("https://a.example",)),
    (
        "trusted_origins",
        "https://A.example:443, https://a.example,http://localhost:3000",
        ("https://a.example", "http://localhost:3000"),
    ),
    ("cookie_secure", "auto", None),
    ("cookie_secure", "Auto", None),
    ("cookie_secure", "true", True),
    ("cookie_secure", "0", False),
    ("cookie_samesite", "Strict", "strict"),
    ("cookie_samesite", "none", "none"),
    ("cookie_prefix", "auto", ""),
    ("cookie_prefix", "", ""),
    ("cookie_prefix", "__Host-", "__Host-"),
    ("cookie_prefix", "__Secure-", "__Secure-"),
    ("session_cookie_name", "my_session.v2", "my_session.v2"),
    ("session_cookie_name", "a" * 64, "a" * 64),
    ("refresh_cookie_name", "!#$%&'*+-.^_`|~aZ09", "!#$%&'*+-.^_`|~aZ09"),
    ("post_login_path", "/home?tab=1#top", "/home?tab=1#top"),
    ("post_login_path", "/a/.well-known/..x", "/a/.well-known/..x"),
    ("post_logout_path", "/" + "a" * 2047, "/" + "a" * 2047),
    ("leeway", "0", 0),
    ("leeway", "60", 60),
    ("refresh_ahead", "3600", 3600),
    ("refresh_grace", "300", 300),
    ("revocation_ttl", "3600", 3600),
    ("revocation_ttl", "31536000", 31_536_000),
    ("webhook_secret", "a" * 16, SecretStr("a" * 16)),
    ("webhook_secret", "!~" * 256, SecretStr("!~" * 256)),
    ("upstream_timeout", "0.1", 0.1),
    ("upstream_timeout", "60", 60.0),
    ("jwks_max_stale", "60", 60),
    ("jwks_max_stale", "604800", 604800),
    ("token_cache_size", "0", 0),
    ("no_store", "true", True),
    ("no_store", "false", False),
    ("websocket_close_code", "3000", 3000),
    ("websocket_close_code", "4999", 4999),
    ("token_cache_size", "100000", 100000),
    ("redis_url", "redis://localhost:6379/0", SecretStr("redis://localhost:6379/0")),
    ("redis_url", "rediss://me:p%40@[::1]:1/0", SecretStr("rediss://me:p%40@[::1]:1/0")),
    ("redis_url", "unix:///run/redis.sock?db=1", SecretStr("unix:///run/redis.sock?db=1")),
    ("redis_url", "rediss://u:p@cache.example", SecretStr("rediss://u:p@cache.example")),
    ("redis_url", "unix:///run/redis.sock", SecretStr("unix:///run/redis.sock")),
    ("redis_url", "redis+cluster://a:1,[::1]:2", SecretStr("redis+cluster://a:1,[::1]:2")),
    ("redis_url", "rediss+sentinel://:p@a,b:1/main/0", SecretStr("rediss+sentinel://:p@a,b:1/main/0")),
]

REFUSED: dict[str, list[str]] = {
    "project_id": [
        "",
        " ",
        "P",
        "P" + "a" * 19,
        "P" + "a" * 65,
        "p" + "a" * 27,
        "../x",
        "P/..",
        f"{PROJECT}\n",
        f" {PROJECT}",
        "P" + "a" * 26 + "/",
        "P" + "a" * 26 + "\u00e9",
        "P" + "a" * 26 + "\u0663",
    ],
    "base_url": [
        "",
        "http://api.descope.com",
        "http://10.0.0.5",
        "https://10.0.0.5",
        "http://emulator",
        "https://u:p@api.descope.com",
        "https://api.descope.com?a",
        "https://api.descope.com#a",
        "https://api.descope.com/v1",
        "https://api.descope.com//",
        " https://api.descope.com",
        "https://api.descope.com ",
        "https://api.desc\u043epe.com",
        "api.descope.com",
        "https://[2001:db8::1]",
    ],
    "public_url": [
        "",
        "http://app.example.com",
        "https://app.example.com/x",
        "https://app.example.com/?x",
        "app.example",
        "https://app.example.com//",
        "*",
        "null",
        "HTTPS://app.example.com/x/",
    ],
    "default_tenant": ["", "a b", "a\r\nb", "\u00e9", "a" * 129, "a@", "a@b@c"],
    "auth_management_key": ["", "a b", "a:b", "a\r\nx: y", "\u00e9"],
    "audience": ["", " "],
    "extra_issuers": [",", "a,", "a,,b"],
    "first_party_clients": [",", "a,", "a,,b"],
    "trusted_origins": [
        "https://a.example/",
        "https://a.example/x",
        "a.example",
        "null",
        "*",
        "https://*.a.example",
        "http://a.example",
        "https://a.example,",
        "https://a.example https://b.example",
    ],
    "cookie_secure": ["", "maybe", "2"],
    "cookie_samesite": ["", "laxx"],
    "cookie_prefix": ["__host-", "Host", "__Http-", "automatic", "none"],
    "session_cookie_name": [
        "",
        "a b",
        "a;b",
        "a=b",
        "a,b",
        '"a"',
        "\u00e9",
        "a" * 65,
        "__Host-DS",
        "__secure-DS",
    ],
    "refresh_cookie_name": ["", "a\n", "__HOST-DSR", "DS", "DS.0"],
    "post_login_path": [
        "",
        "home",
        "//evil.example",
        "/a//b",
        "/\\evil.example",
        "https://evil.example",
        "/a b",
        "/a\tb",
        "/a\r\nb",
        "/\u00e9",
        "/..//evil.example",
        "/a/../b",
        "/.",
        "/" + "a" * 2048,
        "/%2Fevil.example",
        "/%5cevil.example",
        "/a%2e%2E/b",
        "/%252f",
        "/%00",
    ],
    "post_logout_path": ["javascript:alert(1)", "?x", "#x"],
    "login_methods": [
        "",
        ",",
        "SSO",
        "Google",
        "sso google",
        "friendster",
        "magic-link",
        "oauth",
        "oauth:",
        "oauth:-x",
        "flow",
        "oauth:a/b",
        "oauth:a.b",
        "oauth:a b",
        "oauth:é",
        "oauth:" + "a" * 65,
    ],
    "login_path": ["welcome", "//evil.example", "/welcome?x=1", "/welcome#x"],
    "sign_up": ["", "2", "maybe", "None", "TRUEISH"],
    "leeway": ["", "-1", "61", "1.5", "x", "True", "inf"],
    "refresh_ahead": ["-1", "3601"],
    "refresh_grace": ["-1", "301"],
    "revocation_ttl": ["3599", "31536001"],
    "webhook_secret": ["", "a" * 15, "a" * 513, "a secret with spaces", "\u00e9" * 16],
    "upstream_timeout": ["0", "-1", "60.1", "inf", "nan", "False", "x"],
    "jwks_max_stale": ["59", "604801"],
    "token_cache_size": ["-1", "100001"],
    "no_store": ["", "2", "maybe", "None"],
    "websocket_close_code": ["1000", "2999", "5000"],
    "redis_url": [
        "",
        "localhost:6379",
        "http://localhost",
        "rediss:",
        "redis://a b",
        "rediss:/a",
        "redis://",
        "redis:///0",
        "redis://:6379",
        "redis://?db=1",
        "redis://user:pw@/0",
        "redis://a,b",
        "redis+sentinel://a,b",
        "redis+sentinel://a/",
        "redis+cluster://a,,b",
        "redis+proxy://a",
        "unix://",
    ],
}


@pytest.mark.parametrize(("name", "text", "value"), ACCEPTED)
def test_valid_value_is_accepted_and_normalised(
    configure: Configure, name: str, text: str, value: object
) -> None:
    """The result is the normalised value."""
    assert getattr(configure({name: text}), name) == value


@pytest.mark.parametrize(("name", "text"), [(name, text) for name in REFUSED for text in REFUSED[name]])
def test_st01_st02_st07_cs07_invalid_value_is_refused(configure: Configure, name: str, text: str) -> None:
    """The message is about this variable only (CS-07, ST-01, ST-02, ST-07)."""
    with pytest.raises(ConfigurationError) as caught:
        configure({name: text})

    assert [line.partition(": ")[0] for line in str(caught.value).splitlines()] == [f"DESCOPE_{name.upper()}"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("project_id", None),
        ("project_id", 7),
        ("public_url", 7),
        ("leeway", True),
        ("upstream_timeout", True),
        ("upstream_timeout", float("inf")),
        ("upstream_timeout", float("nan")),
        ("token_cache_size", False),
        ("trusted_origins", 7),
        ("trusted_origins", ["https://a.example", 7]),
        ("extra_issuers", [""]),
        ("cookie_samesite", None),
        ("redis_url", 7),
    ],
)
def test_st07_wrong_type_is_refused(name: str, value: object) -> None:
    """A bool is not a number."""
    with pytest.raises(ConfigurationError, match=f"^DESCOPE_{name.upper()}: expected "):
        DescopeSettings.model_validate({"project_id": PROJECT, name: value})


@given(st.from_regex(r"/[!-~]{0,40}|[\x00-\U0010ffff]{0,20}", fullmatch=True))
def test_accepted_path_stays_in_the_app(text: str) -> None:
    """It starts with exactly one slash and is visible ASCII."""
    try:
        path = TypeAdapter(LocalPath).validate_python(text)
    except ValidationError:
        return
    assert path == text
    assert path.isascii()
    assert path.isprintable()
    assert path.startswith("/")
    assert not {"//", "\\", " "} & {path[i : i + n] for i in range(len(path)) for n in (1, 2)}
