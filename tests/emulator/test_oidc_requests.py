"""The forms of OIDC requests: GET and POST, and ``prompt=none``."""

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
async def test_get_and_post(call: Call, make: Make, confirm: Call, method: str) -> None:
    """Sign-in and logout accept both (OpenID Connect Core 3.1.2.1, RP-Initiated Logout 2)."""
    emulator = make()
    tokens = await _signed_in(call, confirm, emulator, method)
    query = {"id_token_hint": tokens["id_token"], "post_logout_redirect_uri": CALLBACK, "state": "s1"}
    sent = {"params": query} if method == "GET" else _form(**query)
    response = await call(emulator, method, "/oauth2/v1/logout", **sent)
    assert (response.status_code, response.headers["location"]) == (303, f"{CALLBACK}&state=s1")
    refreshed = await call(emulator, "POST", "/v1/auth/refresh", token=tokens["refresh_token"])
    assert refreshed.status_code == 401


@pytest.mark.parametrize("path", ["authorize", "logout"])
async def test_query_of_a_post_is_ignored(call: Call, make: Make, path: str) -> None:
    """The parameters of a POST are in its form only."""
    response = await call(make(), "POST", f"/oauth2/v1/{path}", params=AUTHORIZE)
    assert response.status_code in {400, 401}


async def test_prompt_none_fails(call: Call, make: Make) -> None:
    """With ``prompt=none`` the browser is redirected at once, because the provider has no session."""
    query = AUTHORIZE | {"prompt": "none"}
    response = await call(make(), "GET", "/oauth2/v1/authorize", params=query)
    assert response.status_code == 303
    assert response.headers["location"] == f"{CALLBACK}&state=xyz&error=login_required"


@pytest.mark.parametrize(
    ("scheme", "status"), [("Bearer", 200), ("bEARER", 200), ("Basic", 401), ("DPoP", 401)]
)
async def test_userinfo_needs_the_bearer_scheme(
    call: Call, make: Make, confirm: Call, scheme: str, status: int
) -> None:
    """An access token under another scheme is rejected."""
    emulator = make()
    token = (await _signed_in(call, confirm, emulator, "GET"))["access_token"]
    headers = {"authorization": f"{scheme} {token}"}
    assert (await call(emulator, "GET", "/oauth2/v1/userinfo", headers=headers)).status_code == status
