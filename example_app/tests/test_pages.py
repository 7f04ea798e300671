"""The pages: who may see them, and their content."""

import re
from dataclasses import replace
from html import unescape

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import select

from example_app.models import Report
from example_app.tests.app_env import (
    ADA,
    APP,
    DESCOPE,
    GRACE,
    HANK,
    OpenBrowser,
    archive,
    build_app,
    session,
)
from fastapi_descope.emulator import Emulator

pytestmark = pytest.mark.anyio

ACME_ONLY, GLOBEX_ONLY = "North bridge, spring inspection", "Cooling tower, water quality"
SECURITY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " base-uri 'none'; frame-ancestors 'none'"
)
FORM = {
    "organisation": "acme",
    "title": "Roof anchors, second visit",
    "site": "Harbour warehouse",
    "finding": "Urgent",
    "summary": "One anchor moves.",
    "notes": "Anchor 7 holds.\r\n\r\nAnchor 8 <moves>.",
}


async def test_home_is_public(open_browser: OpenBrowser, emulator: Emulator) -> None:
    """An unauthenticated request gets a link to sign in. No cookie is set, and Descope is not called."""
    browser = await open_browser()
    response = await browser.get("/")
    assert response.status_code == 200
    assert '<a class="button" href="/reports">Sign in</a>' in response.text
    assert "set-cookie" not in response.headers
    assert response.headers["content-security-policy"] == SECURITY
    assert {call.endpoint for call in emulator.requests} <= {"keys"}  # fetched at the start


async def test_home_varies_by_session(open_browser: OpenBrowser) -> None:
    """It greets a signed-in user, so the response has Vary. It sets no cookie."""
    browser = await open_browser(ADA, "acme")
    response = await browser.get("/")
    assert "Welcome back, Ada Lovelace" in response.text
    assert response.headers["vary"] == "Cookie, Authorization"
    assert response.headers["cache-control"] == "private"
    assert "set-cookie" not in response.headers


async def test_home_links_to_the_demo_users(open_browser: OpenBrowser, emulator: Emulator) -> None:
    """The links start a login."""
    browser = await open_browser()
    links = re.findall(r'href="(/login/sso\?tenant=[^"]+)"', (await browser.get("/")).text)
    responses = [await browser.get(unescape(link)) for link in links]
    assert [response.status_code for response in responses] == [303, 303]
    assert all(response.headers["location"].startswith(f"{DESCOPE}/signin/") for response in responses)
    assert [call.query["tenant"] for call in emulator.requests.for_endpoint("authorize")] == [ADA, HANK]


@pytest.mark.parametrize("path", ["/healthz", "/static/style.css", "/static/icon.svg"])
async def test_paths_without_the_session_do_not_vary(open_browser: OpenBrowser, path: str) -> None:
    """A path that does not use the session sets no cookie and no Vary, even for a signed-in user."""
    browser = await open_browser(ADA, "acme")
    response = await browser.get(path)
    assert response.status_code == 200
    assert not {"set-cookie", "vary"} & set(response.headers)


@pytest.mark.parametrize(
    ("path", "return_to"),
    [("/reports", "%2Freports"), ("/account", "%2Faccount"), ("/admin", "%2Fadmin")],
)
async def test_unauthenticated_requests_are_redirected_to_the_login(
    open_browser: OpenBrowser, path: str, return_to: str
) -> None:
    """The redirect contains the requested page as ``return_to``."""
    browser = await open_browser()
    response = await browser.get(path)
    assert response.status_code == 303
    assert response.headers["location"] == f"/login?return_to={return_to}"


