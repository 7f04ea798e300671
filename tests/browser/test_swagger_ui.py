"""FastAPI's documentation page in Chromium: sign in from it, and try out guarded routes.

The page is FastAPI's own. It loads Swagger UI from a CDN, whose requests get the files of the npm package.
"""

from pathlib import Path

import pytest
from fastapi import Depends
from playwright.sync_api import BrowserContext, Locator, Page, Route, expect

from fastapi_descope import CurrentSession, require_roles
from tests.browser.conftest import Site, SiteFactory
from tests.contract.sdks import NODE_SDKS

pytestmark = pytest.mark.browser

ADA = "ada@acme.example"

_SECONDS = 30
"""How long Swagger UI, 1.5 MB of JavaScript, may take to appear on a busy machine."""

_SWAGGER_UI = NODE_SDKS / "node_modules" / "swagger-ui-dist"


@pytest.fixture
def docs(site: SiteFactory, page: Page) -> Site:
    """Start an app with guarded routes, and serve Swagger UI from this machine."""
    started = site(default_tenant="acme")

    @started.app.get("/whoami", tags=["App"], operation_id="whoami")
    async def whoami(session: CurrentSession) -> str:
        return f"{session.user.id} {session.user.email}"

    @started.app.post("/whoami", tags=["App"], operation_id="change")
    async def change(session: CurrentSession) -> str:
        return f"{session.user.id} {session.user.email}"

    @started.app.get(
        "/owners", tags=["App"], operation_id="owners", dependencies=[Depends(require_roles("owner"))]
    )
    async def owners() -> str:
        return "only owners"

    _serve_swagger_ui(page.context)
    page.set_viewport_size({"width": 1200, "height": 1000})
    return started


def _serve_swagger_ui(context: BrowserContext) -> None:
    def fulfill(route: Route) -> None:
        route.fulfill(path=_SWAGGER_UI / Path(route.request.url).name)

    context.route("https://cdn.jsdelivr.net/npm/swagger-ui-dist@5/*", fulfill)
    context.route("https://fastapi.tiangolo.com/**", lambda route: route.abort())


def _sign_in(page: Page) -> Page:
    """Sign in through the link in the Authorize dialog. Returns the tab that shows the docs afterwards."""
    page.get_by_role("button", name="Authorize").first.click()
    with page.expect_popup() as opened:
        page.get_by_role("link", name="Sign in").click()
    tab = opened.value
    tab.get_by_role("button", name=ADA).click()
    expect(tab.get_by_role("heading", name="FastAPI")).to_be_visible(timeout=_SECONDS * 1000)
    page.get_by_role("button", name="Close").first.click()
    return tab


def _open_signed_in(docs: Site, page: Page) -> None:
    page.goto(docs.url + "/login/sso?return_to=/docs")
    page.get_by_role("button", name=ADA).click()
    expect(page.get_by_role("heading", name="FastAPI")).to_be_visible(timeout=_SECONDS * 1000)


def _try_out(page: Page, operation: str) -> Locator:
    """Open an operation and execute it. Returns the response that the page shows."""
    block = page.locator(f"#operations-{operation}")
    if "is-open" not in (block.get_attribute("class") or ""):
        block.locator(".opblock-summary-control").click()
        block.get_by_role("button", name="Try it out").click()
    block.get_by_role("button", name="Execute").click()
    return block.locator(".live-responses-table .response")


def test_a_user_signs_in_from_the_docs_and_tries_guarded_routes(docs: Site, page: Page) -> None:
    """Through the real login, and back to the docs. Both tabs are signed in then."""
    page.goto(docs.url + "/docs")
    page.get_by_role("heading", name="FastAPI").wait_for(timeout=_SECONDS * 1000)
    expect(_try_out(page, "App-whoami")).to_contain_text("not_authenticated")

    tab = _sign_in(page)

    assert tab.url == docs.url + "/docs"
    expect(_try_out(tab, "App-whoami")).to_contain_text(ADA)
    expect(_try_out(tab, "App-change")).to_contain_text(ADA)
    expect(_try_out(page, "App-whoami")).to_contain_text(ADA)


def test_a_route_that_requires_a_role_shows_the_problem(docs: Site, page: Page) -> None:
    """The operation lists the required role, and the response the missing one."""
    _open_signed_in(docs, page)

    response = _try_out(page, "App-owners")

    expect(response).to_contain_text("missing_roles")
    expect(page.locator("#operations-App-owners")).to_contain_text("x-required-roles")


def test_a_user_signs_out_from_the_docs(docs: Site, page: Page) -> None:
    """The description of the cookie names the operation."""
    _open_signed_in(docs, page)
    page.get_by_role("button", name="Authorize").first.click()
    expect(page.get_by_text("POST /logout signs out.")).to_be_visible()
    page.get_by_role("button", name="Close").first.click()

    expect(_try_out(page, "Sign-in-descope_logout_logout_post")).to_contain_text("204")

    expect(_try_out(page, "App-whoami")).to_contain_text("not_authenticated")
    assert page.context.cookies() == []
