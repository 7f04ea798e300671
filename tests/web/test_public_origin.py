"""The public origin: configured, or inferred on loopback. It also decides the ``Secure`` flag."""

import re
from collections.abc import Callable

import pytest

from fastapi_descope._web.cookies import SessionCookies
from fastapi_descope._web.public_origin import PublicOrigin
from fastapi_descope.errors import ConfigurationError
from fastapi_descope.settings import DescopeSettings
from tests.helpers.scopes import scope_of
from tests.hostile.tables.redirect_targets import OWN

SettingsOf = Callable[..., DescopeSettings]

_ADVICE = (
    "Set DESCOPE_PUBLIC_URL to the address that browsers use, such as https://app.example.com."
    " Without it, only requests of this machine that come through no proxy are served"
)


@pytest.fixture
def settings_of() -> SettingsOf:
    """Build settings from keywords, without a public URL unless one is given."""

    def build(**values: object) -> DescopeSettings:
        given = {"project_id": "P2abcdefghijklmnopqrstuvwxyz", **values}
        return DescopeSettings(**given)  # type: ignore[arg-type] # any setting, by keyword

    return build


@pytest.mark.parametrize(
    ("host", "client", "local"),
    [
        ("localhost:8000", ("127.0.0.1", 50_000), True),
        ("[::1]:8000", ("::1", 50_000), True),
        ("app.example.com", ("127.0.0.1", 50_000), False),
        ("localhost:8000", ("203.0.113.9", 50_000), False),
        ("localhost:8000", ("2001:db8::9", 50_000), False),
        ("localhost:8000", None, False),
        ("localhost:8000", ("", 0), False),
    ],
)
def test_a_request_is_loopback_if_client_and_host_are(
    settings_of: SettingsOf, host: str, client: tuple[str, int] | None, *, local: bool
) -> None:
    """A developer on the same machine. A proxy shows up in the host or the client address."""
    public_origin = PublicOrigin(settings_of(public_url=OWN))
    assert public_origin.is_loopback_request({**scope_of(host, scheme="http"), "client": client}) is local


@pytest.mark.parametrize(
    ("hosts", "local"),
    [
        (["localhost:8000"], True),
        (["[::1]"], True),
        (["app.example.com"], False),
        (["localhost.example.com"], False),
        (["a b"], False),
        (["localhost", "localhost"], False),
        ([], False),
    ],
)
def test_another_local_server_has_a_single_name_of_this_machine(
    settings_of: SettingsOf, hosts: list[str], *, local: bool
) -> None:
    """The client is not asked: a proxy on the same machine may be between."""
    public_origin = PublicOrigin(settings_of(public_url=OWN))
    scope = {**scope_of(*hosts), "client": ("203.0.113.9", 50_000)}
    assert public_origin.is_other_local_server(scope) is local


@pytest.mark.parametrize(
    ("host", "other"), [("localhost:8000", False), ("[::1]:8000", False), ("127.0.0.1:9000", True)]
)
def test_one_port_of_this_machine_is_one_server(settings_of: SettingsOf, host: str, *, other: bool) -> None:
    """By whichever of its names."""
    public_origin = PublicOrigin(settings_of(public_url="http://127.0.0.1:8000"))
    assert public_origin.is_other_local_server(scope_of(host)) is other


@pytest.mark.parametrize(
    ("hosts", "scheme", "origin"),
    [
        pytest.param(["localhost"], "http", "http://localhost", id="localhost"),
        pytest.param(["localhost:8000"], "http", "http://localhost:8000", id="port"),
        pytest.param(["localhost:80"], "http", "http://localhost", id="default-port"),
        pytest.param(["localhost:443"], "https", "https://localhost", id="default-tls-port"),
        pytest.param(["LocalHost:8000"], "http", "http://localhost:8000", id="upper-case"),
        pytest.param(["127.0.0.1:8000"], "http", "http://127.0.0.1:8000", id="address"),
        pytest.param(["127.8.9.1"], "https", "https://127.8.9.1", id="127-slash-8"),
        pytest.param(["[::1]:8000"], "http", "http://[::1]:8000", id="ipv6"),
        pytest.param(["localhost:8000"], "ws", "http://localhost:8000", id="websocket"),
        pytest.param(["localhost:8000"], "wss", "https://localhost:8000", id="secure-websocket"),
    ],
)
def test_the_public_origin_is_inferred_on_loopback(
    settings_of: SettingsOf, hosts: list[str], scheme: str, origin: str
) -> None:
    """The emulator needs no DESCOPE_PUBLIC_URL."""
    assert PublicOrigin(settings_of()).require(scope_of(*hosts, scheme=scheme)) == origin


