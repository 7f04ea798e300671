"""Switching between organisations, and the access that the roles in each give."""

import re

import httpx
import pytest

from example_app.tests.app_env import ADA, APP, GRACE, HANK, NOMAD, OpenBrowser
from fastapi_descope.emulator import Emulator

pytestmark = pytest.mark.anyio

_SET = re.compile(r"(DSR?)=[\w.-]+; (Max-Age=\d+; Path=/; HttpOnly; SameSite=Lax)")


def _set_cookies(response: httpx.Response) -> list[tuple[str, str]]:
    matches = [_SET.fullmatch(line) for line in response.headers.get_list("set-cookie")]
    return [(match[1], match[2]) for match in matches if match]


async def test_the_switcher_lists_the_organisations(open_browser: OpenBrowser) -> None:
    """Each has a button, and the current one is marked."""
    browser = await open_browser(ADA, "globex")
    page = (await browser.get("/account")).text
    assert '<button class="row" name="tenant" value="acme">' in page
    assert '<button class="row" name="tenant" value="globex" aria-current="true">' in page
    assert '<input type="hidden" name="return_to" value="/account">' in page


async def test_one_organisation_needs_no_switcher(open_browser: OpenBrowser) -> None:
    """A member of one organisation sees its name without a switcher."""
    browser = await open_browser(HANK, "globex")
    page = (await browser.get("/reports")).text
    assert "Globex" in page
    assert "/tenant/select" not in page


async def test_switching_shows_the_other_organisation(open_browser: OpenBrowser) -> None:
    """The response sets both cookies and redirects back."""
    browser = await open_browser(ADA, "acme")
    fields = {"tenant": "globex", "return_to": "/reports"}
    response = await browser.post("/tenant/select", data=fields, headers={"Origin": APP})
    assert response.status_code == 303
    assert response.headers["location"] == "/reports"
    assert _set_cookies(response) == [
        ("DS", "Max-Age=600; Path=/; HttpOnly; SameSite=Lax"),
        ("DSR", "Max-Age=2419200; Path=/; HttpOnly; SameSite=Lax"),
    ]
    page = (await browser.get("/reports")).text
    assert "Cooling tower" in page
    assert "North bridge" not in page


async def test_switching_needs_a_membership(open_browser: OpenBrowser) -> None:
    """Another tenant is refused, and the session does not change."""
    browser = await open_browser(GRACE, "acme")
    response = await browser.post("/tenant/select", data={"tenant": "globex"}, headers={"Origin": APP})
    assert response.status_code == 403
    assert "set-cookie" not in response.headers
    assert "North bridge" in (await browser.get("/reports")).text


async def test_a_user_in_no_organisation_learns_how_to_join_one(open_browser: OpenBrowser) -> None:
    """With the address that an admin has to invite, and with a way to another account."""
    browser = await open_browser(NOMAD)
    response = await browser.get("/reports")
    assert response.status_code == 403
    assert "You are signed in, but in no organisation yet" in response.text
    assert f"invite <strong>{NOMAD}</strong>" in response.text
    assert "/tenant/select" not in response.text
    assert "none chosen" in (await browser.get("/account")).text
    signed_out = await browser.post("/logout", data={"return_to": "/reports"}, headers={"Origin": APP})
    assert (signed_out.status_code, signed_out.headers["location"]) == (303, "/reports")


async def test_a_user_without_a_current_organisation_chooses_one(open_browser: OpenBrowser) -> None:
    """As after a social login. The page that was asked for is shown then."""
    browser = await open_browser(ADA)
    response = await browser.get("/reports/A-1042")
    assert response.status_code == 403
    assert "Where do you want to work?" in response.text
    assert 'value="acme"' in response.text
    assert 'value="globex"' in response.text
    form = {"tenant": "acme", "return_to": "/reports/A-1042"}
    assert f'<input type="hidden" name="return_to" value="{form["return_to"]}">' in response.text
    switched = await browser.post("/tenant/select", data=form, headers={"Origin": APP})
    assert (switched.status_code, switched.headers["location"]) == (303, "/reports/A-1042")


async def test_a_form_without_an_organisation_leads_to_the_reports(open_browser: OpenBrowser) -> None:
    """The path of a form is not one to return to."""
    browser = await open_browser(GRACE)
    response = await browser.post("/reports/A-1042/delete", headers={"Origin": APP})
    assert response.status_code == 403
    assert '<input type="hidden" name="return_to" value="/reports">' in response.text


