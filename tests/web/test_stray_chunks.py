"""Chunks of no token next to a good session: several requests long, with a real cookie jar (CK-02, CK-08)."""

import pytest

from fastapi_descope.emulator import Project
from fastapi_descope.events import StrayChunks
from tests.helpers.cookie_jar import deleted_names
from tests.helpers.sibling_domain import CHUNKED, PROJECT, VICTIM, SiblingDomain, sibling_domain

pytestmark = pytest.mark.anyio

EACH_SIZE = pytest.mark.parametrize("project", [PROJECT, CHUNKED], ids=["whole", "chunked"])
EACH_STRAY = pytest.mark.parametrize(
    "stray", ["DS.3=0123abcd~4~x", "DS.0=0123abcd~2~x", "DS.1=garbage", "DSR.3=0123abcd~4~x", "DSR.0=x"]
)


async def _signed_in(project: Project, stray: str) -> SiblingDomain:
    domain = sibling_domain(project, cookie_prefix="")
    await domain.browser.sign_in()
    domain.plant(stray)
    return domain


@EACH_SIZE
@EACH_STRAY
async def test_ck08_stray_chunk_neither_hides_the_session_nor_causes_refreshes(
    project: Project, stray: str
) -> None:
    """Three requests with a live session cost no call, and each reports the stray chunk."""
    domain = await _signed_in(project, stray)
    domain.env.events.clear()

    users = [await domain.user() for _ in range(3)]

    assert users == [domain.id_of(VICTIM)] * 3

    assert domain.env.calls("refresh") == 0
    assert domain.env.events == [StrayChunks()] * 3


@EACH_SIZE
@EACH_STRAY
async def test_ck08_session_next_to_a_stray_chunk_is_refreshed_once(project: Project, stray: str) -> None:
    """The refreshed session is visible to the requests that follow."""
    domain = await _signed_in(project, stray)
    domain.env.emulator.clock.advance(700)

    users = [await domain.user() for _ in range(3)]

    assert users == [domain.id_of(VICTIM)] * 3
    assert domain.env.calls("refresh") == 1


@pytest.mark.parametrize("route", ["/login/sso?tenant=acme", "/logout", "login"])
async def test_ck08_login_callback_and_logout_delete_stray_chunks(route: str) -> None:
    """Under every domain that a sibling can use."""
    domain = await _signed_in(PROJECT, "DS.3=0123abcd~4~x")
    browser = domain.browser

    if route == "/logout":
        await browser.post(route)
    elif route == "login":
        callback = await browser.open_callback()
        domain.plant("DSR.2=x")
        await browser.visit(callback)
    else:
        await browser.visit(route)

    assert [name for name in domain.names if "." in name] == []


async def test_ck08_refresh_deletes_stray_chunks_of_our_own_host_only() -> None:
    """Such as the rest of a former token. Those of other domains could belong to another app."""
    domain = await _signed_in(PROJECT, "DS.3=0123abcd~4~x")
    domain.jar.receive([b"DS.2=0123abcd~4~x; Path=/; Secure"])
    domain.env.emulator.clock.advance(700)

    response = await domain.browser.get("/me")

    assert deleted_names(response.headers.get_list("set-cookie")) >= {"DS.2", "DS.3"}
    assert domain.jar.scopes("DS.2") == []
    assert domain.jar.scopes("DS.3") == [(".example.com", "/")]
