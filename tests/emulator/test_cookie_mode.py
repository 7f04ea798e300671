"""Projects that send tokens in cookies instead of bodies (wire contract, section 4)."""

from collections.abc import Callable, Coroutine

import httpx
import pytest

from fastapi_descope.emulator import Assumptions, CookieSettings, Emulator, Project
from tests.emulator.conftest import BACK

pytestmark = pytest.mark.anyio

Call = Callable[..., Coroutine[None, None, httpx.Response]]
Make = Callable[..., Emulator]
Read = Callable[[Emulator, str], dict[str, object]]
GetCode = Callable[..., Coroutine[None, None, str]]

EXCHANGE = "/v1/auth/sso/exchange"
REFRESH = "/v1/auth/refresh"
FOUR_WEEKS = 28 * 24 * 3600
BOTH = Project(session_token_in="cookie", refresh_token_in="cookie")
RENAMED = Project(
    session_token_in="cookie",
    refresh_token_in="cookie",
    cookies=CookieSettings("sid", "rid", "app.example", "example", "/auth", "lax"),
)


def _cookies(response: httpx.Response) -> dict[str, tuple[str, str]]:
    """Return the value and attributes of each cookie that a response sets."""
    found: dict[str, tuple[str, str]] = {}
    for line in response.headers.get_list("set-cookie"):
        name, _, rest = line.partition("=")
        value, _, attributes = rest.partition("; ")
        found[name] = (value, attributes)
    return found


async def _exchanged(call: Call, emulator: Emulator, get_code: GetCode) -> httpx.Response:
    return await call(emulator, "POST", EXCHANGE, json={"code": await get_code(emulator)})


async def test_both_in_cookies(call: Call, make: Make, get_code: GetCode, read: Read) -> None:
    """Both tokens are in HttpOnly cookies only; the body has their names and expiry."""
    emulator = make(BOTH)
    response = await _exchanged(call, emulator, get_code)
    body, cookies = response.json(), _cookies(response)
    assert (body["sessionJwt"], body["refreshJwt"]) == ("", "")
    assert (body["cookieName"], body["sessionCookieName"], body["cookiePath"]) == ("DSR", "DS", "/")
    assert body["sessionExpiration"] == 1_800_000_600
    assert read(emulator, cookies["DS"][0])["drn"] == "DS"
    assert read(emulator, cookies["DSR"][0])["drn"] == "DSR"
    assert cookies["DS"][1] == "HttpOnly; Max-Age=600; Path=/; SameSite=none; Secure"
    assert cookies["DSR"][1] == f"HttpOnly; Max-Age={FOUR_WEEKS}; Path=/; SameSite=none; Secure"


@pytest.mark.parametrize(
    ("project", "in_body", "in_cookie"),
    [
        (Project(session_token_in="cookie"), "refreshJwt", "DS"),
        (Project(refresh_token_in="cookie"), "sessionJwt", "DSR"),
    ],
)
async def test_one_in_a_cookie(
    call: Call, make: Make, get_code: GetCode, project: Project, in_body: str, in_cookie: str
) -> None:
    """Each token can be sent in a cookie independently."""
    response = await _exchanged(call, make(project), get_code)
    assert list(_cookies(response)) == [in_cookie]
    assert [name for name in ("sessionJwt", "refreshJwt") if response.json()[name]] == [in_body]


async def test_names_and_attributes(call: Call, make: Make, get_code: GetCode, read: Read) -> None:
    """The project's names, domains, path and SameSite policy are in cookies, body and tokens."""
    emulator = make(RENAMED)
    response = await _exchanged(call, emulator, get_code)
    body, cookies = response.json(), _cookies(response)
    assert {name: body[name] for name in body if "ookie" in name} == {
        "cookieDomain": "example",
        "cookiePath": "/auth",
        "cookieMaxAge": FOUR_WEEKS,
        "cookieExpiration": 1_800_000_000 + FOUR_WEEKS,
        "cookieName": "rid",
        "sessionCookieName": "sid",
        "sessionCookieDomain": "app.example",
    }
    assert cookies["sid"][1].startswith("Domain=app.example; HttpOnly; Max-Age=600; Path=/auth; SameSite=lax")
    assert cookies["rid"][1].startswith("Domain=example; HttpOnly;")
    assert {name: read(emulator, cookies[name][0])["drn"] for name in cookies} == {"sid": "sid", "rid": "rid"}


async def test_drn_of_a_renamed_cookie(call: Call, make: Make, read: Read) -> None:
    """Whether a renamed cookie renames ``drn`` is unknown, so it can be switched off."""
    guesses = Assumptions(drn_is_cookie_name=False)
    emulator = make(Project(cookies=CookieSettings("sid", "rid"), assumptions=guesses))
    pair = emulator.issue("ada@acme.example")
    assert [read(emulator, jwt)["drn"] for jwt in pair] == ["DS", "DSR"]
    response = await call(emulator, "POST", "/v1/auth/validate", token=pair.session_jwt)
    assert response.status_code == 200


