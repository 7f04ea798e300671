"""A session from login to logout with every kind of Descope project.

A project decides how its tokens are delivered and what is in them. Where the behaviour of Descope is unknown
(``Assumptions``), the plugin works with either.
"""

from dataclasses import dataclass, field

import pytest

from fastapi_descope.emulator import (
    DEFAULT_PROJECT_ID,
    Assumptions,
    Clock,
    CookieSettings,
    Emulator,
    Project,
    SeedTenant,
    SeedUser,
)
from fastapi_descope.events import UpstreamTokenRejected
from tests.helpers.app_harness import IDP, AppHarness, Browser, EnvFactory

pytestmark = pytest.mark.anyio

ADA = SeedUser("ada@acme.example").user_id


@dataclass(frozen=True)
class Mode:
    """A project, the settings that it needs, and the roles of the user in each tenant."""

    project: Project
    settings: dict[str, object] = field(default_factory=dict[str, object])
    roles: tuple[tuple[str, ...], tuple[str, ...]] = (("admin",), ("viewer",))


MODES = {
    "default": Mode(Project()),
    "both-in-cookies": Mode(Project(session_token_in="cookie", refresh_token_in="cookie")),
    "session-in-cookie": Mode(Project(session_token_in="cookie")),
    "refresh-in-cookie": Mode(Project(refresh_token_in="cookie")),
    "cookies-and-rotation": Mode(
        Project(session_token_in="cookie", refresh_token_in="cookie", rotate_refresh=True)
    ),
    "renamed-cookies": Mode(
        Project(
            session_token_in="cookie",
            refresh_token_in="cookie",
            cookies=CookieSettings("sid", "rid", "example", "example", "/auth", "strict"),
        ),
        {"session_cookie_name": "sid", "refresh_cookie_name": "rid"},
    ),
    "renamed-cookies-same-drn": Mode(
        Project(
            session_token_in="cookie",
            refresh_token_in="cookie",
            cookies=CookieSettings("sid", "rid"),
            assumptions=Assumptions(drn_is_cookie_name=False),
        )
    ),
    "tenant-only": Mode(Project(auth_schema="tenantOnly")),
    "tenant-only-null-lists": Mode(Project(auth_schema="tenantOnly", empty_claims="nil")),
    "no-grants": Mode(Project(auth_schema="none"), roles=((), ())),
    "empty-lists": Mode(Project(empty_claims="none")),
    "null-lists": Mode(Project(empty_claims="nil")),
    "no-permissions": Mode(Project(exclude_permissions=True)),
    "audience": Mode(Project(audience=DEFAULT_PROJECT_ID)),
    "audiences": Mode(Project(audience=("another-api", DEFAULT_PROJECT_ID))),
    "own-audience": Mode(Project(audience=("my-api", "other")), {"audience": "my-api"}),
    "issuer-url": Mode(Project(issuer="url")),
    "issuer-app": Mode(Project(issuer="app")),
    "issuer-agentic": Mode(
        Project(issuer="agentic"),
        {"extra_issuers": [f"{IDP}/v1/apps/agentic/{DEFAULT_PROJECT_ID}/emulator"]},
    ),
    "rotation": Mode(Project(rotate_refresh=True)),
    "rotation-with-grace": Mode(Project(rotate_refresh=True, reuse_grace=30)),
    "inactivity": Mode(Project(inactivity_seconds=720)),
    "inactivity-and-rotation": Mode(Project(inactivity_seconds=720, rotate_refresh=True)),
    "other-subject": Mode(Project(override_subject=True)),
    "session-ids": Mode(Project(session_jti=True, template_email=False)),
    "tenants-own-length": Mode(
        Project(tenants=(SeedTenant("acme", session_seconds=180), SeedTenant("globex", session_seconds=240)))
    ),
    "refresh-token-repeated": Mode(Project(assumptions=Assumptions(refresh_repeats_token=True))),
    "refresh-token-repeated-in-cookie": Mode(
        Project(refresh_token_in="cookie", assumptions=Assumptions(refresh_repeats_token=True))
    ),
    "refresh-token-holds-grants": Mode(Project(assumptions=Assumptions(refresh_holds_grants=True))),
    "query-rebuilt": Mode(Project(assumptions=Assumptions(redirect_query="rebuild"))),
}


def _make_env(make_env: EnvFactory, mode: Mode) -> AppHarness:
    return make_env(emulator=Emulator(mode.project, base_url=IDP), **mode.settings)