@pytest.mark.parametrize(
    ("user", "tenant", "own_report", "other_report"),
    [
        (ADA, "acme", ACME_ONLY, GLOBEX_ONLY),
        (GRACE, "acme", ACME_ONLY, GLOBEX_ONLY),
        (ADA, "globex", GLOBEX_ONLY, ACME_ONLY),
        (HANK, "globex", GLOBEX_ONLY, ACME_ONLY),
    ],
)
async def test_an_organisation_sees_its_own_reports(
    open_browser: OpenBrowser, user: str, tenant: str, own_report: str, other_report: str
) -> None:
    """The reports are those of the current tenant, not of the user's other tenants."""
    browser = await open_browser(user, tenant)
    response = await browser.get("/reports")
    assert response.status_code == 200
    assert own_report in response.text
    assert other_report not in response.text


async def test_a_report_is_a_404_for_other_organisations(open_browser: OpenBrowser) -> None:
    """Also with its URL."""
    grace, hank = await open_browser(GRACE, "acme"), await open_browser(HANK, "globex")
    for report in ("A-1042", "A-1041", "A-1038", "A-1033"):
        own, foreign = await grace.get(f"/reports/{report}"), await hank.get(f"/reports/{report}")
        assert (own.status_code, foreign.status_code) == (200, 404)
        assert report in own.text
        assert report not in foreign.text


async def test_an_unknown_organisation_has_no_reports(open_browser: OpenBrowser, emulator: Emulator) -> None:
    """A tenant without data gets an empty list under its id, not an error."""
    ada = emulator.project.users[0]
    tenants = (replace(emulator.project.tenants[0], id="newcomer", name="", domains=()),)
    member = replace(ada, tenants={"newcomer": ada.tenants["acme"]})
    emulator.project = replace(emulator.project, tenants=tenants, users=(member,))
    browser = await open_browser(ADA, "newcomer")
    response = await browser.get("/reports")
    assert response.status_code == 200
    assert "No reports yet" in response.text
    assert "newcomer" in response.text


async def test_the_account_shows_the_session(open_browser: OpenBrowser, emulator: Emulator) -> None:
    """User, tenant, roles, permissions, authentication method, and times in UTC."""
    browser = await open_browser(ADA, "acme")
    emulator.clock.advance(75)
    response = await browser.get("/account")
    assert response.status_code == 200
    for text in (
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
        assert text in response.text


@pytest.mark.parametrize(
    ("amr", "text"),
    [
        (("oauth",), "a social account"),
        (("email",), "a link or a code by e-mail"),
        (("fed", "mfa"), "single sign-on, a second factor"),
        (("webauthn",), "a passkey"),
        (("smoke",), "smoke"),
        ((), "unknown"),
    ],
)
async def test_the_account_names_the_way_in(
    open_browser: OpenBrowser, emulator: Emulator, amr: tuple[str, ...], text: str
) -> None:
    """In words, or as Descope spells a method that has none."""
    ada = replace(emulator.project.users[0], amr=amr)
    emulator.project = emulator.project.with_user(ada)
    browser = await open_browser(ADA, "acme")
    assert f"<dt>Signed in with</dt><dd>{text}</dd>" in (await browser.get("/account")).text


async def test_login_page_offers_every_way_in_the_look_of_the_site(open_browser: OpenBrowser) -> None:
    """The work e-mail first, then the providers, then the link."""
    browser = await open_browser()
    page = (await browser.get("/login?return_to=/reports")).text
    ways = ("Work e-mail", "Continue with Google", "Continue with GitHub", "E-mail me a link")
    places = [page.index(way) for way in ways]
    assert places == sorted(places)
    assert 'data-page="login"' in page
    assert '<link rel="stylesheet" href="/static/style.css">' in page


async def test_single_sign_on_alone_needs_no_page_with_ways(emulator: Emulator) -> None:
    """The app has the default setting then. The same link leads to the login."""
    app = build_app(emulator, ways_in=("sso",))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=APP) as browser:
        response = await browser.get("/reports", headers={"Accept": "text/html"})
    assert response.headers["location"] == "/login/sso?return_to=%2Freports"