@pytest.mark.parametrize("project", [BOTH, RENAMED])
async def test_refresh_by_cookie(call: Call, make: Make, project: Project) -> None:
    """The project id and the refresh cookie are enough for all endpoints that need a refresh token."""
    emulator = make(project)
    name = project.cookies.refresh_name
    cookie = {"cookie": f"{name}={emulator.issue('ada@acme.example', 'acme').refresh_jwt}"}
    refreshed = await call(emulator, "POST", REFRESH, headers=cookie)
    assert list(_cookies(refreshed)) == [project.cookies.session_name]  # without rotation it stays in use
    selected = await call(
        emulator, "POST", "/v1/auth/tenant/select", headers=cookie, json={"tenant": "globex"}
    )
    assert list(_cookies(selected)) == [project.cookies.session_name, name]
    assert (await call(emulator, "GET", "/v1/auth/me", headers=cookie)).status_code == 200
    tried = await call(emulator, "POST", "/v1/auth/try-refresh", headers=cookie)
    assert (tried.json()["sessionJwt"], list(_cookies(tried))) == ("", [project.cookies.session_name])


@pytest.mark.parametrize(
    ("path", "query", "body"),
    [
        ("sso/authorize", {"tenant": "acme", "redirectURL": BACK}, {"stepup": True}),
        ("oauth/authorize", {"provider": "google", "redirectURL": BACK}, {"mfa": True}),
        ("oauth/authorize/update", {"provider": "google", "redirectURL": BACK}, {}),
        ("notp/whatsapp/update", {}, {"loginId": "ada@acme.example", "phone": "+15550199"}),
    ],
)
async def test_step_up_and_update_by_cookie(
    call: Call, make: Make, path: str, query: dict[str, str], body: dict[str, object]
) -> None:
    """Step-up and update accept the refresh cookie too."""
    emulator = make(RENAMED)
    cookie = {"cookie": f"rid={emulator.issue('ada@acme.example', 'acme').refresh_jwt}"}
    for headers, status in ((cookie, 200), ({}, 400)):
        response = await call(emulator, "POST", f"/v1/auth/{path}", headers=headers, params=query, json=body)
        assert response.status_code == status


async def test_only_the_projects_cookie_counts(call: Call, make: Make) -> None:
    """After a cookie is renamed, its old name has no effect."""
    emulator = make(RENAMED)
    cookie = {"cookie": f"DSR={emulator.issue('ada@acme.example').refresh_jwt}"}
    assert (await call(emulator, "POST", REFRESH, headers=cookie)).status_code == 401


async def test_rotation_sets_the_new_cookie(call: Call, make: Make) -> None:
    """With rotation each refresh sets a new refresh cookie."""
    emulator = make(Project(refresh_token_in="cookie", rotate_refresh=True))
    old = emulator.issue("ada@acme.example").refresh_jwt
    response = await call(emulator, "POST", REFRESH, token=old)
    assert response.json()["refreshJwt"] == ""
    assert _cookies(response)["DSR"][0] not in {"", old}


@pytest.mark.parametrize(
    ("project", "lines"),
    [
        (
            BOTH,
            [
                'DS=""; HttpOnly; Max-Age=0; Path=/; SameSite=none; Secure',
                'DSR=""; HttpOnly; Max-Age=0; Path=/; SameSite=none; Secure',
            ],
        ),
        (
            RENAMED,
            [
                'sid=""; Domain=app.example; HttpOnly; Max-Age=0; Path=/auth; SameSite=lax; Secure',
                'rid=""; Domain=example; HttpOnly; Max-Age=0; Path=/auth; SameSite=lax; Secure',
            ],
        ),
    ],
)
@pytest.mark.parametrize("path", ["/v1/auth/logout", "/v1/auth/logoutall"])
async def test_logout_clears_both_cookies(
    call: Call, make: Make, project: Project, lines: list[str], path: str
) -> None:
    """A logout clears both cookies with the attributes with which they were set."""
    emulator = make(project)
    token = emulator.issue("ada@acme.example").refresh_jwt
    response = await call(emulator, "POST", path, token=token)
    assert response.headers.get_list("set-cookie") == lines


async def test_web_sdk_headers_are_tolerated(call: Call, make: Make) -> None:
    """The additional headers of the browser SDK are tolerated."""
    emulator = make(BOTH)
    headers = {
        "cookie": f"DSR={emulator.issue('ada@acme.example').refresh_jwt}",
        "x-descope-refresh-cookie-name": "DSR",
        "x-descope-sdk-name": "web-js",
        "x-descope-trusted-device-token": "a.b.c",
    }
    query = {"dcs": "t", "dcr": "f"}
    assert (await call(emulator, "POST", REFRESH, headers=headers, params=query)).status_code == 200


def test_cookies_need_different_names() -> None:
    """One name for both cookies is an error."""
    with pytest.raises(ValueError, match="different names"):
        CookieSettings("one", "one")
