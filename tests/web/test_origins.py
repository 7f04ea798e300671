"""Who is trusted across sites: the public origin, cookies (CK-05), requests (2.7), WebSockets (WS-01)."""

from collections.abc import Callable
from typing import cast

import pytest
from starlette.types import Scope

from fastapi_descope._web.redirects import Origins
from fastapi_descope.errors import ConfigurationError
from fastapi_descope.settings import DescopeSettings, SettingValues
from tests.hostile.tables.cross_site import ORIGIN_HEADERS, TRUTH
from tests.hostile.tables.redirect_targets import OWN, TRUSTED

OriginsOf = Callable[..., Origins]


@pytest.fixture
def origins_of() -> OriginsOf:
    """The origins of an app, as the keywords configure it; without a public URL unless one is given."""

    def build(**values: object) -> Origins:
        given = {"project_id": "P2abcdefghijklmnopqrstuvwxyz", **values}
        return Origins(DescopeSettings(**cast("SettingValues", given)))

    return build


@pytest.fixture
def origins(origins_of: OriginsOf) -> Origins:
    """The origins of an app at https://app.example.com that trusts one other."""
    return origins_of(public_url=OWN, trusted_origins=(TRUSTED,))


def scope_of(*hosts: str, scheme: str = "https", **headers: str) -> Scope:
    """A request's scope; keywords are further headers, with underscores for dashes."""
    pairs = [("host", host) for host in hosts] + [
        (name.replace("_", "-"), value) for name, value in headers.items()
    ]
    raw = [(name.encode("ascii"), value.encode("latin-1")) for name, value in pairs]
    return {"type": "http", "scheme": scheme, "headers": raw}


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
def test_a_request_is_local_if_both_ends_are(
    origins: Origins, host: str, client: tuple[str, int] | None, *, local: bool
) -> None:
    """The developer at the same machine; a proxy in front gives itself away by the host or the client."""
    assert origins.is_local({**scope_of(host, scheme="http"), "client": client}) is local


AT_HOME = scope_of("app.example.com")


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
    origins_of: OriginsOf, hosts: list[str], scheme: str, origin: str
) -> None:
    """Ten minutes with the emulator need no DESCOPE_PUBLIC_URL."""
    assert origins_of().public_origin(scope_of(*hosts, scheme=scheme)) == origin


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
def test_st03_hp05_elsewhere_the_missing_setting_is_named(
    origins_of: OriginsOf, hosts: list[str], scheme: str
) -> None:
    """A Host that anybody can send is never believed (CB-12); the error says what to set (ST-03)."""
    with pytest.raises(ConfigurationError, match="Set DESCOPE_PUBLIC_URL to the address that browsers use"):
        origins_of().public_origin(scope_of(*hosts, scheme=scheme))


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", ["app.example.com", "evil.example", "localhost:8000", ""])
def test_cb12_hp01_a_configured_origin_stands_whatever_the_request_says(
    origins: Origins, host: str, scheme: str
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
    assert origins.public_origin(scope) == OWN
    assert origins.use_secure(scope) is True


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
def test_ck05_cookies_are_secure_unless_it_is_http_on_loopback(
    origins_of: OriginsOf, configuration: dict[str, object], host: str, scheme: str, *, secure: bool
) -> None:
    """The configuration decides; the request is asked on loopback alone."""
    scope = scope_of(host, scheme=scheme, x_forwarded_proto="http", x_forwarded_host="localhost")
    assert origins_of(**configuration).use_secure(scope) is secure


def test_a_scope_without_a_scheme_is_http(origins_of: OriginsOf) -> None:
    """The ASGI specification makes the scheme optional."""
    scope = scope_of("localhost:8000")
    del scope["scheme"]
    assert origins_of().public_origin(scope) == "http://localhost:8000"


CASES = [
    pytest.param(site, origin, verdict == "+", id=f"CS-01-site-{site!a}-origin-{name}")
    for site, row in TRUTH.items()
    for (name, origin), verdict in zip(ORIGIN_HEADERS.items(), row.split(), strict=True)
]


def request_from(site: str | None, origin: str | None, host: str = "app.example.com") -> Scope:
    """The scope of a request with these headers, where they are not None."""
    evidence = {"sec_fetch_site": site, "origin": origin}
    return scope_of(host, **{name: value for name, value in evidence.items() if value is not None})


@pytest.mark.parametrize(("site", "origin", "passes"), CASES)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_cs01_cs02_the_truth_table(
    origins: Origins, method: str, site: str | None, origin: str | None, *, passes: bool
) -> None:
    """An unsafe request passes from our own pages, from trusted origins, and from no browser at all."""
    scope = request_from(site, origin)
    assert origins.is_allowed(method, scope["headers"], scope) is passes


@pytest.mark.parametrize(("site", "origin"), [case.values[:2] for case in CASES])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_cs01_safe_methods_pass(origins: Origins, method: str, site: str | None, origin: str | None) -> None:
    """Reading is not forged, and a preflight must get its answer (CS-10)."""
    scope = request_from(site, origin)
    assert origins.is_allowed(method, scope["headers"], scope) is True


@pytest.mark.parametrize("method", ["get", "Get", "post", "TRACE", "CONNECT", "PROPFIND", "GET ", "", "X"])
def test_cs04_any_other_method_is_unsafe(origins: Origins, method: str) -> None:
    """Methods have a case, and an unknown one may do anything (CS-04)."""
    scope = request_from("cross-site", "https://evil.example")
    assert origins.is_allowed(method, scope["headers"], scope) is False


@pytest.mark.parametrize("name", ["x-http-method-override", "x-method-override", "x-http-method"])
def test_cs03_a_method_override_is_ignored(origins: Origins, name: str) -> None:
    """The method is the one on the request line (CS-03)."""
    scope = request_from("cross-site", "https://evil.example")
    headers = [*scope["headers"], (name.encode(), b"GET")]
    assert origins.is_allowed("POST", headers, scope) is False


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param((b"origin", OWN.encode()), id="origin-twice"),
        pytest.param((b"origin", TRUSTED.encode()), id="two-origins"),
        pytest.param((b"sec-fetch-site", b"same-origin"), id="site-twice"),
        pytest.param((b"sec-fetch-site", b"cross-site"), id="two-sites"),
    ],
)
def test_a_repeated_header_is_refused(origins: Origins, extra: tuple[bytes, bytes]) -> None:
    """No browser sends either header twice, even to say the same."""
    scope = request_from("same-origin", OWN)
    assert origins.is_allowed("POST", [*scope["headers"], extra], scope) is False
    assert origins.is_allowed("POST", iter(scope["headers"]), scope) is True


