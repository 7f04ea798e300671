"""The pages: who may see which, and what is on them."""

import re
from dataclasses import replace
from html import unescape

import pytest

from example_app.tests.app_env import ADA, DESCOPE, GRACE, HANK, Visit, build_app
from fastapi_descope.emulator import Emulator

pytestmark = pytest.mark.anyio

ACME_ONLY, GLOBEX_ONLY = "North bridge, spring inspection", "Cooling tower, water quality"
SECURITY = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'"


async def test_home_is_public(visit: Visit, emulator: Emulator) -> None:
    """A stranger gets the sign-in form; no cookie is set, and nobody is called."""
    browser = await visit()
    response = await browser.get("/")
    assert response.status_code == 200
    assert 'action="/login/sso"' in response.text
    assert "set-cookie" not in response.headers
    assert response.headers["content-security-policy"] == SECURITY
    assert len(emulator.requests) == 0


async def test_home_depends_on_who_asks(visit: Visit) -> None:
    """It greets who is signed in, so caches are told that it varies; still no cookie is set."""
    browser = await visit(ADA, "acme")
    response = await browser.get("/")
    assert "Welcome back, Ada Lovelace" in response.text
    assert response.headers["vary"] == "Cookie, Authorization"
    assert response.headers["cache-control"] == "private"
    assert "set-cookie" not in response.headers


async def test_home_offers_accounts_to_try(visit: Visit, emulator: Emulator) -> None:
    """The demo's accounts are one click away, and the click leads to the sign-in."""
    browser = await visit()
    links = re.findall(r'href="(/login/sso\?tenant=[^"]+)"', (await browser.get("/")).text)
    responses = [await browser.get(unescape(link)) for link in links]
    assert [response.status_code for response in responses] == [303, 303]
    assert all(response.headers["location"].startswith(f"{DESCOPE}/signin/") for response in responses)
    assert [call.query["tenant"] for call in emulator.requests.for_endpoint("authorize")] == [ADA, HANK]


@pytest.mark.parametrize("path", ["/healthz", "/static/style.css", "/static/icon.svg"])
async def test_what_asks_for_nobody_varies_by_nobody(visit: Visit, path: str) -> None:
    """A path that never asks who is calling gets neither a cookie nor a Vary, even with a session."""
    browser = await visit(ADA, "acme")
    response = await browser.get(path)
    assert response.status_code == 200
    assert not {"set-cookie", "vary"} & set(response.headers)


@pytest.mark.parametrize(
    ("path", "back"),
    [("/reports", "%2Freports"), ("/account", "%2Faccount"), ("/admin", "%2Fadmin")],
)
async def test_strangers_are_sent_to_the_login(visit: Visit, path: str, back: str) -> None:
    """A page that needs a session sends a person to the sign-in, and notes where they wanted to go."""
    browser = await visit()
    response = await browser.get(path)
    assert response.status_code == 303
    assert response.headers["location"] == f"/login/sso?return_to={back}"


@pytest.mark.parametrize(
    ("user", "tenant", "theirs", "others"),
    [
        (ADA, "acme", ACME_ONLY, GLOBEX_ONLY),
        (GRACE, "acme", ACME_ONLY, GLOBEX_ONLY),
        (ADA, "globex", GLOBEX_ONLY, ACME_ONLY),
        (HANK, "globex", GLOBEX_ONLY, ACME_ONLY),
    ],
)
async def test_an_organisation_sees_its_own_reports(
    visit: Visit, user: str, tenant: str, theirs: str, others: str
) -> None:
    """The current tenant decides what is listed, whoever the user is elsewhere."""
    browser = await visit(user, tenant)
    response = await browser.get("/reports")
    assert response.status_code == 200
    assert theirs in response.text
    assert others not in response.text


async def test_a_report_is_there_for_its_organisation_alone(visit: Visit) -> None:
    """By its address, too: for everybody else it does not exist."""
    grace, hank = await visit(GRACE, "acme"), await visit(HANK, "globex")
    for report in ("A-1042", "A-1041", "A-1038", "A-1033"):
        own, foreign = await grace.get(f"/reports/{report}"), await hank.get(f"/reports/{report}")
        assert (own.status_code, foreign.status_code) == (200, 404)
        assert report in own.text
        assert report not in foreign.text


async def test_an_unknown_organisation_starts_out_empty(visit: Visit, emulator: Emulator) -> None:
    """A tenant that the app has never heard of gets an empty list under its id, not an error."""
    ada = emulator.project.users[0]
    tenants = (replace(emulator.project.tenants[0], id="newcomer", name="", domains=()),)
    member = replace(ada, tenants={"newcomer": ada.tenants["acme"]})
    emulator.project = replace(emulator.project, tenants=tenants, users=(member,))
    browser = await visit(ADA, "newcomer")
    response = await browser.get("/reports")
    assert response.status_code == 200
    assert "No reports yet" in response.text
    assert "newcomer" in response.text


async def test_the_account_shows_the_session(visit: Visit, emulator: Emulator) -> None:
    """User, tenant, roles, permissions, method, and the times in UTC."""
    browser = await visit(ADA, "acme")
    emulator.clock.advance(75)
    response = await browser.get("/account")
    assert response.status_code == 200
    for shown in (
        emulator.project.users[0].user_id,
        ADA,
        "Acme Corp <code>acme</code>",
        "<dd>admin</dd>",
        "reports.read, reports.write, users.manage",
        "single sign-on",
        "08:00:00 UTC, 15 Jan 2027",
        "08:10:00 UTC, 15 Jan 2027",
        "8 min 45 s",
    ):
        assert shown in response.text


async def test_names_are_text_and_never_markup(visit: Visit, emulator: Emulator) -> None:
    """A user who calls himself a script shows up as one, and does not run."""
    ada = replace(emulator.project.users[0], name="<script>alert(1)</script>")
    emulator.project = replace(emulator.project, users=(ada,))
    browser = await visit(ADA, "acme")
    response = await browser.get("/account")
    assert "<script>" not in response.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in response.text


async def test_an_address_that_leads_nowhere(visit: Visit) -> None:
    """People get the app's own page, scripts get FastAPI's answer."""
    person, script = await visit(), await visit(accept="application/json")
    page, json = await person.get("/nowhere"), await script.get("/nowhere")
    assert (page.status_code, json.status_code) == (404, 404)
    assert "There is nothing here" in page.text
    assert json.json() == {"detail": "Not Found"}


async def test_two_apps_share_no_data(visit: Visit, emulator: Emulator) -> None:
    """Each app has a library of its own, so a test may archive what it likes."""
    one, other = build_app(emulator), build_app(emulator)
    one.state.library.shelf("acme").archive("A-1042")
    assert len(one.state.library.shelf("acme").open()) == 3
    assert len(other.state.library.shelf("acme").open()) == 4