@pytest.mark.parametrize(
    ("hosts", "scheme"),
    [
        pytest.param(["app.example.com"], "https", id="name"),
        pytest.param([], "http", id="no-host"),
        pytest.param([""], "http", id="empty-host"),
        pytest.param(["localhost", "localhost"], "http", id="two-hosts"),
        pytest.param(["localhost.evil.example"], "http", id="suffix"),
        pytest.param(["evil-localhost"], "http", id="prefix"),
        pytest.param(["app.localhost"], "http", id="sub-domain"),
        pytest.param(["localhost@evil.example"], "http", id="userinfo"),
        pytest.param(["localhost/evil"], "http", id="HP-05-path"),
        pytest.param(["localhost?x"], "http", id="HP-05-query"),
        pytest.param(["localhost evil"], "http", id="HP-05-space"),
        pytest.param(["localhost:x"], "http", id="port-is-no-number"),
        pytest.param(["localhost:70000"], "http", id="port-is-none"),
        pytest.param(["localhost\xe9"], "http", id="not-ascii"),
        pytest.param(["127.1"], "http", id="short-address"),
        pytest.param(["2130706433"], "http", id="decimal-address"),
        pytest.param(["0x7f.0.0.1"], "http", id="hex-address"),
        pytest.param(["127.0.0.1.evil.example"], "http", id="address-as-label"),
        pytest.param(["0.0.0.0"], "http", id="any-address"),  # noqa: S104 - a Host header, nothing is bound
        pytest.param(["192.168.0.1"], "http", id="private-address"),
        pytest.param(["169.254.169.254"], "http", id="link-local-address"),
        pytest.param(["[::]"], "http", id="any-ipv6"),
        pytest.param(["localhost"], "gopher", id="unknown-scheme"),
    ],
)
def test_st03_hp05_off_loopback_the_error_names_the_setting(
    settings_of: SettingsOf, hosts: list[str], scheme: str
) -> None:
    """A Host that any client can send is never used (CB-12). The error names the setting (ST-03)."""
    with pytest.raises(ConfigurationError, match=f"^{re.escape(_ADVICE)}$"):
        PublicOrigin(settings_of()).require(scope_of(*hosts, scheme=scheme))


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", ["app.example.com", "evil.example", "localhost:8000", ""])
def test_cb12_hp01_a_configured_origin_ignores_the_request(
    settings_of: SettingsOf, host: str, scheme: str
) -> None:
    """Host and proxy headers of an attacker change nothing (HP-01)."""
    scope = scope_of(
        host,
        scheme=scheme,
        x_forwarded_host="evil.example",
        x_forwarded_proto="http",
        forwarded="host=evil.example;proto=http",
        x_original_url="//evil.example",
    )
    settings = settings_of(public_url=OWN)
    assert PublicOrigin(settings).require(scope) == OWN
    assert SessionCookies(settings).use_secure(scope) is True


