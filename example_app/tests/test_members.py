"""The members page: admins manage the members of their organisation, over a socket to the emulator."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack

import httpx
import pytest
from descope import AuthException

from example_app.app import create_app
from example_app.tests.app_env import ADA, APP, GRACE, HANK, NOMAD, NOW, OpenBrowser
from fastapi_descope import DescopeSettings
from fastapi_descope.emulator import Clock, Emulator, Project, SeedUser
from fastapi_descope.emulator.server import running

pytestmark = pytest.mark.anyio

KEY = "management-key"
HEADERS = {"Origin": APP}


@pytest.fixture
async def emulator() -> AsyncGenerator[Emulator]:
    """Return an emulator on a socket, with a management key."""
    emulator = Emulator(Project(rotate_refresh=True, management_key=KEY), clock=Clock(lambda: float(NOW)))
    with running(emulator, host="localhost"):
        yield emulator


@pytest.fixture
async def open_browser(emulator: Emulator) -> AsyncGenerator[Callable[..., object]]:
    """Return a function that opens a browser in which a user is signed in to an organisation."""
    settings = DescopeSettings(project_id=emulator.project_id, base_url=emulator.base_url, public_url=APP)
    async with AsyncExitStack() as stack:

        async def start(
            user: str, tenant: str | None, *, key: str | None = KEY, actor: str | None = None
        ) -> httpx.AsyncClient:
            app = create_app(settings=settings, clock=emulator.clock, management_key=key)
            await stack.enter_async_context(app.router.lifespan_context(app))
            client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=APP)
            client.headers["Accept"] = "text/html"
            issued = emulator.issue(user, tenant, actor=actor)
            client.cookies.set("DS", issued.session_jwt, domain="127.0.0.1")
            client.cookies.set("DSR", issued.refresh_jwt, domain="127.0.0.1")
            return await stack.enter_async_context(client)

        yield start


def _id(login_id: str) -> str:
    return SeedUser(login_id).user_id


async def test_without_a_key_the_page_explains_itself(open_browser: OpenBrowser) -> None:
    """It names the variable. Nothing can be changed."""
    browser = await open_browser(ADA, "acme", key=None)
    page = await browser.get("/members")
    refused = await browser.post("/members", data={"email": "x@y.example", "role": "admin"}, headers=HEADERS)
    assert page.status_code == 200
    assert "DESCOPE_MANAGEMENT_KEY" in page.text
    assert "Invite someone" not in page.text
    assert refused.status_code == 404


async def test_only_those_who_may_manage_users_see_it(open_browser: OpenBrowser, emulator: Emulator) -> None:
    """Others get the page about the missing permission, and Descope is not called."""
    browser = await open_browser(GRACE, "acme")
    response = await browser.get("/members")
    assert response.status_code == 403
    assert "<strong>users.manage</strong>" in response.text
    assert emulator.requests.count("user_search") == 0


@pytest.mark.parametrize("path", ["/members", f"/members/{_id(GRACE)}/role", f"/members/{_id(GRACE)}/remove"])
async def test_who_acts_as_an_admin_changes_no_member(
    open_browser: OpenBrowser, emulator: Emulator, path: str
) -> None:
    """Support staff see what the admin sees, and cannot let themselves in for good."""
    browser = await open_browser(ADA, "acme", actor=HANK)
    assert (await browser.get("/members")).status_code == 200
    calls = len(emulator.requests)

    response = await browser.post(path, data={"email": "x@y.example", "role": "admin"}, headers=HEADERS)

    assert response.status_code == 403
    assert len(emulator.requests) == calls


async def test_the_members_are_those_of_the_current_organisation(open_browser: OpenBrowser) -> None:
    """With their roles there. The admin has no buttons for themselves."""
    page = (await (await open_browser(ADA, "acme")).get("/members")).text
    assert "Grace Hopper" in page
    assert HANK not in page
    assert f'action="/members/{_id(GRACE)}/role"' in page
    assert f'action="/members/{_id(ADA)}/role"' not in page


async def test_an_invited_user_can_sign_in(open_browser: OpenBrowser, emulator: Emulator) -> None:
    """With the role of the invitation, in this organisation only."""
    browser = await open_browser(HANK, "globex")
    data = {"email": " lin@globex.example ", "role": "viewer"}
    response = await browser.post("/members", data=data, headers=HEADERS)
    invited = emulator.project.find_user("lin@globex.example")
    assert (response.status_code, response.headers["location"]) == (303, "/members")
    assert invited is not None
    assert invited.status == "invited"
    assert {tenant: grants.roles for tenant, grants in invited.tenants.items()} == {"globex": ("viewer",)}
    assert "lin@globex.example" in (await browser.get("/members")).text


async def test_a_user_of_the_project_joins_at_once(open_browser: OpenBrowser, emulator: Emulator) -> None:
    """As one who has signed in by a social account. The memberships that they have stay."""
    nomad = await open_browser(NOMAD, None)
    before = await nomad.get("/reports")
    browser = await open_browser(HANK, "globex")
    for user in (NOMAD, GRACE):
        response = await browser.post("/members", data={"email": user, "role": "viewer"}, headers=HEADERS)
        assert response.status_code == 303
    emulator.clock.advance(660)
    after = await nomad.get("/reports")
    grace = emulator.project.find_user(GRACE)
    assert "in no organisation yet" in before.text
    assert 'name="tenant" value="globex"' in after.text
    assert grace is not None
    assert [grace.grants_in(tenant).roles for tenant in ("acme", "globex")] == [("viewer",), ("viewer",)]


@pytest.mark.parametrize("email", [ADA, HANK, HANK.upper()])
async def test_a_member_is_not_invited(open_browser: OpenBrowser, emulator: Emulator, email: str) -> None:
    """The page says so, and keeps what was typed. The roles are unchanged, also those of the admin."""
    browser = await open_browser(HANK, "globex")
    before = emulator.project
    response = await browser.post("/members", data={"email": email, "role": "viewer"}, headers=HEADERS)
    assert response.status_code == 400
    assert f"{email} is a member already" in response.text
    assert f'value="{email}" aria-invalid="true"' in response.text
    assert emulator.project is before


async def test_a_role_is_changed_in_this_organisation_only(
    open_browser: OpenBrowser, emulator: Emulator
) -> None:
    """The page says so. The session of the member has it after the next refresh."""
    ada, grace = await open_browser(ADA, "acme"), await open_browser(GRACE, "acme")
    response = await ada.post(f"/members/{_id(GRACE)}/role", data={"role": "admin"}, headers=HEADERS)
    page = await ada.get(response.headers["location"])
    before = await grace.get("/admin")
    emulator.clock.advance(660)
    after = await grace.get("/admin")
    changed = emulator.project.find_user(GRACE)
    assert response.status_code == 303
    assert "The role of Grace Hopper is admin now." in page.text
    assert (before.status_code, after.status_code) == (403, 200)
    assert changed is not None
    assert (changed.roles, changed.grants_in("acme").roles) == ((), ("admin",))


async def test_a_removed_member_stays_in_other_organisations(
    open_browser: OpenBrowser, emulator: Emulator
) -> None:
    """Ada is a member of two."""
    browser = await open_browser(HANK, "globex")
    response = await browser.post(f"/members/{_id(ADA)}/remove", headers=HEADERS)
    ada = emulator.project.find_user(ADA)
    assert response.status_code == 303
    assert ada is not None
    assert list(ada.tenants) == ["acme"]


@pytest.mark.parametrize(
    ("path", "data", "status"),
    [
        (f"{_id(HANK)}/role", {"role": "viewer"}, 404),
        (f"{_id(HANK)}/remove", {}, 404),
        (f"{_id(ADA)}/role", {"role": "viewer"}, 409),
        (f"{_id(ADA)}/remove", {}, 409),
        (f"{_id(GRACE)}/role", {"role": "owner"}, 422),
        (f"{_id(GRACE)}/role", {}, 422),
        ("", {"email": "no address", "role": "viewer"}, 422),
    ],
    ids=["other's role", "other's member", "own role", "own membership", "role", "no role", "address"],
)
async def test_what_an_admin_may_not_do(
    open_browser: OpenBrowser, emulator: Emulator, path: str, data: dict[str, str], status: int
) -> None:
    """Members of other organisations do not exist for them, and they do not lock themselves out."""
    browser = await open_browser(ADA, "acme")
    before = emulator.project
    response = await browser.post(f"/members/{path}".rstrip("/"), data=data, headers=HEADERS)
    assert response.status_code == status
    assert emulator.project is before


async def test_a_form_of_another_site_changes_nothing(open_browser: OpenBrowser, emulator: Emulator) -> None:
    """The plugin refuses it before Descope is called."""
    browser = await open_browser(ADA, "acme")
    response = await browser.post(
        f"/members/{_id(GRACE)}/remove", headers={"Origin": "https://elsewhere.example"}
    )
    assert response.status_code == 403
    assert emulator.requests.count("user_search") == 0


@pytest.mark.parametrize("status", [500, 503, 429])
async def test_an_outage_of_descope_is_a_503(
    open_browser: OpenBrowser, emulator: Emulator, status: int
) -> None:
    """The page says that the sign-in service cannot be reached. The session stays."""
    browser = await open_browser(ADA, "acme")
    emulator.faults.add("user_search", status=status, times=10)
    response = await browser.get("/members")
    assert response.status_code == 503
    assert "Try again" in response.text
    assert "set-cookie" not in response.headers


async def test_an_outage_during_an_invitation_adds_nobody(
    open_browser: OpenBrowser, emulator: Emulator
) -> None:
    """Only a refusal of a known address leads to the second way."""
    browser = await open_browser(ADA, "acme")
    emulator.faults.add("user_create", status=503, times=10)
    response = await browser.post("/members", data={"email": NOMAD, "role": "viewer"}, headers=HEADERS)
    assert response.status_code == 503
    assert emulator.requests.count("user_join") == 0


async def test_a_wrong_key_is_the_operators_error(open_browser: OpenBrowser) -> None:
    """It is not taken for an outage."""
    browser = await open_browser(ADA, "acme", key="wrong")
    with pytest.raises(AuthException, match="management key"):
        await browser.get("/members")
