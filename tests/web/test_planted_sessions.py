"""A sibling domain plants a session next to the victim's: several requests and a logout long (KD-05, CK-11).

The victim's own cookies stay whatever is planted, so no request is ever authenticated as the attacker. One
login removes what was planted.
"""

from collections.abc import Callable

import pytest

from fastapi_descope.emulator import Project
from fastapi_descope.events import DuplicateCookiesDeleted, TokenPairMismatch
from tests.helpers.sibling_domain import (
    ATTACKER,
    CHUNKED,
    PROJECT,
    VICTIM,
    SiblingDomain,
    cookies_of,
    sibling_domain,
)

pytestmark = pytest.mark.anyio

Plant = Callable[[SiblingDomain], None]


def _session_expired(domain: SiblingDomain) -> None:
    domain.expire("DS")


def _refresh_evicted(domain: SiblingDomain) -> None:
    domain.expire("DSR")


def _nothing(_domain: SiblingDomain) -> None:
    """Both cookies of the victim are in the jar."""


def _plant_session(domain: SiblingDomain) -> None:
    domain.plant(*cookies_of("DS", domain.issue().session_jwt))


def _plant_refresh_token(domain: SiblingDomain) -> None:
    domain.plant(*cookies_of("DSR", domain.issue().refresh_jwt))


def _plant_both(domain: SiblingDomain) -> None:
    pair = domain.issue()
    domain.plant(*cookies_of("DS", pair.session_jwt), *cookies_of("DSR", pair.refresh_jwt))


EACH_ATTACK = pytest.mark.parametrize(
    ("before", "plant"),
    [
        pytest.param(before, plant, id=f"{before.__name__}{plant.__name__}")
        for before, plants in {
            _session_expired: (_plant_session, _plant_refresh_token, _plant_both),
            _refresh_evicted: (_plant_session, _plant_refresh_token, _plant_both),
            _nothing: (_plant_session, _plant_refresh_token, _plant_both),
        }.items()
        for plant in plants
    ],
)
EACH_SIZE = pytest.mark.parametrize("project", [PROJECT, CHUNKED], ids=["whole", "chunked"])


async def _attacked(project: Project, before: Plant, plant: Plant, **settings: object) -> SiblingDomain:
    domain = sibling_domain(project, **{"cookie_prefix": "", **settings})
    await domain.browser.sign_in()
    before(domain)
    plant(domain)
    return domain


@EACH_SIZE
@EACH_ATTACK
async def test_kd05_ck11_victim_never_becomes_the_attacker(
    project: Project, before: Plant, plant: Plant
) -> None:
    """Five requests later all cookies are still there, and none of them authenticates a request."""
    domain = await _attacked(project, before, plant)
    names = domain.names

    users = [await domain.user() for _ in range(5)]

    assert users == [None] * 5
    assert domain.names == names
    assert domain.env.calls("refresh") == 0


@EACH_SIZE
@EACH_ATTACK
async def test_kd05_ck02_one_login_heals(project: Project, before: Plant, plant: Plant) -> None:
    """It deletes what was planted, and reports it."""
    domain = await _attacked(project, before, plant)

    await domain.browser.sign_in()

    assert [await domain.user() for _ in range(3)] == [domain.id_of(VICTIM)] * 3
    assert DuplicateCookiesDeleted() in domain.env.events
    assert {scope for name in domain.names for scope in domain.jar.scopes(name)} == {("app.example.com", "/")}


async def test_kd05_ck02_callback_heals_what_was_planted_during_the_login() -> None:
    """The start of the login could not see it."""
    domain = await _attacked(PROJECT, _session_expired, _plant_session)
    callback = await domain.browser.open_callback()
    _plant_both(domain)

    await domain.browser.visit(callback)

    assert await domain.user() == domain.id_of(VICTIM)


@EACH_SIZE
@EACH_ATTACK
@pytest.mark.parametrize("route", ["/logout", "/logout/all"])
async def test_lo01_logout_leaves_no_planted_session_behind(
    project: Project, before: Plant, plant: Plant, route: str
) -> None:
    """It revokes the victim's refresh token if there is one, and deletes both sessions."""
    domain = await _attacked(project, before, plant)
    own = domain.own_refresh_token()

    response = await domain.browser.post(route)

    assert response.status_code == 204
    assert domain.names == set()
    assert [await domain.user() for _ in range(3)] == [None] * 3
    if own is not None:
        domain.jar.receive([f"DSR={own}; Path=/; Secure".encode()])
        assert await domain.user() is None


async def test_kd05_mismatch_is_reported_with_each_request() -> None:
    """Its answer has a stable code and changes no cookie."""
    domain = await _attacked(PROJECT, _session_expired, _plant_session)
    domain.env.events.clear()

    responses = [await domain.browser.get("/me") for _ in range(2)]

    assert [(each.status_code, each.json()["code"]) for each in responses] == [
        (401, "conflicting_cookies")
    ] * 2
    assert all("set-cookie" not in each.headers for each in responses)
    assert domain.env.events == [TokenPairMismatch()] * 2


@pytest.mark.parametrize("before", [_session_expired, _nothing])
async def test_kd05_cookie_that_is_bound_to_a_path_leads_to_a_page_and_no_loop(before: Plant) -> None:
    """The login does not see it, so it remains. Other pages work."""
    domain = await _attacked(PROJECT, before, _nothing)
    domain.plant(*cookies_of("DS", domain.issue().session_jwt), path="/me")
    for _ in range(3):
        page = await domain.browser.visit("/me", sec_fetch_site="same-origin")
        assert page.status_code == 401
        assert '<a href="/login/sso?return_to=%2Fme">Sign in again</a>' in page.text
        await domain.browser.sign_in()

    assert await domain.user() == domain.id_of(VICTIM)


@pytest.mark.parametrize("plant", [_plant_session, _plant_refresh_token, _plant_both])
async def test_kd05_tenant_switch_and_profile_are_refused(plant: Plant) -> None:
    """With either refresh token they would be another user's."""
    domain = await _attacked(PROJECT, _session_expired, plant)

    switch = await domain.browser.post("/tenant/select", {"tenant": "acme"})
    profile = await domain.browser.get("/session/profile")

    assert [(each.status_code, each.json()["code"]) for each in (switch, profile)] == [
        (401, "conflicting_cookies")
    ] * 2
    assert domain.env.calls("select") == domain.env.calls("me") == 0


async def test_ck11_without_cookies_of_the_victim_a_planted_session_counts() -> None:
    """The limit of plain names. With the default a sibling cannot plant the names that are read."""
    domain = sibling_domain(cookie_prefix="")
    _plant_both(domain)
    assert await domain.user() == domain.id_of(ATTACKER)

    prefixed = sibling_domain()
    _plant_both(prefixed)
    assert await prefixed.user() is None