@pytest.mark.parametrize(
    ("configuration", "host", "scheme", "secure"),
    [
        pytest.param({"public_url": OWN}, "localhost", "http", True, id="CK-05-https-behind-a-proxy"),
        pytest.param({"public_url": "http://localhost:8000"}, "localhost:8000", "http", False, id="dev"),
        pytest.param({"public_url": "http://localhost"}, "app.example.com", "https", False, id="fixed-dev"),
        pytest.param({}, "localhost:8000", "http", False, id="inferred-http"),
        pytest.param({}, "localhost:8000", "ws", False, id="inferred-websocket"),
        pytest.param({}, "127.0.0.1", "https", True, id="inferred-https"),
        pytest.param({}, "localhost", "wss", True, id="inferred-secure-websocket"),
        pytest.param({}, "app.example.com", "http", True, id="unknown-host-over-http"),
        pytest.param({}, "", "http", True, id="no-host"),
        pytest.param({"cookie_secure": True}, "localhost", "http", True, id="forced-on"),
        pytest.param({"cookie_secure": False}, "app.example.com", "https", False, id="forced-off"),
        pytest.param(
            {"cookie_secure": True, "public_url": "http://localhost"}, "localhost", "http", True, id="forced"
        ),
    ],
)
def test_ck05_cookies_are_secure_except_for_http_on_loopback(
    settings_of: SettingsOf, configuration: dict[str, object], host: str, scheme: str, *, secure: bool
) -> None:
    """The configuration decides; the request only in development."""
    assert SessionCookies(settings_of(**configuration)).use_secure(scope_of(host, scheme=scheme)) is secure


PROXIED = {
    "HTTP/1.0, as nginx with a bare proxy_pass": {"http_version": "1.0"},
    "HTTP/0.9": {"http_version": "0.9"},
    "no client, as behind a Unix socket": {"client": None},
    "another machine": {"client": ("203.0.113.9", 50_000)},
    "another machine over IPv6": {"client": ("2001:db8::9", 50_000)},
    "a container network": {"client": ("172.17.0.1", 50_000)},
    "a name": {"client": ("testclient", 50_000)},
    **{
        f"header {name}": {"headers": [(b"host", b"localhost:8000"), (name.encode(), b"")]}
        for name in (
            *(
                "forwarded",
                "via",
                "x-real-ip",
                "x-client-ip",
                "true-client-ip",
                "cf-connecting-ip",
                "x-scheme",
            ),
            *("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "x-forwarded"),
            *("x-forwarded-prefix", "x-original-host", "x-envoy-external-address", "fastly-client-ip"),
            *("x-arr-ssl", "x-azure-clientip", "front-end-https", "x-rewrite-url", "x-cluster-client-ip"),
        )
    },
}


@pytest.mark.parametrize("change", PROXIED.values(), ids=PROXIED)
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_st03_ck05_behind_a_proxy_no_origin_is_inferred(
    settings_of: SettingsOf, change: dict[str, object], kind: str
) -> None:
    """A proxy may send a loopback Host. The cookies are Secure, and the error names the setting."""
    scope = {**scope_of("localhost:8000", scheme="http" if kind == "http" else "ws"), "type": kind, **change}
    public_origin = PublicOrigin(settings_of())

    assert public_origin.get(scope) is None
    assert public_origin.is_loopback_request(scope) is False
    assert SessionCookies(settings_of()).use_secure(scope) is True
    with pytest.raises(ConfigurationError, match="that come through no proxy"):
        public_origin.require(scope)


@pytest.mark.parametrize("version", ["1.1", "2", "3", None])
@pytest.mark.parametrize("client", ["127.0.0.1", "127.8.9.1", "::1"])
def test_direct_request_of_this_machine_has_an_origin(
    settings_of: SettingsOf, version: str | None, client: str
) -> None:
    """A browser's headers do not look like a proxy's. A WebSocket scope may have no version."""
    scope = scope_of("localhost:8000", scheme="http", sec_fetch_site="none", x_requested_with="fetch")
    scope["client"] = (client, 50_000)
    scope["http_version"] = version
    if version is None:
        del scope["http_version"]
    assert PublicOrigin(settings_of()).get(scope) == "http://localhost:8000"


def test_a_scope_without_a_scheme_counts_as_http(settings_of: SettingsOf) -> None:
    """The ASGI specification makes the scheme optional."""
    scope = scope_of("localhost:8000")
    del scope["scheme"]
    assert PublicOrigin(settings_of()).require(scope) == "http://localhost:8000"
