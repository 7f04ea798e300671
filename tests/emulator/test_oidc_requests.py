"""How a browser may ask the OpenID provider: by link or by form, or so that nobody is asked."""

from collections.abc import Callable, Coroutine

import httpx
import pytest

from fastapi_descope.emulator import Emulator
from tests.emulator.test_oidc import AUTHORIZE, CALLBACK

pytestmark = pytest.mark.anyio

Call = Callable[..., Coroutine[None, None, httpx.Response]]
Make = Callable[..., Emulator]


def _form(**fields: str) -> dict[str, object]:
    return {"content": str(httpx.QueryParams(fields)).encode(), "headers": {"authorization": ""}}


async def _signed_in(call: Call, confirm: Call, emulator: Emulator, method: str) -> dict[str, str]:
    sent = {"params": AUTHORIZE} if method == "GET" else _form(**AUTHORIZE)
    started = await call(emulator, method, "/oauth2/v1/authorize", **sent)
    redirect = await confirm(emulator, started.headers["location"], "ada@acme.example")
    form = {
        "grant_type": "authorization_code",
        "code": httpx.URL(redirect.headers["location"]).params["code"],
        "client_id": emulator.project_id,
        "redirect_uri": CALLBACK,
        "code_verifier": "a-verifier-of-at-least-forty-three-characters",
    }
    tokens: dict[str, str] = (await call(emulator, "POST", "/oauth2/v1/token", **_form(**form))).json()
    return tokens


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_by_link_and_by_form(call: Call, make: Make, confirm: Call, method: str) -> None:
    """Signing in and out works by either (OpenID Connect Core 3.1.2.1, RP-Initiated Logout 2)."""
    emulator = make()
    tokens = await _signed_in(call, confirm, emulator, method)
    query = {"id_token_hint": tokens["id_token"], "post_logout_redirect_uri": CALLBACK, "state": "s1"}
    sent = {"params": query} if method == "GET" else _form(**query)
    response = await call(emulator, method, "/oauth2/v1/logout", **sent)
    assert (response.status_code, response.headers["location"]) == (303, f"{CALLBACK}&state=s1")
    refreshed = await call(emulator, "POST", "/v1/auth/refresh", token=tokens["refresh_token"])
    assert refreshed.status_code == 401


@pytest.mark.parametrize("path", ["authorize", "logout"])
async def test_a_form_has_no_query(call: Call, make: Make, path: str) -> None:
    """Arguments in the query of a POST are none."""
    response = await call(make(), "POST", f"/oauth2/v1/{path}", params=AUTHORIZE)
    assert response.status_code in {400, 401}


async def test_nobody_may_be_asked(call: Call, make: Make) -> None:
    """With ``prompt=none`` the browser comes straight back, for nobody is signed in at the provider."""
    query = AUTHORIZE | {"prompt": "none"}
    response = await call(make(), "GET", "/oauth2/v1/authorize", params=query)
    assert response.status_code == 303
    assert response.headers["location"] == f"{CALLBACK}&state=xyz&error=login_required"


@pytest.mark.parametrize(
    ("scheme", "status"), [("Bearer", 200), ("bEARER", 200), ("Basic", 401), ("DPoP", 401)]
)
async def test_userinfo_is_for_bearers(
    call: Call, make: Make, confirm: Call, scheme: str, status: int
) -> None:
    """An access token under another scheme opens nothing."""
    emulator = make()
    token = (await _signed_in(call, confirm, emulator, "GET"))["access_token"]
    headers = {"authorization": f"{scheme} {token}"}
    assert (await call(emulator, "GET", "/oauth2/v1/userinfo", headers=headers)).status_code == status
