"""``/logout``, ``/tenant/select`` and ``/session``: being signed in, switching, and signing out.

Requirements LO-01, LO-02, LO-03, LO-04 and LO-06; TN-07, TN-08, TN-09, TN-10 and TN-12.
"""

import asyncio
import re
from dataclasses import replace

import pytest

from fastapi_descope.emulator import Grants, Project, User
from fastapi_descope.events import CrossSiteRefused, RedirectRejected, SignedOut, TenantSwitched
from tests.support.world import APP, Browser, World, WorldFactory

pytestmark = pytest.mark.anyio

ADA = "U22a1322415fff1b1aceaebe7855"


async def _signed_in(town: World) -> Browser:
    browser = town.browser()
    await browser.sign_in()
    return browser


def _cleared(cookies: list[str]) -> set[str]:
    return {cookie.partition("=")[0] for cookie in cookies if "Max-Age=0" in cookie}


async def test_ck12_the_session_is_shown_without_a_token(world: WorldFactory) -> None:
    """Everything a front end needs to draw its header; CK-12: no JWT in it."""
    town = world()
    browser = await _signed_in(town)

    answer = await browser.get("/session")

    body = answer.json()
    assert answer.headers["cache-control"] == "no-store"
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
    assert body["methods"] == ["fed"]
    assert body["expires_at"] - body["issued_at"] == 600
    assert "eyJ" not in answer.text


async def test_without_a_session_the_session_is_401(world: WorldFactory) -> None:
    """A front end learns where the login is."""
    answer = await world(prefix="/auth").browser().get("/auth/session")

    assert answer.status_code == 401
    assert answer.json()["login_url"] == "/auth/login/sso"


async def test_the_profile_is_descopes_own_user_object(world: WorldFactory) -> None:
    """Asked for anew each time, with the names of the tenants."""
    town = world()
    browser = await _signed_in(town)

    body = (await browser.get("/session/profile")).json()

    assert body["user_id"] == ADA
    assert body["email"] == "ada@acme.example"
    assert body["tenants"] == {"acme": "Acme Corp", "globex": "Globex"}
    assert town.calls("me") == 1


async def test_the_profile_of_a_session_refreshed_on_the_way_uses_the_new_token(world: WorldFactory) -> None:
    """With rotation on, the presented refresh token is spent by then."""
    town = world(project=Project(rotate_refresh=True))
    browser = await _signed_in(town)
    town.emulator.clock.advance(660)

    assert (await browser.get("/session/profile")).status_code == 200


@pytest.mark.parametrize("path", ["/session/profile", "/session/tenants"])
async def test_a_profile_of_a_revoked_session_ends_it(world: WorldFactory, path: str) -> None:
    """The session token still holds; Descope knows better, and what it says counts."""
    town = world()
    browser = await _signed_in(town)
    town.emulator.revoke("ada@acme.example")

    answer = await browser.get(path)

    assert answer.status_code == 401
    assert answer.json()["code"] == "session_ended"
    assert _cleared(answer.headers.get_list("set-cookie")) == {"DS", "DSR"}


async def test_an_inactivity_timeout_is_kept_awake(world: WorldFactory) -> None:
    """The session cookie lives until Descope wants to be asked again, not until the token expires."""
    town = world(project=Project(inactivity_seconds=120))
    browser = town.browser()
    await browser.sign_in()

    answer = await browser.sign_in()

    ages = [re.search(r"Max-Age=(\d+)", cookie) for cookie in answer.headers.get_list("set-cookie")]
    session_age = [
        int(age[1])
        for cookie, age in zip(answer.headers.get_list("set-cookie"), ages, strict=True)
        if age and cookie.startswith("DS=")
    ]
    assert 55 <= session_age[0] <= 60


async def test_tenant_names_are_asked_of_descope(world: WorldFactory) -> None:
    """For a switcher: ids and names."""
    browser = await _signed_in(world())

    assert (await browser.get("/session/tenants")).json() == {
        "tenants": {"acme": "Acme Corp", "globex": "Globex"}
    }


