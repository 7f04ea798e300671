"""Projects that have renamed their cookies, and apps whose settings have the former names."""

import logging
from dataclasses import replace
from typing import Literal

import pytest

from fastapi_descope.emulator import Assumptions, CookieSettings, Project
from fastapi_descope.events import LoginFailed
from tests.helpers.app_harness import EnvFactory

pytestmark = pytest.mark.anyio

RENAMED = Project(cookies=CookieSettings("sid", "rid"))
BOTH = "DESCOPE_SESSION_COOKIE_NAME=sid and DESCOPE_REFRESH_COOKIE_NAME=rid"

places = pytest.mark.parametrize("place", ["body", "cookie"])
Place = Literal["body", "cookie"]


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the variables to set in the warnings, in order."""
    return [
        record.getMessage().partition(": set ")[2].partition(".")[0]
        for record in caplog.records
        if record.levelno == logging.WARNING and ": set DESCOPE_" in record.getMessage()
    ]


@places
async def test_a_failed_login_names_both_variables(
    make_env: EnvFactory, caplog: pytest.LogCaptureFixture, place: Place
) -> None:
    """On the page, for remote browsers too, and in the log. Nothing is stored."""
    env = make_env(project=replace(RENAMED, session_token_in=place, refresh_token_in=place))
    browser = env.browser()

    response = await browser.visit(await browser.open_callback(), host="app.example.com")

    assert response.status_code == 500
    assert response.headers["content-type"].startswith("text/html")
    assert f"Its operator has to set {BOTH}" in response.text
    assert not [cookie for cookie in browser.names() if not cookie.startswith("descope_login")]
    assert [event for event in env.events if isinstance(event, LoginFailed)] == [
        LoginFailed("project_cookies_renamed")
    ]
    assert [record for record in caplog.records if record.levelno == logging.ERROR and BOTH in record.message]
    assert warnings_in(caplog) == ["DESCOPE_SESSION_COOKIE_NAME=sid", "DESCOPE_REFRESH_COOKIE_NAME=rid"]


async def test_a_script_gets_a_problem_with_a_code_of_its_own(make_env: EnvFactory) -> None:
    """The detail names the variable. One renamed cookie is enough."""
    env = make_env(project=Project(cookies=CookieSettings(refresh_name="rid")))
    browser = env.browser()

    response = await browser.get(await browser.open_callback(), host="app.example.com")

    assert response.status_code == 500
    assert response.json()["code"] == "project_cookies_renamed"
    assert response.json()["detail"].endswith("Its operator has to set DESCOPE_REFRESH_COOKIE_NAME=rid")


@places
async def test_the_login_works_once_the_variables_are_set(
    make_env: EnvFactory, caplog: pytest.LogCaptureFixture, place: Place
) -> None:
    """As the page says. Then there is nothing to warn about."""
    env = make_env(
        project=replace(RENAMED, session_token_in=place, refresh_token_in=place),
        session_cookie_name="sid",
        refresh_cookie_name="rid",
    )
    browser = env.browser()

    assert (await browser.sign_in()).headers["location"] == "/me"

    assert browser.session_names() == {"sid", "rid"}
    assert (await browser.get("/me")).status_code == 200
    assert warnings_in(caplog) == []


@places
async def test_ck06_names_that_tokens_do_not_have_are_warned_about_once(
    make_env: EnvFactory, caplog: pytest.LogCaptureFixture, place: Place
) -> None:
    """The settings win: logins, refreshes and tenant switches work with the app's own names."""
    assumptions = Assumptions(drn_is_cookie_name=False)
    env = make_env(
        project=replace(RENAMED, session_token_in=place, refresh_token_in=place, assumptions=assumptions)
    )
    browser = env.browser()

    for _ in range(2):
        assert (await browser.sign_in()).status_code == 303
        env.emulator.clock.advance(660)
        assert (await browser.get("/me")).status_code == 200
        assert (await browser.post("/tenant/select", {"tenant": "globex"})).status_code == 200

    assert browser.session_names() == {"DS", "DSR"}
    assert warnings_in(caplog) == ["DESCOPE_SESSION_COOKIE_NAME=sid", "DESCOPE_REFRESH_COOKIE_NAME=rid"]


@pytest.mark.parametrize("request_kind", ["refresh", "tenant switch"])
async def test_a_project_that_is_renamed_later_ends_no_session(
    make_env: EnvFactory, caplog: pytest.LogCaptureFixture, request_kind: str
) -> None:
    """Requests get a 503 and keep their cookies. The log names the variables."""
    env = make_env(project=Project())
    browser = await env.signed_in_browser()
    cookies = {name: browser.cookie(name) for name in ("DS", "DSR")}
    env.emulator.project = replace(env.emulator.project, cookies=RENAMED.cookies)

    if request_kind == "refresh":
        env.emulator.clock.advance(660)
        response = await browser.get("/me")
    else:
        response = await browser.post("/tenant/select", {"tenant": "globex"})

    assert response.status_code == (503 if request_kind == "refresh" else 502)
    assert {name: browser.cookie(name) for name in cookies} == cookies
    assert warnings_in(caplog) == ["DESCOPE_SESSION_COOKIE_NAME=sid", "DESCOPE_REFRESH_COOKIE_NAME=rid"]
