"""The page of docs/how-to/flows.md in Chromium: a component's tokens become the cookies of a session.

Descope's web component loads its flow from Descope, so it does not run here. A custom element with the same
name stands for it: its button dispatches ``success`` with the tokens of the emulator.
"""

import json
import re
from pathlib import Path

import pytest
from fastapi import FastAPI, Response
from fastapi.responses import HTMLResponse
from playwright.sync_api import Page, expect

from fastapi_descope import CurrentSession
from fastapi_descope.emulator import Emulator
from tests.browser.conftest import ADA, Site, SiteFactory

pytestmark = pytest.mark.browser

_GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "flows.md"

_COMPONENT = """
customElements.define("descope-wc", class extends HTMLElement {
  connectedCallback() {
    const button = Object.assign(document.createElement("button"), { textContent: "Use a passkey" });
    button.addEventListener("click", () => {
      this.dispatchEvent(new CustomEvent("success", { detail: TOKENS }));
    });
    this.append(button);
  }
});
"""


def _page_of_the_guide() -> str:
    match = re.search(r'PAGE = """(.*?)"""', _GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert match is not None
    return match[1]


def _open(site: SiteFactory, page: Page, session_jwt: str, refresh_jwt: str, emulator: Emulator) -> Site:
    """Open a protected page, which leads to the page with the flow."""
    tokens = json.dumps({"sessionJwt": session_jwt, "refreshJwt": refresh_jwt})

    def pages(app: FastAPI) -> None:
        @app.get("/welcome")
        async def welcome() -> HTMLResponse:
            return HTMLResponse(_page_of_the_guide().replace("PROJECT", emulator.project_id))

        @app.get("/static/descope-web-component.js")
        async def component() -> Response:
            return Response(_COMPONENT.replace("TOKENS", tokens), media_type="text/javascript")

        @app.get("/me")
        async def me(session: CurrentSession) -> HTMLResponse:
            return HTMLResponse(f"<h1>{session.user.email}</h1>")

    app = site(emulator, pages=pages, login_methods=["flow"], login_path="/welcome")
    page.goto(app.url + "/me?page=2")
    assert page.url == app.url + "/welcome?return_to=%2Fme%3Fpage%3D2"
    return app


def test_ho05_flow_on_the_page_of_the_guide_signs_in(site: SiteFactory, page: Page) -> None:
    """HO-05: and returns to the page that was asked for. Then no script can read a token."""
    emulator = Emulator()
    issued = emulator.issue(ADA)
    app = _open(site, page, issued.session_jwt, issued.refresh_jwt, emulator)

    page.get_by_role("button", name="Use a passkey").click()

    expect(page.get_by_role("heading")).to_have_text(ADA)
    assert page.url == app.url + "/me?page=2"
    assert {cookie.get("name") for cookie in page.context.cookies()} >= {"DS", "DSR"}
    assert page.evaluate("document.cookie") == ""
    assert emulator.requests.count("refresh") == 1


def test_refused_tokens_of_a_flow_are_explained_on_the_page(site: SiteFactory, page: Page) -> None:
    """Tokens of two users. The page stays, and no cookie is set."""
    emulator = Emulator()
    ada, grace = emulator.issue(ADA), emulator.issue("grace@acme.example")
    app = _open(site, page, ada.session_jwt, grace.refresh_jwt, emulator)

    page.get_by_role("button", name="Use a passkey").click()

    expect(page.get_by_role("alert")).not_to_be_empty()
    assert page.url.startswith(app.url + "/welcome")
    assert not [cookie for cookie in page.context.cookies() if str(cookie.get("name")).startswith("DS")]