async def test_a_user_without_tenants_has_no_names_to_ask_for(world: WorldFactory) -> None:
    """No call is made for nothing."""
    town = world()
    pair = town.emulator.issue("nomad@example.org")
    cookie = f"DS={pair.session_jwt}; DSR={pair.refresh_jwt}"

    answer = await town.browser().get("/session/tenants", cookie=cookie)

    assert answer.json() == {"tenants": {}}
    assert town.calls("my_tenants") == 0


@pytest.mark.parametrize("path", ["/session/profile", "/session/tenants"])
async def test_a_bearer_session_has_no_refresh_token_to_ask_with(world: WorldFactory, path: str) -> None:
    """400 says what is missing."""
    town = world()
    pair = town.emulator.issue("ada@acme.example", tenant="acme")

    answer = await town.browser().get(path, authorization=f"Bearer {pair.session_jwt}")

    assert answer.status_code == 400
    assert "cookies" in answer.json()["detail"]


async def test_tn08_a_switch_sets_both_cookies_and_shows_the_new_session(world: WorldFactory) -> None:
    """From JSON as from a form."""
    town = world()
    browser = await _signed_in(town)

    answer = await browser.http.post(
        APP + "/tenant/select", json={"tenant": "globex"}, headers={"sec-fetch-site": "same-origin"}
    )

    assert answer.status_code == 200
    assert answer.json()["tenant"]["id"] == "globex"
    assert answer.headers["cache-control"] == "private, no-store"
    assert [cookie[:4] for cookie in answer.headers.get_list("set-cookie")] == ["DS=e", "DSR="]
    assert town.events[-1] == TenantSwitched(ADA, "globex")


@pytest.mark.parametrize(
    ("return_to", "location"), [("/reports", "/reports"), ("//evil.example", "/home"), (None, "/home")]
)
async def test_rt16_a_switch_by_a_page_goes_on_to_a_safe_path(
    world: WorldFactory, return_to: str | None, location: str
) -> None:
    """RT-16: the same rule as after a login."""
    town = world(post_login_path="/home")
    browser = await _signed_in(town)
    form = {"tenant": "globex"} | ({"return_to": return_to} if return_to else {})

    answer = await browser.post("/tenant/select", form, sec_fetch_mode="navigate")

    assert answer.status_code == 303
    assert answer.headers["location"] == location
    assert (RedirectRejected() in town.events) is (return_to == "//evil.example")


async def test_a_switch_by_htmx_moves_the_page(world: WorldFactory) -> None:
    """HTMX swaps fragments; a new tenant is a new page."""
    browser = await _signed_in(world())

    answer = await browser.post("/tenant/select", {"tenant": "globex", "return_to": "/x"}, hx_request="true")

    assert answer.status_code == 204
    assert answer.headers["hx-redirect"] == "/x"


async def test_tn07_a_tenant_one_is_not_in_is_403_and_keeps_the_session(world: WorldFactory) -> None:
    """Descope decides, because the token may be out of date."""
    town = world()
    browser = town.browser()
    await browser.sign_in("grace@acme.example")

    answer = await browser.post("/tenant/select", {"tenant": "globex"})

    assert answer.status_code == 403
    assert answer.json()["code"] == "forbidden"
    assert "set-cookie" not in answer.headers
    assert (await browser.get("/me")).json()["tenant"] == "acme"


async def test_a_switch_with_a_revoked_session_ends_it(world: WorldFactory) -> None:
    """401, and the cookies go."""
    town = world()
    browser = await _signed_in(town)
    town.emulator.revoke("ada@acme.example")

    answer = await browser.post("/tenant/select", {"tenant": "globex"})

    assert answer.status_code == 401
    assert answer.json()["code"] == "session_ended"
    assert _cleared(answer.headers.get_list("set-cookie")) == {"DS", "DSR"}


async def test_a_switch_during_an_outage_is_503_and_keeps_the_session(world: WorldFactory) -> None:
    """The old tenant stays."""
    town = world()
    browser = await _signed_in(town)
    town.emulator.faults.add("select", status=500)

    answer = await browser.post("/tenant/select", {"tenant": "globex"})

    assert answer.status_code == 503
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("tenant", ["", "a" * 129, "a\nb"])
async def test_a_switch_to_no_tenant_is_400(world: WorldFactory, tenant: str) -> None:
    """Nothing is asked upstream."""
    town = world()
    browser = await _signed_in(town)

    assert (await browser.post("/tenant/select", {"tenant": tenant})).status_code == 400
    assert town.calls("select") == 0