async def test_names_are_escaped(open_browser: OpenBrowser, emulator: Emulator) -> None:
    """A user name with markup is shown as text."""
    ada = replace(emulator.project.users[0], name="<script>alert(1)</script>")
    emulator.project = replace(emulator.project, users=(ada,))
    browser = await open_browser(ADA, "acme")
    response = await browser.get("/account")
    assert "<script>" not in response.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in response.text


async def test_filing_a_report(open_browser: OpenBrowser) -> None:
    """It gets the next number and the name of the user. HTMX is redirected by a header."""
    browser = await open_browser(ADA, "acme")
    headers = {"Origin": APP}
    filed = await browser.post("/reports", data=FORM, headers=headers)
    by_htmx = await browser.post("/reports", data=FORM, headers=headers | {"HX-Request": "true"})
    page = (await browser.get("/reports/A-1043")).text
    assert (filed.status_code, filed.headers["location"]) == (303, "/reports/A-1043")
    assert (by_htmx.status_code, by_htmx.headers["hx-redirect"]) == (204, "/reports/A-1044")
    for text in (
        "Ada Lovelace",
        "15 January 2027",
        "<p>Anchor 7 holds.</p>",
        "<p>Anchor 8 &lt;moves&gt;.</p>",
    ):
        assert text in page
    assert "Roof anchors, second visit" in (await browser.get("/reports")).text


async def test_a_report_is_filed_in_the_organisation_of_its_form_only(open_browser: OpenBrowser) -> None:
    """The user has switched in another tab since the form was opened."""
    browser = await open_browser(HANK, "globex")
    response = await browser.post("/reports", data=FORM, headers={"Origin": APP})
    assert response.status_code == 403
    assert "This belongs to another organisation" in response.text
    assert "Roof anchors, second visit" not in (await browser.get("/reports")).text


@pytest.mark.parametrize("field", ["title", "site", "finding", "summary"])
async def test_a_form_with_an_empty_field_is_refused(open_browser: OpenBrowser, field: str) -> None:
    """The browser refuses it before, so there is no page about it."""
    browser = await open_browser(ADA, "acme")
    response = await browser.post("/reports", data=FORM | {field: "  "}, headers={"Origin": APP})
    assert response.status_code == 422
    assert "4 open" in (await browser.get("/reports")).text


async def test_viewers_file_no_reports(open_browser: OpenBrowser) -> None:
    """They see neither the link nor the form."""
    browser = await open_browser(GRACE, "acme")
    assert "/reports/new" not in (await browser.get("/reports")).text
    assert (await browser.get("/reports/new")).status_code == 403
    response = await browser.post("/reports", data=FORM, headers={"Origin": APP})
    assert response.status_code == 403


async def test_pages_of_the_plugin_have_the_look_of_the_site(open_browser: OpenBrowser) -> None:
    """An error and the question for the organisation."""
    browser = await open_browser()
    navigation = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    for path, status in (("/callback?code=a&state=b", 400), ("/login/sso", 200)):
        response = await browser.get(path, headers=navigation)
        assert response.status_code == status
        assert '<link rel="stylesheet" href="/static/style.css">' in response.text
        assert "Fieldnotes is the example app" in response.text


async def test_an_unknown_path(open_browser: OpenBrowser) -> None:
    """Browsers get the app's page, scripts get FastAPI's response."""
    browser, script = await open_browser(), await open_browser(accept="application/json")
    page, json = await browser.get("/nowhere"), await script.get("/nowhere")
    assert (page.status_code, json.status_code) == (404, 404)
    assert "There is nothing here" in page.text
    assert json.json() == {"detail": "Not Found"}


async def test_two_apps_share_no_data(app: FastAPI, emulator: Emulator) -> None:
    """Each app has a temporary database of its own, so tests do not affect each other."""
    other = build_app(emulator)
    async with other.router.lifespan_context(other):
        await archive(app, "A-1042")
        for each, archived in ((app, 1), (other, 0)):
            async with session(each, "acme") as db:
                reports = (await db.scalars(select(Report))).all()
            assert sum(report.archived for report in reports) == archived
