"""``/session`` and its sub-paths, and CSRF protection of all routes (CK-12, CS-01, CS-08, TN-12)."""

import re
from dataclasses import replace

import pytest

from fastapi_descope.emulator import Grants, Project, SeedUser
from fastapi_descope.events import CrossSiteRefused
from tests.helpers.app_harness import EnvFactory
from tests.helpers.cookie_jar import deleted_names
from tests.helpers.full_project import FULL_PROJECT, PHONE

pytestmark = pytest.mark.anyio

ADA = "U22a1322415fff1b1aceaebe7855"


async def test_ck12_the_session_response_contains_no_token(make_env: EnvFactory) -> None:
    """The response has everything that a front end shows, and no JWT."""
    env = make_env()
    browser = await env.signed_in_browser()

    response = await browser.get("/session")

    body = response.json()
    assert response.headers["cache-control"] == "no-store"
    assert body["user"] == {
        "id": ADA,
        "name": "Ada Lovelace",
        "email": "ada@acme.example",
        "roles": [],
        "permissions": [],
    }
    assert body["tenant"]["id"] == "acme"
    assert body["tenant"]["roles"] == ["admin"]
    assert {tenant["id"] for tenant in body["tenants"]} == {"acme", "globex"}
    assert body["amr"] == ["fed"]
    assert body["actor"] is None
    assert body["expires_at"] - body["issued_at"] == 600
    assert "eyJ" not in response.text


async def test_the_session_route_without_a_session_is_401(make_env: EnvFactory) -> None:
    """The problem document contains the URL of the login."""
    response = await make_env(prefix="/auth").browser().get("/auth/session")

    assert response.status_code == 401
    assert response.json()["login_url"] == "/auth/login/sso"


async def test_the_profile_is_what_a_front_end_shows_of_the_user_object(make_env: EnvFactory) -> None:
    """Each request is one call to Descope. Fields for back ends, such as external ids, are left out."""
    env = make_env(project=FULL_PROJECT)
    browser = await env.signed_in_browser()

    response = await browser.get("/session/profile")

    assert response.headers["cache-control"] == "no-store"
    assert response.json() == {
        "user_id": ADA,
        "login_ids": ["ada@acme.example"],
        "name": "Ada King Lovelace",
        "given_name": "Ada",
        "middle_name": "King",
        "family_name": "Lovelace",
        "email": "ada@acme.example",
        "verified_email": True,
        "phone": PHONE,
        "verified_phone": True,
        "picture": "https://images.example/ada.png",
        "roles": ["support"],
        "permissions": ["tickets.read"],
        "tenants": [
            {
                "id": "acme",
                "name": "Acme Corp",
                "roles": ["admin"],
                "permissions": ["reports.read", "reports.write"],
            },
            {"id": "globex", "name": "Globex", "roles": ["viewer"], "permissions": ["reports.read"]},
        ],
        "custom_attributes": {"seat": 7, "teams": ["engines"]},
        "created_at": 1_685_930_000,
        "totp": True,
        "webauthn": True,
        "password": True,
        "push": True,
        "oauth": {"google": True, "github": False},
    }
    assert env.calls("me") == 1


async def test_the_profile_after_a_refresh_uses_the_new_refresh_token(
    make_env: EnvFactory,
) -> None:
    """With rotation on, the refresh token of the request is spent by the refresh."""
    env = make_env(project=Project(rotate_refresh=True))
    browser = await env.signed_in_browser()
    env.emulator.clock.advance(660)

    assert (await browser.get("/session/profile")).status_code == 200


@pytest.mark.parametrize("path", ["/session/profile", "/session/tenants"])
async def test_the_profile_of_a_revoked_session_is_401_and_clears_the_cookies(
    make_env: EnvFactory, path: str
) -> None:
    """The session token is still valid, but Descope has revoked the session."""
    env = make_env()
    browser = await env.signed_in_browser()
    env.emulator.revoke_sessions("ada@acme.example")

    response = await browser.get(path)

    assert response.status_code == 401
    assert response.json()["code"] == "session_ended"
    assert deleted_names(response.headers.get_list("set-cookie")) == {"DS", "DSR"}