async def test_a_script_without_an_organisation_gets_a_problem(open_browser: OpenBrowser) -> None:
    """The page is for browsers."""
    browser = await open_browser(NOMAD, accept="application/json")
    response = await browser.get("/reports")
    assert (response.status_code, response.json()["code"]) == (403, "no_tenant")


async def test_admins_see_the_admin_page(open_browser: OpenBrowser) -> None:
    """The navigation links to it."""
    browser = await open_browser(ADA, "acme")
    response = await browser.get("/admin")
    assert response.status_code == 200
    assert '<a href="/admin" aria-current="page">Admin</a>' in response.text


@pytest.mark.parametrize(
    ("user", "tenant", "name"), [(GRACE, "acme", "Acme Corp"), (ADA, "globex", "Globex")]
)
async def test_other_users_see_which_role_is_missing(
    open_browser: OpenBrowser, user: str, tenant: str, name: str
) -> None:
    """A role in another organisation does not count."""
    browser = await open_browser(user, tenant)
    response = await browser.get("/admin")
    assert response.status_code == 403
    assert f"this needs the role <strong>admin</strong>, which you do not have at {name}" in response.text
    assert 'href="/admin"' not in response.text


async def test_scripts_get_a_problem_document(open_browser: OpenBrowser) -> None:
    """The plugin responds if the client does not accept HTML."""
    browser = await open_browser(GRACE, "acme", accept="application/json")
    response = await browser.get("/admin")
    assert response.status_code == 403
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == "missing_roles"
    assert response.json()["missing"] == ["admin"]


async def test_archiving_removes_a_report_from_the_list(open_browser: OpenBrowser) -> None:
    """For the whole organisation. Its page stays and shows that it is archived."""
    ada, grace = await open_browser(ADA, "acme"), await open_browser(GRACE, "acme")
    response = await ada.post("/admin/reports/A-1042/archive", headers={"Origin": APP})
    assert response.status_code == 303
    assert response.headers["location"] == "/admin"
    assert "A-1042" not in (await grace.get("/reports")).text
    assert "(archived)" in (await grace.get("/reports/A-1042")).text


@pytest.mark.parametrize(
    ("user", "tenant", "report", "origin", "status"),
    [
        (HANK, "globex", "A-1042", APP, 404),
        (ADA, "acme", "A-9999", APP, 404),
        (GRACE, "acme", "A-1042", APP, 403),
        (ADA, "acme", "A-1042", "https://elsewhere.example", 403),
    ],
    ids=["another organisation's", "unknown", "without the permission", "from another site"],
)
async def test_archiving_is_refused(
    open_browser: OpenBrowser, user: str, tenant: str, report: str, origin: str, status: int
) -> None:
    """The report stays on the list of its organisation."""
    browser, grace = await open_browser(user, tenant), await open_browser(GRACE, "acme")
    response = await browser.post(f"/admin/reports/{report}/archive", headers={"Origin": origin})
    assert response.status_code == status
    assert "A-1042" in (await grace.get("/reports")).text


async def test_a_missing_permission_is_named(open_browser: OpenBrowser) -> None:
    """The page names the permission."""
    browser = await open_browser(GRACE, "acme")
    response = await browser.post("/admin/reports/A-1042/archive", headers={"Origin": APP})
    assert "this needs the permission <strong>reports.write</strong>" in response.text


@pytest.mark.parametrize(("path", "endpoint"), [("/logout", "logout"), ("/logout/all", "logout_all")])
async def test_logout(open_browser: OpenBrowser, emulator: Emulator, path: str, endpoint: str) -> None:
    """Both cookies are deleted, the session is revoked at Descope, and pages redirect to the login."""
    browser = await open_browser(ADA, "acme")
    response = await browser.post(path, headers={"Origin": APP})
    deletion = "Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; HttpOnly; SameSite=Lax"
    assert response.status_code == 303
    assert response.headers["location"] == "/"
    assert response.headers.get_list("set-cookie") == [f"DS=; {deletion}", f"DSR=; {deletion}"]
    assert emulator.requests.count(endpoint) == 1
    assert (await browser.get("/reports")).status_code == 303
