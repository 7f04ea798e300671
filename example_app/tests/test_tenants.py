"""Switching between organisations, and what the roles in each of them open."""

import re

import httpx
import pytest

from example_app.tests.app_env import ADA, APP, GRACE, HANK, Visit
from fastapi_descope.emulator import Emulator

pytestmark = pytest.mark.anyio

_SET = re.compile(r"(DSR?)=[\w.-]+; (Max-Age=\d+; Path=/; HttpOnly; SameSite=Lax)")


def _set_cookies(response: httpx.Response) -> list[tuple[str, str]]:
    matches = [_SET.fullmatch(line) for line in response.headers.get_list("set-cookie")]
    return [(match[1], match[2]) for match in matches if match]


async def test_the_switcher_lists_the_organisations(visit: Visit) -> None:
    """Each has a button, and the current one says that it is."""
    browser = await visit(ADA, "globex")
    page = (await browser.get("/account")).text
    assert '<button class="row" name="tenant" value="acme">' in page
    assert '<button class="row" name="tenant" value="globex" aria-current="true">' in page
    assert '<input type="hidden" name="return_to" value="/account">' in page


async def test_one_organisation_needs_no_switcher(visit: Visit) -> None:
    """A member of one sees its name in the frame, and nothing to open there."""
    browser = await visit(HANK, "globex")
    page = (await browser.get("/reports")).text
    assert "Globex" in page
    assert "/tenant/select" not in page


async def test_switching_changes_what_is_shown(visit: Visit) -> None:
    """The form answers with both cookies and the way back; from then on it is the other organisation."""
    browser = await visit(ADA, "acme")
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


async def test_nobody_switches_to_where_they_do_not_belong(visit: Visit) -> None:
    """A tenant that the user is no member of is refused, and the session stays as it was."""
    browser = await visit(GRACE, "acme")
    response = await browser.post("/tenant/select", data={"tenant": "globex"}, headers={"Origin": APP})
    assert response.status_code == 403
    assert "set-cookie" not in response.headers
    assert "North bridge" in (await browser.get("/reports")).text


async def test_without_an_organisation_one_is_offered(visit: Visit) -> None:
    """A session without a current tenant leads to a page with a button for each."""
    browser = await visit(ADA)
    response = await browser.get("/reports")
    assert response.status_code == 403
    assert "Choose an organisation first" in response.text
    assert 'value="acme"' in response.text
    assert 'value="globex"' in response.text


async def test_without_any_membership_there_is_nothing_to_offer(visit: Visit) -> None:
    """A user without tenants is told so, and can still see the account."""
    browser = await visit("nomad@example.org")
    refused, account = await browser.get("/reports"), await browser.get("/account")
    assert (refused.status_code, account.status_code) == (403, 200)
    assert "You are not a member of any." in refused.text
    assert "none chosen" in account.text


async def test_admins_get_the_admin_page(visit: Visit) -> None:
    """With a way there in the frame."""
    browser = await visit(ADA, "acme")
    response = await browser.get("/admin")
    assert response.status_code == 200
    assert '<a href="/admin" aria-current="page">Admin</a>' in response.text


@pytest.mark.parametrize(
    ("user", "tenant", "name"), [(GRACE, "acme", "Acme Corp"), (ADA, "globex", "Globex")]
)
async def test_others_are_told_what_is_missing(visit: Visit, user: str, tenant: str, name: str) -> None:
    """A role in another organisation does not count; the page names the role, in the app's own frame."""
    browser = await visit(user, tenant)
    response = await browser.get("/admin")
    assert response.status_code == 403
    assert f"it takes the role <strong>admin</strong>, which you do not hold at {name}" in response.text
    assert 'href="/admin"' not in response.text


async def test_scripts_are_refused_in_their_own_language(visit: Visit) -> None:
    """Where no page is wanted, the plugin's problem document answers."""
    browser = await visit(GRACE, "acme", accept="application/json")
    response = await browser.get("/admin")
    assert response.status_code == 403
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == "missing_roles"
    assert response.json()["missing"] == ["admin"]


async def test_archiving_takes_a_report_off_the_list(visit: Visit) -> None:
    """For all of the organisation; its page stays, and says so."""
    ada, grace = await visit(ADA, "acme"), await visit(GRACE, "acme")
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
async def test_what_cannot_be_archived(
    visit: Visit, user: str, tenant: str, report: str, origin: str, status: int
) -> None:
    """The report stays on its organisation's list."""
    browser, grace = await visit(user, tenant), await visit(GRACE, "acme")
    response = await browser.post(f"/admin/reports/{report}/archive", headers={"Origin": origin})
    assert response.status_code == status
    assert "A-1042" in (await grace.get("/reports")).text


async def test_a_missing_permission_is_named(visit: Visit) -> None:
    """The page says which one."""
    browser = await visit(GRACE, "acme")
    response = await browser.post("/admin/reports/A-1042/archive", headers={"Origin": APP})
    assert "it takes the permission <strong>reports.write</strong>" in response.text


@pytest.mark.parametrize(("path", "endpoint"), [("/logout", "logout"), ("/logout/all", "logout_all")])
async def test_signing_out(visit: Visit, emulator: Emulator, path: str, endpoint: str) -> None:
    """Both cookies go, Descope is told, and the pages are out of reach."""
    browser = await visit(ADA, "acme")
    response = await browser.post(path, headers={"Origin": APP})
    gone = "Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; HttpOnly; SameSite=Lax"
    assert response.status_code == 303
    assert response.headers["location"] == "/"
    assert response.headers.get_list("set-cookie") == [f"DS=; {gone}", f"DSR=; {gone}"]
    assert emulator.requests.count(endpoint) == 1
    assert (await browser.get("/reports")).status_code == 303
