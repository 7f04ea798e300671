"""Each alternative of Descope's undocumented behaviour (wire contract, section 10)."""

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

ADA = "ada@acme.example"
REFRESH = "/v1/auth/refresh"
NOW = 1_800_000_000


def _verdict(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["errorCode"]


async def test_revoked_status(call: Call, make: Make) -> None:
    """Revoked, unknown, missing and malformed refresh tokens may get 400 instead of 401."""
    emulator = make(Project(assumptions=Assumptions(revoked_status=400)))
    revoked = emulator.issue(ADA).refresh_jwt
    emulator.revoke_sessions(ADA)
    responses = [await call(emulator, "POST", REFRESH, token=token) for token in (revoked, "a.b.c", "")]
    assert [_verdict(response) for response in responses] == [
        (400, "E064001"),
        (400, "E061005"),
        (400, "E061005"),
    ]


@pytest.mark.parametrize("path", [REFRESH, "/v1/auth/logout"])
async def test_reuse_status(call: Call, make: Make, path: str) -> None:
    """The reuse of a replaced token may get 401 instead of 400."""
    emulator = make(Project(rotate_refresh=True, assumptions=Assumptions(reuse_status=401)))
    old = emulator.issue(ADA).refresh_jwt
    await call(emulator, "POST", REFRESH, token=old)
    assert _verdict(await call(emulator, "POST", path, token=old)) == (401, "E064006")


@pytest.mark.parametrize("rotate", [True, False])
async def test_refresh_repeats_token(call: Call, make: Make, *, rotate: bool) -> None:
    """Without rotation the response may repeat the refresh token; with rotation it has a new one."""
    emulator = make(Project(rotate_refresh=rotate, assumptions=Assumptions(refresh_repeats_token=True)))
    token = emulator.issue(ADA).refresh_jwt
    body = (await call(emulator, "POST", REFRESH, token=token)).json()
    assert (body["refreshJwt"] == token) is not rotate


@pytest.mark.parametrize(
    ("guesses", "parameters"),
    [
        (Assumptions(failed_sign_in="err"), {"err": "access_denied"}),
        (
            Assumptions(failed_sign_in="error"),
            {"error": "access_denied", "error_description": "The sign-in was refused"},
        ),
    ],
)
async def test_failed_sign_in_parameters(
    call: Call, make: Make, confirm: Call, guesses: Assumptions, parameters: dict[str, str]
) -> None:
    """A failed sign-in may be reported in one of the two spellings only."""
    emulator = make(Project(assumptions=guesses))
    query = {"tenant": "acme", "redirectURL": "http://localhost:8000/callback?state=1"}
    url = (await call(emulator, "POST", "/v1/auth/sso/authorize", params=query)).json()["url"]
    response = await confirm(emulator, url, None)
    assert dict(httpx.URL(response.headers["location"]).params) == {"state": "1"} | parameters


async def test_redirect_query_may_be_rebuilt(call: Call, make: Make, confirm: Call) -> None:
    """The app's query may be sorted and encoded again, with its own ``code`` replaced."""
    emulator = make(Project(assumptions=Assumptions(redirect_query="rebuild")))
    back = "http://localhost:8000/callback?state=a%20b&empty=&code=mine#top"
    query = {"tenant": "acme", "redirectURL": back}
    url = (await call(emulator, "POST", "/v1/auth/sso/authorize", params=query)).json()["url"]
    location = (await confirm(emulator, url, ADA)).headers["location"]
    code = httpx.URL(location).params["code"]
    assert location == f"http://localhost:8000/callback?code={code}&empty=&state=a+b#top"
    assert code != "mine"


async def test_validate_may_wrap_the_claims(call: Call, make: Make, read: Read) -> None:
    """The claims may be under ``parsedJWT``."""
    emulator = make(Project(assumptions=Assumptions(validate_wraps=True)))
    token = emulator.issue(ADA).session_jwt
    body = (await call(emulator, "POST", "/v1/auth/validate", token=token)).json()
    assert list(body) == ["parsedJWT"]
    assert body["parsedJWT"]["sub"] == read(emulator, token)["sub"]
    assert body["parsedJWT"]["exp"] == "2027-01-15T08:10:00Z"


async def test_custom_claims_may_be_at_the_top(call: Call, make: Make, get_code: GetCode, read: Read) -> None:
    """Custom claims may be at the top level, where they never replace Descope's own."""
    emulator = make(Project(assumptions=Assumptions(custom_claims_at_top=True)))
    code = await get_code(emulator, options={"customClaims": {"plan": "gold", "sub": "U1", "tenants": {}}})
    body = (await call(emulator, "POST", "/v1/auth/sso/exchange", json={"code": code})).json()
    claims = read(emulator, body["sessionJwt"])
    assert claims["plan"] == "gold"
    assert claims["sub"] != "U1"
    assert claims["tenants"]
    assert "nsec" not in claims


async def test_sso_may_leave_the_tenant_unset(call: Call, make: Make, get_code: GetCode, read: Read) -> None:
    """An SSO sign-in may leave the selection of the tenant to the app."""
    emulator = make(Project(assumptions=Assumptions(sso_sets_tenant=False)))
    body = (
        await call(emulator, "POST", "/v1/auth/sso/exchange", json={"code": await get_code(emulator)})
    ).json()
    assert "dct" not in read(emulator, body["sessionJwt"])


def test_refresh_token_may_contain_grants(make: Make, read: Read) -> None:
    """The refresh token may contain roles and permissions, as the session token does."""
    emulator = make(Project(assumptions=Assumptions(refresh_holds_grants=True)))
    session, refresh = (read(emulator, jwt) for jwt in emulator.issue(ADA, "acme"))
    assert refresh["tenants"] == session["tenants"]
    assert refresh["drn"] == "DSR"


def test_drn_may_be_independent_of_the_cookie_name(make: Make, read: Read) -> None:
    """A renamed cookie renames the ``drn`` of its token unless configured otherwise."""
    emulator = make(Project(cookies=CookieSettings("sid", "rid")))
    assert [read(emulator, jwt)["drn"] for jwt in emulator.issue(ADA)] == ["sid", "rid"]


async def test_initiated_email_may_be_ignored(call: Call, make: Make, confirm: Call) -> None:
    """The e-mail address that a sign-in was started for may have no effect."""
    emulator = make(Project(assumptions=Assumptions(enforces_initiated_email=False)))
    query = {"tenant": "acme", "redirectURL": BACK, "initiatedEmail": ADA}
    started = await call(emulator, "POST", "/v1/auth/sso/authorize", params=query)
    response = await confirm(emulator, started.json()["url"], "grace@acme.example")
    assert "code=" in response.headers["location"]
