"""The journey that ``scripts/demo --check`` runs: its output, and that it detects failures."""

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import select

from example_app.browser import Browser
from example_app.journey import Journey
from example_app.models import Person
from example_app.tests.app_env import ADA, APP, archive, build_app, build_browser, build_emulator, session
from fastapi_descope.emulator import Emulator, Project

pytestmark = pytest.mark.anyio


async def test_the_journey_passes(app: FastAPI, emulator: Emulator) -> None:
    """Twenty-nine steps with one line each; the last ones sign in by other ways."""
    lines: list[str] = []
    assert await Journey(build_browser(app, emulator), emulator, lines.append).run()
    assert len(lines) == 29
    assert lines[7] == (
        " 8  clock +11 min, GET /reports               200  refreshed: 1 call, new DS and DSR, expires +660 s"
    )
    assert lines[8].endswith("8 x 200  refreshed: 1 call for all")
    assert lines[23].endswith("signed in with a social account")
    assert lines[28].endswith("signed in with a link by e-mail")


async def test_the_output_contains_no_secret(app: FastAPI, emulator: Emulator) -> None:
    """No line contains a token, a code, a state or an e-mail address."""
    lines: list[str] = []
    await Journey(build_browser(app, emulator), emulator, lines.append).run()
    output = "\n".join(lines)
    assert not [word for word in ("eyJ", "code=", "state=", ADA) if word in output]


async def test_a_failing_refresh_is_detected(app: FastAPI, emulator: Emulator) -> None:
    """The journey stops at the first step that fails."""
    lines: list[str] = []
    emulator.faults.add("refresh", status=500, times=10)
    assert not await Journey(build_browser(app, emulator), emulator, lines.append).run()
    assert lines[-1] == " 8  FAILED: status: expected 200, got 503"


async def test_a_refresh_token_that_is_not_rotated_is_detected() -> None:
    """The journey expects two new tokens."""
    emulator = build_emulator(Project(rotate_refresh=False))
    lines: list[str] = []
    app = build_app(emulator)
    async with app.router.lifespan_context(app):
        assert not await Journey(build_browser(app, emulator), emulator, lines.append).run()
    assert lines[-1] == " 8  FAILED: cookies with the old value: expected [], got ['DSR']"


async def test_a_wrong_page_is_detected(app: FastAPI, emulator: Emulator) -> None:
    """A missing report fails the step."""
    lines: list[str] = []
    await archive(app, "A-1042")
    assert not await Journey(build_browser(app, emulator), emulator, lines.append).run()
    assert lines[-1] == " 7  FAILED: contains 'North bridge': expected True, got False"


async def test_an_unreachable_app_is_detected(emulator: Emulator) -> None:
    """A failed connection is a failed step, not a traceback."""

    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    lines: list[str] = []
    browser = Browser(httpx.AsyncClient(transport=httpx.MockTransport(refuse)), APP)
    assert not await Journey(browser, emulator, lines.append).run()
    assert lines == [" 1  FAILED: expected a response, got ConnectError"]


async def test_the_login_hook_saves_the_user(app: FastAPI, emulator: Emulator) -> None:
    """In each organisation, with the roles there."""
    await Journey(build_browser(app, emulator), emulator, len).run()
    for tenant_id, role in (("acme", "admin"), ("globex", "viewer")):
        async with session(app, tenant_id) as db:
            people = (await db.scalars(select(Person))).all()
        assert [(person.name, person.roles) for person in people] == [("Ada Lovelace", [role])]


async def test_a_browser_without_a_session_has_no_claims(app: FastAPI, emulator: Emulator) -> None:
    """A missing cookie gives no claims and no error."""
    browser = build_browser(app, emulator)
    assert browser.claims() == {}
    assert browser.cookies("DS", "DSR") == {}
