"""The whole journey of a session with every kind of Descope project there is.

How a project delivers its tokens and what its template writes into them is the customer's choice; what is
unknown of Descope may be either way (``Guesses``). The plugin gets by with all of it.
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
    """A project, the settings that go with it, and the roles that its tokens tell in each tenant."""

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
    "audiences": Mode(Project(audience=("somebody-else", DEFAULT_PROJECT_ID))),
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
    found: dict[str, object] = response.json()
    return found


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
async def test_a_session_from_sign_in_to_sign_out(make_env: EnvFactory, mode: Mode) -> None:
    """Sign in, come back, renew twice, switch tenant, renew there, sign out: one user, the right roles."""
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
async def test_a_revoked_session_ends_with_either_status(make_env: EnvFactory, status: int) -> None:
    """Whether Descope says 400 or 401 to a revoked refresh token: the session is over, the cookies go."""
    guesses = Assumptions(revoked_status=400 if status == 400 else 401)
    env = make_env(project=Project(assumptions=guesses))
    browser = env.browser()
    await browser.sign_in()
    env.emulator.revoke("ada@acme.example")
    env.emulator.clock.advance(660)

    assert (await browser.get("/me")).status_code == 401
    assert {"DS", "DSR"}.isdisjoint(browser.names())
    assert [call.status for call in env.emulator.requests.for_endpoint("refresh")] == [status]


@pytest.mark.parametrize("status", [400, 401])
async def test_a_stolen_refresh_token_ends_the_session(make_env: EnvFactory, status: int) -> None:
    """After somebody else replayed a replaced refresh token, the owner has to sign in again."""
    guesses = Assumptions(reuse_status=400 if status == 400 else 401)
    env = make_env(project=Project(rotate_refresh=True, assumptions=guesses))
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


async def test_an_idle_session_is_kept_alive_by_use_and_ends_without(make_env: EnvFactory) -> None:
    """The session cookie lives until Descope wants its refresh, so use renews it; idleness ends it."""
    clock = Clock(lambda: 1_800_000_000.0)
    env = make_env(emulator=Emulator(Project(inactivity_seconds=600), clock=clock))
    browser = env.browser()
    signed_in = await browser.sign_in()
    session = next(line for line in signed_in.headers.get_list("set-cookie") if line.startswith("DS="))
    assert "; Max-Age=300;" in session

    clock.advance(310)
    browser.http.cookies.delete("DS")  # as a browser does, whose clock is not the emulator's
    assert (await browser.get("/me")).status_code == 200
    assert env.calls("refresh") == 1

    clock.advance(611)
    assert (await browser.get("/me")).status_code == 401
    assert {"DS", "DSR"}.isdisjoint(browser.names())


@pytest.mark.parametrize("spelling", ["err", "error", "both"])
async def test_a_refused_sign_in_is_understood_in_each_spelling(make_env: EnvFactory, spelling: str) -> None:
    """However Descope says that the identity provider refused: a page, no session, a way to try again."""
    spellings = {
        "err": Assumptions(failed_sign_in="err"),
        "error": Assumptions(failed_sign_in="error"),
        "both": Assumptions(),
    }
    env = make_env(project=Project(assumptions=spellings[spelling]))
    browser = env.browser()
    started = await browser.visit("/login/sso?tenant=acme")
    page = await browser.visit(started.headers["location"])
    back = (await browser.refuse(page)).headers["location"]

    response = await browser.visit(back)

    assert response.status_code in {400, 401, 403}
    assert response.headers["content-type"].startswith("text/html")
    assert env.calls("exchange") == 0
    assert {"DS", "DSR"}.isdisjoint(browser.names())


async def test_a_tenant_that_the_sign_in_leaves_open_can_be_selected(make_env: EnvFactory) -> None:
    """If SSO sets no current tenant, the user is signed in, and picks one."""
    env = make_env(project=Project(assumptions=Assumptions(sso_sets_tenant=False)))
    browser = env.browser()
    await browser.sign_in()
    assert (await browser.get("/me")).status_code == 403

    assert (await browser.post("/tenant/select", {"tenant": "globex"})).status_code == 200

    assert await _me(browser) == {"user": ADA, "tenant": "globex", "roles": ["viewer"]}
