"""``POST /tenant/select`` moves a session to another tenant.

Requirements RT-16, TN-07, TN-08, TN-09 and TN-10.
"""

import asyncio

import pytest

from fastapi_descope.emulator import Grants, Project, SeedUser
from fastapi_descope.events import RedirectRejected, TenantSwitched
from tests.helpers.app_harness import APP, EnvFactory
from tests.helpers.cookie_jar import deleted_names

pytestmark = pytest.mark.anyio

ADA = "U22a1322415fff1b1aceaebe7855"


async def test_tn08_a_tenant_switch_sets_both_cookies_and_returns_the_session(make_env: EnvFactory) -> None:
    """A JSON body works like a form."""
    env = make_env()
    browser = await env.signed_in_browser()

    response = await browser.http.post(
        APP + "/tenant/select", json={"tenant": "globex"}, headers={"sec-fetch-site": "same-origin"}
    )

    assert response.status_code == 200
    assert response.json()["tenant"]["id"] == "globex"
    assert response.headers["cache-control"] == "private, no-store"
    assert [cookie[:4] for cookie in response.headers.get_list("set-cookie")] == ["DS=e", "DSR="]
    assert env.events[-1] == TenantSwitched(ADA, "globex")


@pytest.mark.parametrize(
    ("return_to", "location"),
    [("/reports", "/reports"), ("//evil.example", "/home"), ("/login/sso", "/home"), (None, "/home")],
)
async def test_rt16_a_tenant_switch_redirects_to_safe_paths_only(
    make_env: EnvFactory, return_to: str | None, location: str
) -> None:
    """The rule is the same as after a login."""
    env = make_env(post_login_path="/home")
    browser = await env.signed_in_browser()
    form = {"tenant": "globex"} | ({"return_to": return_to} if return_to else {})

    response = await browser.post("/tenant/select", form, sec_fetch_mode="navigate")

    assert response.status_code == 303
    assert response.headers["location"] == location
    assert (RedirectRejected() in env.events) is (return_to not in (location, None))


async def test_a_tenant_switch_by_htmx_navigates_the_page(make_env: EnvFactory) -> None:
    """HTMX swaps fragments, but a new tenant needs a new page."""
    browser = await make_env().signed_in_browser()

    response = await browser.post(
        "/tenant/select", {"tenant": "globex", "return_to": "/x"}, hx_request="true"
    )

    assert response.status_code == 204
    assert response.headers["hx-redirect"] == "/x"


async def test_tn07_a_switch_to_a_foreign_tenant_is_403_and_keeps_the_session(make_env: EnvFactory) -> None:
    """Descope decides, because the token may be out of date."""
    env = make_env()
    browser = env.browser()
    await browser.sign_in("grace@acme.example")

    response = await browser.post("/tenant/select", {"tenant": "globex"})

    assert response.status_code == 403
    assert response.json()["code"] == "forbidden"
    assert "set-cookie" not in response.headers
    assert (await browser.get("/me")).json()["tenant"] == "acme"


async def test_a_tenant_switch_of_a_revoked_session_clears_the_cookies(make_env: EnvFactory) -> None:
    """The response is 401 and deletes the cookies."""
    env = make_env()
    browser = await env.signed_in_browser()
    env.emulator.revoke_sessions("ada@acme.example")

    response = await browser.post("/tenant/select", {"tenant": "globex"})

    assert response.status_code == 401
    assert response.json()["code"] == "session_ended"
    assert deleted_names(response.headers.get_list("set-cookie")) == {"DS", "DSR"}


async def test_a_tenant_switch_during_an_outage_is_503_and_keeps_the_session(make_env: EnvFactory) -> None:
    """The session keeps its tenant."""
    env = make_env()
    browser = await env.signed_in_browser()
    env.emulator.faults.add("select", status=500)

    response = await browser.post("/tenant/select", {"tenant": "globex"})

    assert response.status_code == 503
    assert "set-cookie" not in response.headers


@pytest.mark.parametrize("tenant", ["", "a" * 129, "a\nb", "a b"])
async def test_a_tenant_switch_without_a_valid_tenant_is_400(make_env: EnvFactory, tenant: str) -> None:
    """No call is sent."""
    env = make_env()
    browser = await env.signed_in_browser()

    assert (await browser.post("/tenant/select", {"tenant": tenant})).status_code == 400
    assert env.calls("select") == 0


async def test_an_unauthenticated_tenant_switch_is_401(make_env: EnvFactory) -> None:
    """There is no session to switch."""
    assert (await make_env().browser().post("/tenant/select", {"tenant": "globex"})).status_code == 401


async def test_tn09_a_slow_refresh_does_not_undo_a_switch(make_env: EnvFactory) -> None:
    """Switch and refresh of one session run one after the other, with rotation too."""
    env = make_env(project=Project(rotate_refresh=True))
    browser = await env.signed_in_browser()
    old = f"DS={browser.cookie('DS')}; DSR={browser.cookie('DSR')}"
    env.emulator.clock.advance(660)
    env.emulator.faults.add("refresh", hold=True)
    refresh = asyncio.ensure_future(env.browser().get("/session-of", cookie=old))
    await env.emulator.faults.wait_until_held()

    switch = asyncio.ensure_future(browser.post("/tenant/select", {"tenant": "globex"}))
    await asyncio.sleep(0)
    env.emulator.faults.release()
    refreshed, switched = await refresh, await switch
    late = await env.browser().get("/session-of", cookie=old)

    assert refreshed.status_code == 200
    assert switched.json()["tenant"]["id"] == "globex"
    assert late.json()["tenant"] == "globex"


async def test_tn10_each_tenant_keeps_its_own_roles(make_env: EnvFactory) -> None:
    """Alternating requests of one user always see the roles of their own tenant."""
    people = (
        SeedUser(
            login_id="kim@acme.example",
            name="Kim",
            tenants={"acme": Grants(roles=("a",)), "globex": Grants(roles=("b",))},
        ),
    )
    env = make_env(project=Project(users=people))
    tokens = {
        tenant: env.emulator.issue("kim@acme.example", tenant=tenant).session_jwt
        for tenant in ("acme", "globex")
    }

    for _ in range(50):
        for tenant, role in (("acme", "a"), ("globex", "b")):
            response = await env.browser().get("/me", authorization=f"Bearer {tokens[tenant]}")
            assert (response.json()["tenant"], response.json()["roles"]) == (tenant, [role])