async def test_a_switch_of_nobody_is_401(world: WorldFactory) -> None:
    """There is no session to switch."""
    assert (await world().browser().post("/tenant/select", {"tenant": "globex"})).status_code == 401


@pytest.mark.parametrize("path", ["/logout", "/logout/all", "/tenant/select"])
@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_cs01_a_foreign_page_cannot_sign_out_or_switch(
    world: WorldFactory, path: str, site: str
) -> None:
    """403, nothing is asked upstream, no cookie changes."""
    town = world()
    browser = await _signed_in(town)

    answer = await browser.post(
        path, {"tenant": "globex"}, sec_fetch_site=site, origin="https://evil.example"
    )

    assert answer.status_code == 403
    assert answer.json()["code"] == "cross_site_request"
    assert "set-cookie" not in answer.headers
    assert town.calls("logout") + town.calls("logout_all") + town.calls("select") == 0
    assert town.events[-1] == CrossSiteRefused()


async def test_cs01_a_foreign_page_cannot_use_an_endpoint_either_nor_start_a_refresh(
    world: WorldFactory,
) -> None:
    """The check comes before the refresh, on every route that asks for the session."""
    town = world()
    browser = await _signed_in(town)
    town.emulator.clock.advance(660)

    answer = await browser.post("/session-of", sec_fetch_site="cross-site", origin="https://evil.example")

    assert answer.status_code == 403
    assert town.calls("refresh") == 0


@pytest.mark.parametrize("path", ["/logout", "/logout/all", "/tenant/select"])
async def test_cs08_what_changes_a_session_is_not_a_get(world: WorldFactory, path: str) -> None:
    """A link or a prefetch cannot do it (CS-08)."""
    town = world()
    browser = await _signed_in(town)

    answer = await browser.visit(path)

    assert answer.status_code == 405
    assert "set-cookie" not in answer.headers


async def test_lo01_a_person_who_signs_out_is_sent_on(world: WorldFactory) -> None:
    """The cookies are deleted with the attributes they were set with (CK-07)."""
    town = world(post_logout_path="/bye")
    browser = await _signed_in(town)

    answer = await browser.post("/logout", sec_fetch_mode="navigate")

    assert answer.status_code == 303
    assert answer.headers["location"] == "/bye"
    gone = "=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; HttpOnly; SameSite=Lax"
    assert answer.headers.get_list("set-cookie") == [f"DS{gone}", f"DSR{gone}"]
    assert town.events[-1] == SignedOut(everywhere=False, confirmed=True)


@pytest.mark.parametrize("status", [401, 429, 500])
async def test_lo01_the_cookies_go_whatever_descope_says(world: WorldFactory, status: int) -> None:
    """Signing out here does not need anybody's consent."""
    town = world()
    browser = await _signed_in(town)
    town.emulator.faults.add("logout", status=status)

    answer = await browser.post("/logout")

    assert answer.status_code == 204
    assert _cleared(answer.headers.get_list("set-cookie")) == {"DS", "DSR"}
    assert town.events[-1] == SignedOut(everywhere=False, confirmed=False)


async def test_lo02_signing_out_without_a_session_is_fine(world: WorldFactory) -> None:
    """Twice is as good as once; a body that is no form does not matter."""
    town = world()
    browser = town.browser()

    answer = await browser.http.post(APP + "/logout", content=b"\xff", headers={"content-type": "text/plain"})

    assert answer.status_code == 204
    assert town.calls("logout") == 0


async def test_lo03_no_late_request_revives_a_session_that_was_signed_out(world: WorldFactory) -> None:
    """Not even one whose refresh was remembered a moment ago."""
    town = world()
    browser = await _signed_in(town)
    old = f"DS={browser.cookie('DS')}; DSR={browser.cookie('DSR')}"
    town.emulator.clock.advance(660)
    await browser.get("/session-of")

    await browser.post("/logout")
    late = await town.browser().get("/session-of", cookie=old)

    assert late.status_code == 401
    assert late.json()["code"] == "session_ended"


