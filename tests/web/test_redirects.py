"""Redirect targets after a login, a tenant switch and a logout (requirements 2.5)."""

import pytest
from ada_url import URL
from starlette.types import Scope

from fastapi_descope._web.redirects import RedirectPolicy
from fastapi_descope.events import RedirectRejected
from fastapi_descope.settings import DescopeSettings
from tests.helpers.scopes import scope_of
from tests.hostile.tables.redirect_targets import ACCEPTED, OWN, REJECTED, TRUSTED

AT_HOME: Scope = {"type": "http", "scheme": "https", "headers": [(b"host", b"app.example.com")]}


@pytest.fixture
def policy() -> RedirectPolicy:
    """The redirect policy of an app at https://app.example.com that trusts one other origin."""
    return RedirectPolicy(
        DescopeSettings(project_id="P2abcdefghijklmnopqrstuvwxyz", public_url=OWN, trusted_origins=(TRUSTED,))
    )


@pytest.mark.parametrize("value", ACCEPTED, ids=lambda value: value[:60])
def test_rt_a_safe_target_is_returned_unchanged(policy: RedirectPolicy, value: str) -> None:
    """The check never rewrites: the browser gets what was checked (CVE-2021-43812)."""
    assert policy.safe_redirect(value, AT_HOME) == value
    assert URL(value, base=f"{OWN}/login/sso").origin in (OWN, TRUSTED)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(value, id=f"{name}-{ascii(value)[1:-1][:60]}")
        for name, group in REJECTED.items()
        for value in group
    ],
)
def test_rt01_to_rt11_any_other_target_is_rejected(policy: RedirectPolicy, value: str) -> None:
    """Only a plain path of the app or a URL of a trusted origin is accepted."""
    assert policy.safe_redirect(value, AT_HOME) is None


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        pytest.param(f"/{'a' * 1_024}", "too_long", id="1025 characters"),
        pytest.param(f"//{'a' * 1_022}", "unsafe", id="1024 characters"),
        ("/a%2Fb", "encoded"),
        ("/a%5cb", "encoded"),
        ("/a%25b?x=1", "encoded"),
        ("//evil.example/?next=%2Fa", "unsafe"),
        (None, "unsafe"),
    ],
)
def test_rt06_event_says_why_a_target_was_dropped(
    policy: RedirectPolicy, value: str | None, reason: str
) -> None:
    """An escape counts in the path only: in a query it is harmless."""
    assert policy.rejection(value) == RedirectRejected(reason)  # type: ignore[arg-type] # one of its reasons


def test_rt_no_target_is_none(policy: RedirectPolicy) -> None:
    """A missing parameter is not an error."""
    assert policy.safe_redirect(None, AT_HOME) is None


def test_rt_the_tables_are_wide() -> None:
    """There are at least 150 rejected targets, and none of them is accepted too."""
    refused = {value for group in REJECTED.values() for value in group}
    assert len(refused) == sum(map(len, REJECTED.values())) >= 150
    assert refused.isdisjoint(ACCEPTED)


@pytest.mark.parametrize(
    ("host", "value", "accepted"),
    [
        pytest.param("localhost:8000", "https://localhost:8000/x", True, id="own-inferred"),
        pytest.param("localhost:8000", "http://localhost:8000/x", False, id="other-scheme"),
        pytest.param("localhost:8000", "https://localhost/x", False, id="other-port"),
        pytest.param("localhost", "https://localhost:8000/x", False, id="longer-port"),
        pytest.param("localhost", "https://localhost:5173/x", True, id="trusted-beside-own"),
        pytest.param("[::1]:8000", "https://[::1]:8000/x", True, id="own-ipv6"),
        pytest.param("evil.example", "https://evil.example/x", False, id="host-of-an-attacker"),
        pytest.param("evil.example", "https://localhost:5173/x", True, id="trusted-anyway"),
        pytest.param("evil.example", "/x", True, id="path-anyway"),
    ],
)
def test_rt_without_a_public_url_only_loopback_is_our_own_origin(
    host: str, value: str, *, accepted: bool
) -> None:
    """The origin of an absolute target is compared with the inferred public origin."""
    trusted = ("https://localhost:5173",)
    policy = RedirectPolicy(
        DescopeSettings(project_id="P2abcdefghijklmnopqrstuvwxyz", trusted_origins=trusted)
    )
    assert policy.safe_redirect(value, scope_of(host)) == (value if accepted else None)


FORBIDDEN = frozenset({"/auth/login/sso", "/auth/callback", "/auth/logout"})


@pytest.mark.parametrize(
    ("value", "accepted"),
    [
        pytest.param("/auth/login/sso", False, id="exact"),
        pytest.param("/auth/callback?code=x&state=y", False, id="with-query"),
        pytest.param("/auth/logout#x", False, id="with-fragment"),
        pytest.param("/auth/logout/", False, id="slash-that-the-router-redirects"),
        pytest.param("/auth/log%6fut", False, id="encoded"),
        pytest.param("/%61uth/callback/?x", False, id="encoded-with-slash"),
        pytest.param(f"{OWN}/auth/logout", False, id="absolute"),
        pytest.param(f"{TRUSTED}/auth/logout", True, id="path-of-another-app"),
        pytest.param("/auth/logout/all", True, id="longer-path"),
        pytest.param("/auth", True, id="shorter-path"),
        pytest.param("/AUTH/LOGOUT", True, id="paths-have-a-case"),
        pytest.param("/?next=/auth/logout", True, id="in-the-query"),
        pytest.param("/#/auth/logout", True, id="in-the-fragment"),
        pytest.param("/", True, id="root"),
    ],
)
def test_rt13_a_target_that_would_loop_is_rejected(
    policy: RedirectPolicy, value: str, *, accepted: bool
) -> None:
    """A login must not end at the logout."""
    assert policy.safe_redirect(value, AT_HOME, forbidden=FORBIDDEN) == (value if accepted else None)


def test_rt13_the_root_can_be_forbidden(policy: RedirectPolicy) -> None:
    """A plugin without a prefix may be mounted at the root."""
    assert policy.safe_redirect("/", AT_HOME, forbidden={"/"}) is None
    assert policy.safe_redirect(OWN, AT_HOME, forbidden={"/"}) is None


def test_rt13_only_trailing_slashes_are_ignored(policy: RedirectPolicy) -> None:
    """A path that starts like a forbidden one is another path."""
    forbidden = ("/login/sso",)
    assert policy.safe_redirect("/login/ssoX", AT_HOME, forbidden=forbidden) == "/login/ssoX"
    assert policy.safe_redirect("/login/sso/", AT_HOME, forbidden=forbidden) is None


def test_rt13_an_absolute_url_that_would_loop_is_rejected_on_loopback() -> None:
    """Without a public URL the own origin is the loopback origin of the request."""
    policy = RedirectPolicy(DescopeSettings(project_id="P2abcdefghijklmnopqrstuvwxyz"))
    scope = scope_of("localhost:8000", scheme="http")
    forbidden = ("/login/sso",)
    assert policy.safe_redirect("http://localhost:8000/login/sso", scope, forbidden=forbidden) is None
    assert policy.safe_redirect("http://localhost:8000/x", scope, forbidden=forbidden) is not None
