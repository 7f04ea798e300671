"""Cross-origin protection: requests (requirements 2.7) and WebSockets (WS-01) that may use cookies."""

from collections.abc import Callable

import pytest
from starlette.types import Scope

from fastapi_descope._web.csrf import CrossOriginProtection
from fastapi_descope.settings import DescopeSettings
from tests.helpers.scopes import scope_of
from tests.hostile.tables.cross_site import ORIGIN_HEADERS, TRUTH
from tests.hostile.tables.redirect_targets import OWN, TRUSTED

ProtectionOf = Callable[..., CrossOriginProtection]


@pytest.fixture
def protection_of() -> ProtectionOf:
    """Build the protection from keyword settings, without a public URL unless one is given."""

    def build(**values: object) -> CrossOriginProtection:
        given = {"project_id": "P2abcdefghijklmnopqrstuvwxyz", **values}
        settings = DescopeSettings(**given)  # type: ignore[arg-type] # any setting, by keyword
        return CrossOriginProtection(settings)

    return build


@pytest.fixture
def protection(protection_of: ProtectionOf) -> CrossOriginProtection:
    """The protection of an app at https://app.example.com that trusts one other origin."""
    return protection_of(public_url=OWN, trusted_origins=(TRUSTED,))


CASES = [
    pytest.param(site, origin, verdict == "+", id=f"CS-01-site-{site!a}-origin-{name}")
    for site, row in TRUTH.items()
    for (name, origin), verdict in zip(ORIGIN_HEADERS.items(), row.split(), strict=True)
]


def request_from(
    site: str | None, origin: str | None, host: str = "app.example.com", *, method: str = "POST"
) -> Scope:
    """Return the scope of a request with these headers, where they are not None."""
    evidence = {"sec_fetch_site": site, "origin": origin}
    scope = scope_of(host, **{name: value for name, value in evidence.items() if value is not None})
    return {**scope, "method": method}


@pytest.mark.parametrize(("site", "origin", "passes"), CASES)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_cs01_cs02_the_truth_table(
    protection: CrossOriginProtection, method: str, site: str | None, origin: str | None, *, passes: bool
) -> None:
    """An unsafe request passes from our own pages, from trusted origins, and from non-browsers."""
    assert protection.is_allowed(request_from(site, origin, method=method)) is passes


@pytest.mark.parametrize(("site", "origin"), [case.values[:2] for case in CASES])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_cs01_safe_methods_pass(
    protection: CrossOriginProtection, method: str, site: str | None, origin: str | None
) -> None:
    """They change nothing, and a preflight must be answered (CS-10)."""
    assert protection.is_allowed(request_from(site, origin, method=method)) is True


@pytest.mark.parametrize("method", ["get", "Get", "post", "TRACE", "CONNECT", "PROPFIND", "GET ", "", "X"])
def test_cs04_any_other_method_is_unsafe(protection: CrossOriginProtection, method: str) -> None:
    """Methods are case-sensitive, and an unknown method may change anything (CS-04)."""
    scope = request_from("cross-site", "https://evil.example", method=method)
    assert protection.is_allowed(scope) is False


@pytest.mark.parametrize("name", ["x-http-method-override", "x-method-override", "x-http-method"])
def test_cs03_a_method_override_is_ignored(protection: CrossOriginProtection, name: str) -> None:
    """The method of the request line counts (CS-03)."""
    scope = request_from("cross-site", "https://evil.example")
    scope["headers"] = [*scope["headers"], (name.encode(), b"GET")]
    assert protection.is_allowed(scope) is False


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param((b"origin", OWN.encode()), id="origin-twice"),
        pytest.param((b"origin", TRUSTED.encode()), id="two-origins"),
        pytest.param((b"sec-fetch-site", b"same-origin"), id="site-twice"),
        pytest.param((b"sec-fetch-site", b"cross-site"), id="two-sites"),
    ],
)
def test_a_repeated_header_is_rejected(protection: CrossOriginProtection, extra: tuple[bytes, bytes]) -> None:
    """No browser sends either header twice, even with equal values."""
    scope = request_from("same-origin", OWN)
    assert protection.is_allowed({**scope, "headers": [*scope["headers"], extra]}) is False
    assert protection.is_allowed({**scope, "headers": iter(scope["headers"])}) is True


@pytest.mark.parametrize("host", ["evil.example", "localhost", "app.example.com"])
def test_cs06_host_and_origin_of_an_attacker_do_not_vouch_for_each_other(
    protection: CrossOriginProtection, host: str
) -> None:
    """Origin is compared with the configuration, not with Host (CS-06)."""
    scope = request_from(None, f"https://{host}", host)
    assert protection.is_allowed(scope) is (host == "app.example.com")


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
def test_cs_without_a_public_url_only_loopback_is_our_own_origin(
    protection_of: ProtectionOf, host: str, origin: str | None, *, passes: bool
) -> None:
    """The missing setting raises nothing; an origin that cannot be compared is not trusted."""
    protection, scope = protection_of(trusted_origins=(TRUSTED,)), request_from(None, origin, host)
    assert protection.is_allowed(scope) is passes


@pytest.mark.parametrize(("name", "passes"), [(name, name in ("own", "trusted")) for name in ORIGIN_HEADERS])
@pytest.mark.parametrize("site", [None, "same-origin", "cross-site"])
def test_ws01_a_websocket_needs_a_known_origin(
    protection: CrossOriginProtection, site: str | None, name: str, *, passes: bool
) -> None:
    """Foreign, ``null`` and missing origins are rejected, whatever Sec-Fetch-Site is."""
    scope = request_from(site, ORIGIN_HEADERS[name])
    scope.update(type="websocket", scheme="wss")
    assert protection.is_allowed(scope) is passes


def test_ws01_two_origins_are_rejected(protection: CrossOriginProtection) -> None:
    """A repeated header is rejected here too."""
    scope = request_from(None, OWN)
    scope.update(type="websocket", scheme="wss", headers=[*scope["headers"], (b"origin", OWN.encode())])
    assert protection.is_allowed(scope) is False


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
def test_ws01_our_own_origin_is_inferred_on_loopback(
    protection_of: ProtectionOf, scheme: str, origin: str, *, passes: bool
) -> None:
    """A page of the same development server may connect."""
    scope = {**scope_of("localhost:8000", scheme=scheme, origin=origin), "type": "websocket"}
    assert protection_of().is_allowed(scope) is passes