async def test_an_inactivity_timeout_shortens_the_session_cookie(make_env: EnvFactory) -> None:
    """The session cookie expires when Descope expects the next refresh, before the token expires."""
    env = make_env(project=Project(inactivity_seconds=120))
    browser = env.browser()
    await browser.sign_in()

    response = await browser.sign_in()

    ages = [re.search(r"Max-Age=(\d+)", cookie) for cookie in response.headers.get_list("set-cookie")]
    session_age = [
        int(age[1])
        for cookie, age in zip(response.headers.get_list("set-cookie"), ages, strict=True)
        if age and cookie.startswith("DS=")
    ]
    assert 55 <= session_age[0] <= 60


async def test_tenant_names_come_from_descope(make_env: EnvFactory) -> None:
    """Ids and names, for a tenant switcher."""
    browser = await make_env().signed_in_browser()

    assert (await browser.get("/session/tenants")).json() == {
        "tenants": {"acme": "Acme Corp", "globex": "Globex"}
    }


async def test_a_user_without_tenants_has_no_tenant_names(make_env: EnvFactory) -> None:
    """No call is sent."""
    env = make_env()
    pair = env.emulator.issue("nomad@example.org")
    cookie = f"DS={pair.session_jwt}; DSR={pair.refresh_jwt}"

    response = await env.browser().get("/session/tenants", cookie=cookie)

    assert response.json() == {"tenants": {}}
    assert env.calls("my_tenants") == 0


@pytest.mark.parametrize("path", ["/session/profile", "/session/tenants"])
async def test_the_profile_of_a_bearer_session_is_400(make_env: EnvFactory, path: str) -> None:
    """The 400 names what is missing."""
    env = make_env()
    pair = env.emulator.issue("ada@acme.example", tenant="acme")

    response = await env.browser().get(path, authorization=f"Bearer {pair.session_jwt}")

    assert response.status_code == 400
    assert "cookies" in response.json()["detail"]


@pytest.mark.parametrize("path", ["/logout", "/logout/all", "/tenant/select"])
@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_cs01_a_foreign_page_cannot_log_out_or_switch_tenants(
    make_env: EnvFactory, path: str, site: str
) -> None:
    """The response is 403, no call is sent, and no cookie changes."""
    env = make_env()
    browser = await env.signed_in_browser()

    response = await browser.post(
        path, {"tenant": "globex"}, sec_fetch_site=site, origin="https://evil.example"
    )

    assert response.status_code == 403
    assert response.json()["code"] == "cross_site_request"
    assert "set-cookie" not in response.headers
    assert env.calls("logout") + env.calls("logout_all") + env.calls("select") == 0
    assert env.events[-1] == CrossSiteRefused()


async def test_cs01_a_foreign_page_cannot_use_an_endpoint_or_start_a_refresh(
    make_env: EnvFactory,
) -> None:
    """The check runs before the refresh, on every route that uses the session."""
    env = make_env()
    browser = await env.signed_in_browser()
    env.emulator.clock.advance(660)

    response = await browser.post("/session-of", sec_fetch_site="cross-site", origin="https://evil.example")

    assert response.status_code == 403
    assert env.calls("refresh") == 0


async def test_cs03_a_method_override_does_not_make_a_request_safe(make_env: EnvFactory) -> None:
    """The app's own routes are protected by the method of the request line, too."""
    browser = await make_env().signed_in_browser()

    response = await browser.post("/session-of", sec_fetch_site="cross-site", x_http_method_override="GET")

    assert response.status_code == 403


@pytest.mark.parametrize("path", ["/logout", "/logout/all", "/tenant/select"])
async def test_cs08_routes_that_change_a_session_reject_get(make_env: EnvFactory, path: str) -> None:
    """A link or a prefetch cannot change a session."""
    env = make_env()
    browser = await env.signed_in_browser()

    response = await browser.visit(path)

    assert response.status_code == 405
    assert "set-cookie" not in response.headers


async def test_tn12_leaving_a_tenant_takes_effect_at_the_next_refresh(make_env: EnvFactory) -> None:
    """Until then the session token keeps the old tenant; its lifetime is the bound."""
    kim = SeedUser("kim@acme.example", tenants={"acme": Grants(), "globex": Grants()})
    env = make_env(project=Project(users=(kim,)))
    pair = env.emulator.issue("kim@acme.example", "acme")
    cookie = f"DS={pair.session_jwt}; DSR={pair.refresh_jwt}"
    env.emulator.project = Project(users=(replace(kim, tenants={"globex": Grants()}),))

    before = await env.browser().get("/me", cookie=cookie)
    env.emulator.clock.advance(660)
    after = await env.browser().get("/me", cookie=cookie)

    assert before.json()["tenant"] == "acme"
    assert (after.status_code, after.json()["code"]) == (403, "no_tenant")
