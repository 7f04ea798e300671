"""The journey that ``scripts/demo --check`` walks: what it says, and that it notices what goes wrong."""

import httpx
import pytest
from fastapi import FastAPI

from example_app.browser import Browser
from example_app.journey import Journey
from example_app.tests.app_env import ADA, APP, build_app, build_browser, build_emulator
from fastapi_descope.emulator import Emulator, Project

pytestmark = pytest.mark.anyio


async def test_the_journey_goes_well(app: FastAPI, emulator: Emulator) -> None:
    """Twenty steps, a line each, with the numbers that matter."""
    said: list[str] = []
    assert await Journey(build_browser(app, emulator), emulator, said.append).run()
    assert len(said) == 20
    assert said[7] == (
        " 8  clock +11 min, GET /reports               200  refreshed: 1 call, new DS and DSR, expires +660 s"
    )
    assert said[8].endswith("8 x 200  refreshed: 1 call for all of them")


async def test_nothing_secret_is_said(app: FastAPI, emulator: Emulator) -> None:
    """No token, code, state or address of a person in any line."""
    said: list[str] = []
    await Journey(build_browser(app, emulator), emulator, said.append).run()
    text = "\n".join(said)
    assert not [word for word in ("eyJ", "code=", "state=", ADA) if word in text]


async def test_a_descope_that_does_not_renew_is_noticed(app: FastAPI, emulator: Emulator) -> None:
    """The walk ends at the first step that sees something else than it should."""
    said: list[str] = []
    emulator.faults.add("refresh", status=500, times=10)
    assert not await Journey(build_browser(app, emulator), emulator, said.append).run()
    assert said[-1] == " 8  FAILED: status: expected 200, saw 503"


async def test_a_refresh_token_that_stays_is_noticed() -> None:
    """The promise is a new pair; a project that does not rotate breaks it."""
    emulator = build_emulator(Project(rotate_refresh=False))
    said: list[str] = []
    assert not await Journey(build_browser(build_app(emulator), emulator), emulator, said.append).run()
    assert said[-1] == " 8  FAILED: cookies with the old value: expected [], saw ['DSR']"


async def test_a_page_that_says_something_else_is_noticed(app: FastAPI, emulator: Emulator) -> None:
    """Reports of the wrong organisation would be worse than none."""
    said: list[str] = []
    app.state.library.shelf("acme").archive("A-1042")
    assert not await Journey(build_browser(app, emulator), emulator, said.append).run()
    assert said[-1] == " 7  FAILED: it says 'North bridge': expected True, saw False"


async def test_an_app_out_of_reach_is_noticed(emulator: Emulator) -> None:
    """A connection that fails is a failed step, not a traceback."""

    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    said: list[str] = []
    browser = Browser(httpx.AsyncClient(transport=httpx.MockTransport(refuse)), APP)
    assert not await Journey(browser, emulator, said.append).run()
    assert said == [" 1  FAILED: expected an answer, saw ConnectError"]


async def test_the_app_knows_who_signed_in(app: FastAPI, emulator: Emulator) -> None:
    """The login hook has noted Ada, in each organisation with the roles she has there."""
    await Journey(build_browser(app, emulator), emulator, len).run()
    assert [(person.name, person.roles) for person in app.state.people.of("acme")] == [
        ("Ada Lovelace", ("admin",))
    ]
    assert [(person.name, person.roles) for person in app.state.people.of("globex")] == [
        ("Ada Lovelace", ("viewer",))
    ]


def test_a_browser_without_a_session_claims_nothing(app: FastAPI, emulator: Emulator) -> None:
    """Looking into a cookie that is not there finds nothing, rather than failing."""
    browser = build_browser(app, emulator)
    assert browser.claims() == {}
    assert browser.cookies("DS", "DSR") == {}