@pytest.mark.parametrize("host", ["evil.example", "localhost", "app.example.com"])
def test_cs06_host_and_origin_of_an_attacker_do_not_vouch_for_each_other(origins: Origins, host: str) -> None:
    """The Origin is compared with the configuration, not with Host (CS-06)."""
    scope = request_from(None, f"https://{host}", host)
    assert origins.is_allowed("POST", scope["headers"], scope) is (host == "app.example.com")


@pytest.mark.parametrize(
    ("host", "origin", "passes"),
    [
        pytest.param("localhost:8000", "https://localhost:8000", True, id="loopback-own"),
        pytest.param("localhost:8000", "http://localhost:8000", False, id="loopback-other-scheme"),
        pytest.param("localhost:8000", "https://localhost:3000", False, id="loopback-other-port"),
        pytest.param("localhost:8000", TRUSTED, True, id="loopback-trusted"),
        pytest.param("app.example.com", OWN, False, id="unknown-host-vouches-for-nothing"),
        pytest.param("app.example.com", TRUSTED, True, id="unknown-host-trusted"),
        pytest.param("app.example.com", None, True, id="no-browser"),
    ],
)
def test_cs_without_a_public_url_only_loopback_is_own(
    origins_of: OriginsOf, host: str, origin: str | None, *, passes: bool
) -> None:
    """Nothing raises for the missing setting: what cannot be compared is not trusted."""
    origins, scope = origins_of(trusted_origins=(TRUSTED,)), request_from(None, origin, host)
    assert origins.is_allowed("POST", scope["headers"], scope) is passes


@pytest.mark.parametrize(("name", "passes"), [(name, name in ("own", "trusted")) for name in ORIGIN_HEADERS])
@pytest.mark.parametrize("site", [None, "same-origin", "cross-site"])
def test_ws01_a_websocket_needs_a_known_origin(
    origins: Origins, site: str | None, name: str, *, passes: bool
) -> None:
    """Evil, ``null`` or missing: refused, whatever Sec-Fetch-Site says."""
    scope = request_from(site, ORIGIN_HEADERS[name])
    scope.update(type="websocket", scheme="wss")
    assert origins.is_websocket_allowed(scope["headers"], scope) is passes


def test_ws01_two_origins_are_none(origins: Origins) -> None:
    """A repeated header is refused here too."""
    headers = [(b"origin", OWN.encode())] * 2
    assert origins.is_websocket_allowed(headers, AT_HOME) is False


@pytest.mark.parametrize(
    ("scheme", "origin", "passes"),
    [
        pytest.param("ws", "http://localhost:8000", True, id="own"),
        pytest.param("wss", "https://localhost:8000", True, id="own-over-tls"),
        pytest.param("ws", "https://localhost:8000", False, id="other-scheme"),
        pytest.param("ws", "ws://localhost:8000", False, id="no-origin-has-this-scheme"),
        pytest.param("ws", "http://localhost:3000", False, id="other-port"),
    ],
)
def test_ws01_on_loopback_the_own_origin_is_inferred(
    origins_of: OriginsOf, scheme: str, origin: str, *, passes: bool
) -> None:
    """A page of the same development server may connect."""
    scope = scope_of("localhost:8000", scheme=scheme, origin=origin)
    assert origins_of().is_websocket_allowed(scope["headers"], scope) is passes