async def test_tn12_signing_out_everywhere_ends_the_other_browser_too(world: WorldFactory) -> None:
    """At its next refresh at the latest."""
    town = world()
    desk, phone = await _signed_in(town), await _signed_in(town)

    answer = await desk.post("/logout/all", {"return_to": "/bye"}, sec_fetch_mode="navigate")
    town.emulator.clock.advance(660)

    assert answer.headers["location"] == "/bye"
    assert SignedOut(everywhere=True, confirmed=True) in town.events
    assert (await phone.get("/session-of")).status_code == 401


async def test_lo04_a_session_token_holds_until_its_end_wherever_it_is_checked(world: WorldFactory) -> None:
    """A logout deletes cookies and ends the refreshing; whoever copied the session token has it a while."""
    town = world()
    browser = await _signed_in(town)
    copied = f"Bearer {browser.cookie('DS')}"

    await browser.post("/logout")
    at_once = await town.browser().get("/session-of", authorization=copied)
    town.emulator.clock.advance(606)
    later = await town.browser().get("/session-of", authorization=copied)

    assert (at_once.status_code, later.status_code) == (200, 401)


async def test_tn12_who_left_a_tenant_is_out_of_it_at_the_next_refresh(world: WorldFactory) -> None:
    """Until then the session says otherwise: its lifetime is the bound."""
    kim = User("kim@acme.example", tenants={"acme": Grants(), "globex": Grants()})
    town = world(project=Project(users=(kim,)))
    pair = town.emulator.issue("kim@acme.example", "acme")
    cookie = f"DS={pair.session_jwt}; DSR={pair.refresh_jwt}"
    town.emulator.project = Project(users=(replace(kim, tenants={"globex": Grants()}),))

    before = await town.browser().get("/me", cookie=cookie)
    town.emulator.clock.advance(660)
    after = await town.browser().get("/me", cookie=cookie)

    assert before.json()["tenant"] == "acme"
    assert (after.status_code, after.json()["code"]) == (403, "no_tenant")


async def test_lo06_a_bearer_cannot_be_signed_out(world: WorldFactory) -> None:
    """There is no refresh token to revoke; saying yes would be a lie."""
    town = world()
    pair = town.emulator.issue("ada@acme.example")

    answer = await town.browser().post("/logout", authorization=f"Bearer {pair.session_jwt}")

    assert answer.status_code == 400


async def test_tn09_a_slow_refresh_does_not_undo_a_switch(world: WorldFactory) -> None:
    """Switch and refresh of one session run one after the other, rotation and all."""
    town = world(project=Project(rotate_refresh=True))
    browser = await _signed_in(town)
    old = f"DS={browser.cookie('DS')}; DSR={browser.cookie('DSR')}"
    town.emulator.clock.advance(660)
    town.emulator.faults.add("refresh", hold=True)
    refresh = asyncio.ensure_future(town.browser().get("/session-of", cookie=old))
    await town.emulator.faults.arrived()

    switch = asyncio.ensure_future(browser.post("/tenant/select", {"tenant": "globex"}))
    await asyncio.sleep(0)
    town.emulator.faults.release()
    refreshed, switched = await refresh, await switch
    late = await town.browser().get("/session-of", cookie=old)

    assert refreshed.status_code == 200
    assert switched.json()["tenant"]["id"] == "globex"
    assert late.json()["tenant"] == "globex"


async def test_tn10_the_tenants_of_a_session_keep_their_own_roles(world: WorldFactory) -> None:
    """The same user in alternation, always with the roles of the tenant at hand."""
    people = (
        User(
            login_id="kim@acme.example",
            name="Kim",
            tenants={"acme": Grants(roles=("a",)), "globex": Grants(roles=("b",))},
        ),
    )
    town = world(project=Project(users=people))
    tokens = {
        tenant: town.emulator.issue("kim@acme.example", tenant=tenant).session_jwt
        for tenant in ("acme", "globex")
    }

    for _ in range(50):
        for tenant, role in (("acme", "a"), ("globex", "b")):
            answer = await town.browser().get("/me", authorization=f"Bearer {tokens[tenant]}")
            assert (answer.json()["tenant"], answer.json()["roles"]) == (tenant, [role])
