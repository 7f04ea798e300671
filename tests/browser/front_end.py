"""A front end that logs in with Descope's browser SDK as its guide describes, and the tab that shows it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.responses import FileResponse, Response
from playwright.sync_api import Page, expect

from fastapi_descope import CurrentSession
from tests.contract.sdks import NODE_SDKS

ADA = "ada@acme.example"

_PAGE = Path(__file__).with_name("front_end.html")
_SDK = NODE_SDKS / "node_modules" / "@descope" / "web-js-sdk" / "dist" / "index.umd.js"
_OIDC = NODE_SDKS / "node_modules" / "oidc-client-ts" / "dist" / "browser" / "oidc-client-ts.min.js"


@dataclass(frozen=True)
class FrontEnd:
    """The front end in a tab of a browser."""

    url: str
    page: Page

    def call_sdk(self, call: str) -> dict[str, Any]:
        """Run a call of the SDK, given as JavaScript, and return its result."""
        result: dict[str, Any] = self.page.evaluate(f"plain(sdk.{call})")
        return result

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression in the page."""
        return self.page.evaluate(expression)

    def open(self, host: str = "localhost") -> None:
        """Load the page."""
        self.page.goto(self.url.replace("localhost", host))

    def sign_in(self) -> None:
        """Sign Ada in through the sign-in page."""
        self.open()
        self.page.get_by_role("button", name="Sign in").click()
        self.page.get_by_role("button", name=ADA).click()
        expect(self.page.get_by_role("heading")).to_have_text(ADA)


def add_front_end(app: FastAPI, options: dict[str, object]) -> None:
    """Add the page, its scripts, the SDK's options, and a route that returns the session."""

    @app.get("/")
    async def index() -> FileResponse:
        return FileResponse(_PAGE)

    @app.get("/sdk.js")
    async def sdk() -> FileResponse:
        return FileResponse(_SDK)

    @app.get("/oidc.js")
    async def oidc() -> FileResponse:
        return FileResponse(_OIDC)

    @app.get("/options.js")
    async def sdk_options() -> Response:
        return Response(f"const OPTIONS = {json.dumps(options)};", media_type="text/javascript")

    @app.get("/who")
    async def who(session: CurrentSession) -> dict[str, str | None]:
        return {"user": session.user.id, "tenant": session.tenant_id}
