"""Cookie settings that change under live users, and deployments whose cookies meet in one browser (CK-13).

The jar is that of the standard library, which knows domains.
"""

import pytest

from fastapi_descope.emulator import Project
from tests.helpers.app_harness import EnvFactory
from tests.helpers.sibling_domain import CHUNKED, PROJECT, VICTIM, SiblingDomain, sibling_domain

pytestmark = pytest.mark.anyio

HOST_ONLY, DOMAIN = [("app.example.com", "/")], [(".example.com", "/")]

EACH_SIZE = pytest.mark.parametrize("project", [PROJECT, CHUNKED], ids=["whole", "chunked"])


async def _signed_in(project: Project = PROJECT, **settings: object) -> SiblingDomain:
    domain = sibling_domain(project, **settings)
    await domain.browser.sign_in()
    return domain


async def _users(domain: SiblingDomain, count: int = 4) -> list[str | None]:
    return [await domain.user() for _ in range(count)]


def _scopes(domain: SiblingDomain) -> list[tuple[str, str]]:
    """Return domain and path of the cookies of the session, each once."""
    return sorted({scope for name in domain.names for scope in domain.jar.scopes(name)})


@EACH_SIZE
@pytest.mark.parametrize("former", ["", "DS, DSR"])
async def test_ck13_domain_is_added_in_a_release(project: Project, former: str) -> None:
    """The first refresh replaces the host-only cookies, also if they are not listed."""
    old = await _signed_in(project, cookie_prefix="")
    new = old.release(cookie_prefix="", cookie_domain="example.com", former_cookies=former)
    assert await _users(new) == [new.id_of(VICTIM)] * 4
    new.env.emulator.clock.advance(700)

    assert await _users(new) == [new.id_of(VICTIM)] * 4

    assert _scopes(new) == DOMAIN


@EACH_SIZE
async def test_ck13_domain_is_removed_in_a_release(project: Project) -> None:
    """The first refresh deletes the listed cookies."""
    old = await _signed_in(project, cookie_prefix="", cookie_domain="example.com")
    former = "DS; Domain=example.com, DSR; Domain=example.com"
    new = old.release(cookie_prefix="", former_cookies=former)
    new.env.emulator.clock.advance(700)

    assert await _users(new) == [new.id_of(VICTIM)] * 4

    assert _scopes(new) == HOST_ONLY


async def test_ck13_without_a_list_one_login_frees_a_user_who_is_stuck() -> None:
    """The refreshed cookies conflict with the former ones, which a login deletes."""
    old = await _signed_in(cookie_prefix="", cookie_domain="example.com")
    new = old.release(cookie_prefix="")
    new.env.emulator.clock.advance(700)
    assert await _users(new) == [new.id_of(VICTIM), None, None, None]

    await new.browser.sign_in()

    assert await _users(new) == [new.id_of(VICTIM)] * 4
    assert _scopes(new) == HOST_ONLY


@pytest.mark.parametrize(
    ("before", "after", "former"),
    [
        pytest.param({"cookie_prefix": ""}, {}, "DS, DSR", id="prefix"),
        pytest.param({}, {"cookie_prefix": ""}, "__Host-DS, __Host-DSR", id="no prefix"),
        pytest.param(
            {"cookie_domain": "example.com"},
            {},
            "__Secure-DS; Domain=example.com, __Secure-DSR; Domain=example.com",
            id="no domain",
        ),
        pytest.param({}, {"cookie_domain": "example.com"}, "__Host-DS, __Host-DSR", id="domain"),
        pytest.param(
            {"session_cookie_name": "old", "refresh_cookie_name": "older"},
            {},
            "__Host-old, __Host-older",
            id="names",
        ),
    ],
)
@pytest.mark.parametrize("listed", [True, False], ids=["listed", "unlisted"])
@pytest.mark.parametrize("project", [PROJECT, CHUNKED], ids=["whole", "chunked"])
async def test_ck13_new_name_costs_one_login_and_only_listed_cookies_are_deleted(
    project: Project, before: dict[str, object], after: dict[str, object], former: str, *, listed: bool
) -> None:
    """A former name is never read. Another app may use an unlisted one, so it stays."""
    old = await _signed_in(project, **before)
    names = old.names
    new = old.release(**after, **({"former_cookies": former} if listed else {}))
    assert await _users(new) == [None] * 4
    assert new.names >= names

    await new.browser.sign_in()
    assert await _users(new) == [new.id_of(VICTIM)] * 4
    assert names.isdisjoint(new.names) is listed
    await new.browser.post("/logout")

    assert new.names == (set() if listed else names)