async def _me(browser: Browser) -> dict[str, object]:
    response = await browser.get("/me")
    assert response.status_code == 200, response.text
    body: dict[str, object] = response.json()
    return body


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
async def test_session_from_login_to_logout(make_env: EnvFactory, mode: Mode) -> None:
    """Log in, refresh twice, switch the tenant, refresh, log out: one user with the right roles."""
    env = _make_env(make_env, mode)
    browser, (at_acme, at_globex) = env.browser(), map(list, mode.roles)

    assert (await browser.sign_in()).headers["location"] == "/me"
    assert await _me(browser) == {"user": ADA, "tenant": "acme", "roles": at_acme}

    for _ in range(2):
        env.emulator.clock.advance(660)
        assert await _me(browser) == {"user": ADA, "tenant": "acme", "roles": at_acme}
    assert env.calls("refresh") == 2

    assert (await browser.post("/tenant/select", {"tenant": "globex"})).status_code == 200
    env.emulator.clock.advance(660)
    assert await _me(browser) == {"user": ADA, "tenant": "globex", "roles": at_globex}
    assert env.calls("refresh") == 3

    assert (await browser.post("/logout")).status_code == 204
    assert (await browser.get("/me")).status_code == 401
    assert [call.status for call in env.emulator.requests.for_endpoint("logout")] == [200]
    assert not [event for event in env.events if isinstance(event, UpstreamTokenRejected)]


@pytest.mark.parametrize("status", [400, 401])
async def test_revoked_session_ends_with_either_status(make_env: EnvFactory, status: int) -> None:
    """Descope may reject a revoked token with a 400 or a 401. The cookies are deleted."""
    assumptions = Assumptions(revoked_status=400 if status == 400 else 401)
    env = make_env(project=Project(assumptions=assumptions))
    browser = env.browser()
    await browser.sign_in()
    env.emulator.revoke_sessions("ada@acme.example")
    env.emulator.clock.advance(660)

    assert (await browser.get("/me")).status_code == 401
    assert {"DS", "DSR"}.isdisjoint(browser.names())
    assert [call.status for call in env.emulator.requests.for_endpoint("refresh")] == [status]


@pytest.mark.parametrize("status", [400, 401])
async def test_reuse_of_a_stolen_refresh_token_ends_the_session(make_env: EnvFactory, status: int) -> None:
    """After a thief has used a rotated token, the owner has to log in again."""
    assumptions = Assumptions(reuse_status=400 if status == 400 else 401)
    env = make_env(project=Project(rotate_refresh=True, assumptions=assumptions))
    owner, thief = env.browser(), make_env(emulator=env.emulator).browser()
    await owner.sign_in()
    stolen = {name: owner.cookie(name) for name in ("DS", "DSR")}
    env.emulator.clock.advance(660)
    assert (await owner.get("/me")).status_code == 200

    cookie = "; ".join(f"{name}={value}" for name, value in stolen.items())
    assert (await thief.get("/me", cookie=cookie)).status_code == 401
    env.emulator.clock.advance(660)

    assert (await owner.get("/me")).status_code == 401
    assert [call.status for call in env.emulator.requests.for_endpoint("refresh")] == [200, status, status]


async def test_use_extends_a_session_and_inactivity_ends_it(make_env: EnvFactory) -> None:
    """The session cookie lives until Descope expects a refresh, so each use extends the session."""
    clock = Clock(lambda: 1_800_000_000.0)
    env = make_env(emulator=Emulator(Project(inactivity_seconds=600), clock=clock))
    browser = env.browser()
    signed_in = await browser.sign_in()
    session = next(line for line in signed_in.headers.get_list("set-cookie") if line.startswith("DS="))
    assert "; Max-Age=300;" in session

    clock.advance(310)
    browser.http.cookies.delete(
        "DS"
    )  # it has expired by the emulator's clock, which the client does not know
    assert (await browser.get("/me")).status_code == 200
    assert env.calls("refresh") == 1

    clock.advance(611)
    assert (await browser.get("/me")).status_code == 401
    assert {"DS", "DSR"}.isdisjoint(browser.names())


@pytest.mark.parametrize("format_name", ["err", "error", "both"])
async def test_rejected_login_is_recognised_in_each_format(make_env: EnvFactory, format_name: str) -> None:
    """The response is a page without a session that offers a new login."""
    formats = {
        "err": Assumptions(failed_sign_in="err"),
        "error": Assumptions(failed_sign_in="error"),
        "both": Assumptions(),
    }
    env = make_env(project=Project(assumptions=formats[format_name]))
    browser = env.browser()
    redirect = await browser.visit("/login/sso?tenant=acme")
    page = await browser.visit(redirect.headers["location"])
    callback = (await browser.refuse(page)).headers["location"]

    response = await browser.visit(callback)

    assert response.status_code in {400, 401, 403}
    assert response.headers["content-type"].startswith("text/html")
    assert env.calls("exchange") == 0
    assert {"DS", "DSR"}.isdisjoint(browser.names())


async def test_tenant_can_be_selected_after_a_login_without_one(make_env: EnvFactory) -> None:
    """SSO may set no current tenant. The user is logged in and can select one."""
    env = make_env(project=Project(assumptions=Assumptions(sso_sets_tenant=False)))
    browser = env.browser()
    await browser.sign_in()
    assert (await browser.get("/me")).status_code == 403

    assert (await browser.post("/tenant/select", {"tenant": "globex"})).status_code == 200

    assert await _me(browser) == {"user": ADA, "tenant": "globex", "roles": ["viewer"]}
