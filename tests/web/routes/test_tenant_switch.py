"""``/tenant/select``: the same user in another tenant.

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


async def test_tn08_a_switch_sets_both_cookies_and_shows_the_new_session(make_env: EnvFactory) -> None:
    """From JSON as from a form."""
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
    ("return_to", "location"), [("/reports", "/reports"), ("//evil.example", "/home"), (None, "/home")]
)
async def test_rt16_a_switch_by_a_page_goes_on_to_a_safe_path(
    make_env: EnvFactory, return_to: str | None, location: str
) -> None:
    """RT-16: the same rule as after a login."""
    env = make_env(post_login_path="/home")
    browser = await env.signed_in_browser()
    form = {"tenant": "globex"} | ({"return_to": return_to} if return_to else {})

    response = await browser.post("/tenant/select", form, sec_fetch_mode="navigate")

    assert response.status_code == 303
    assert response.headers["location"] == location
    assert (RedirectRejected() in env.events) is (return_to == "//evil.example")


async def test_a_switch_by_htmx_moves_the_page(make_env: EnvFactory) -> None:
    """HTMX swaps fragments; a new tenant is a new page."""
    browser = await make_env().signed_in_browser()

    response = await browser.post(
        "/tenant/select", {"tenant": "globex", "return_to": "/x"}, hx_request="true"
    )

    assert response.status_code == 204
    assert response.headers["hx-redirect"] == "/x"


async def test_tn07_a_tenant_one_is_not_in_is_403_and_keeps_the_session(make_env: EnvFactory) -> None:
    """Descope decides, because the token may be out of date."""
    env = make_env()
    browser = env.browser()
    await browser.sign_in("grace@acme.example")

    response = await browser.post("/tenant/select", {"tenant": "globex"})

    assert response.status_code == 403
    assert response.json()["code"] == "forbidden"
    assert "set-cookie" not in response.headers
    assert (await browser.get("/me")).json()["tenant"] == "acme"


async def test_a_switch_with_a_revoked_session_ends_it(make_env: EnvFactory) -> None:
    """401, and the cookies go."""
    env = make_env()
    browser = await env.signed_in_browser()
    env.emulator.revoke_sessions("ada@acme.example")

    response = await browser.post("/tenant/select", {"tenant": "globex"})

    assert response.status_code == 401
    assert response.json()["code"] == "session_ended"
    assert deleted_names(response.headers.get_list("set-cookie")) == {"DS", "DSR"}


async def test_a_switch_during_an_outage_is_503_and_keeps_the_session(make_env: EnvFactory) -> None:
    """The old tenant stays."""
    env = make_env()
    browser = await env.signed_in_browser()
    env.emulator.faults.add("select", status=500)

    response = await browser.post("/tenant/select", {"tenant": "globex"})

    assert response.status_code == 503
    assert "set-cookie" not in response.headers


@pytest.mark.parametrize("tenant", ["", "a" * 129, "a\nb", "a b"])
async def test_a_switch_to_no_tenant_is_400(make_env: EnvFactory, tenant: str) -> None:
    """Nothing is asked upstream."""
    env = make_env()
    browser = await env.signed_in_browser()

    assert (await browser.post("/tenant/select", {"tenant": tenant})).status_code == 400
    assert env.calls("select") == 0


async def test_a_switch_of_nobody_is_401(make_env: EnvFactory) -> None:
    """There is no session to switch."""
    assert (await make_env().browser().post("/tenant/select", {"tenant": "globex"})).status_code == 401


async def test_tn09_a_slow_refresh_does_not_undo_a_switch(make_env: EnvFactory) -> None:
    """Switch and refresh of one session run one after the other, rotation and all."""
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


async def test_tn10_the_tenants_of_a_session_keep_their_own_roles(make_env: EnvFactory) -> None:
    """The same user in alternation, always with the roles of the tenant at hand."""
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