async def test_ck13_end_of_a_session_deletes_former_cookies_too() -> None:
    """And so does a logout without any other cookie."""
    old = await _signed_in(cookie_prefix="")
    new = old.release(former_cookies="DS, DSR")
    await new.browser.post("/logout")
    assert new.names == set()

    await old.browser.sign_in()
    await new.browser.sign_in()
    await old.browser.sign_in()
    new.env.emulator.revoke_sessions(VICTIM)
    new.env.emulator.clock.advance(700)
    assert (await new.browser.get("/me")).json()["code"] == "session_ended"
    assert new.names == set()


async def test_ck13_cookie_whose_prefix_demands_secure_is_deleted_over_http(make_env: EnvFactory) -> None:
    """A browser ignores a deletion of a ``__Host-`` cookie without ``Secure``."""
    env = make_env(former_cookies=["__Host-old", "older"])

    response = await env.browser().post("/logout", cookie="__Host-old=x; older=x")

    flags = {value.partition("=")[0]: "Secure" in value for value in response.headers.get_list("set-cookie")}
    assert flags["__Host-old"]
    assert not flags["older"]


async def test_ck13_rolling_deploy_with_a_new_name_has_no_conflict() -> None:
    """Both releases keep their own session. Each user signs in once more."""
    old = await _signed_in(cookie_prefix="")
    new = old.release()
    await new.browser.sign_in()
    for _ in range(2):
        old.env.emulator.clock.advance(700)
        assert [await old.user(), await new.user()] == [old.id_of(VICTIM)] * 2


APPS = [
    pytest.param({}, {"session_cookie_name": "ADS", "refresh_cookie_name": "ADSR"}, id="other names"),
    pytest.param({}, {"cookie_prefix": ""}, id="other prefix"),
    pytest.param({}, {"cookie_domain": "example.com"}, id="domain"),
    pytest.param(
        {"cookie_prefix": ""},
        {"cookie_prefix": "", "session_cookie_name": "ADS", "refresh_cookie_name": "ADSR"},
        id="plain names",
    ),
    pytest.param(
        {"cookie_domain": "example.com"}, {"public_url": "https://staging.example.com"}, id="another host"
    ),
    pytest.param(
        {"cookie_prefix": "", "cookie_domain": "example.com"},
        {"public_url": "https://staging.example.com"},
        id="another host, plain and default names",
    ),
]


@EACH_SIZE
@pytest.mark.parametrize(("first", "second"), APPS)
@pytest.mark.parametrize("swapped", [False, True])
async def test_ck13_two_deployments_leave_each_others_sessions_alone(
    project: Project, first: dict[str, object], second: dict[str, object], *, swapped: bool
) -> None:
    """Login, refresh, a failed refresh and logout of the one change nothing about the other."""
    one = sibling_domain(project).release(**(second if swapped else first))
    other = one.release(**(first if swapped else second))
    ada = one.id_of(VICTIM)
    await one.browser.sign_in()
    await other.browser.sign_in()
    assert [await one.user(), await other.user()] == [ada, ada]
    one.env.emulator.clock.advance(700)
    assert [await one.user(), await other.user()] == [ada, ada]

    await one.browser.post("/logout")

    assert [await one.user(), await other.user()] == [None, ada]


async def test_ck13_two_deployments_with_one_name_conflict_and_delete_nothing() -> None:
    """They need different names, as the doctor says: a sign-in at the one ends the session of the other."""
    one = await _signed_in(cookie_prefix="", cookie_domain="example.com")
    other = one.release(cookie_prefix="")
    other.jar.receive([b"DS=a.b.c; Path=/; Secure"])
    before = other.names

    responses = [await other.browser.get("/me") for _ in range(3)]

    assert {each.json()["code"] for each in responses} == {"conflicting_cookies"}
    assert other.names == before
