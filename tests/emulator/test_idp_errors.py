"""Sign-ins that fail as they do at an identity provider."""

import re
from collections.abc import Callable, Coroutine

import httpx
import pytest

from fastapi_descope.emulator import Emulator, SeedUser

pytestmark = pytest.mark.anyio

Call = Callable[..., Coroutine[None, None, httpx.Response]]
Make = Callable[..., Emulator]
Start = Callable[..., Coroutine[None, None, str]]


async def _sent(call: Call, emulator: Emulator, url: str, **form: str) -> httpx.Response:
    content = str(httpx.QueryParams(form)).encode()
    return await call(emulator, "POST", url, content=content)


@pytest.mark.parametrize(
    ("name", "error", "description"),
    [
        ("locked", "access_denied", "The account is locked"),
        ("stranger", "access_denied", "The identity provider confirmed another user than the requested one"),
        ("unassigned", "access_denied", "The user is not assigned to this application"),
        ("certificate", "server_error", "The certificate that signed the SAML response has expired"),
        ("skew", "server_error", "The SAML assertion is not valid yet"),
        ("unreachable", "temporarily_unavailable", "The identity provider could not be reached"),
    ],
)
async def test_each_error_reaches_the_app(
    call: Call, start: Start, make: Make, name: str, error: str, description: str
) -> None:
    """Each error of the page is sent to the app and closes the page."""
    emulator = make()
    url = await start(emulator)
    page = await call(emulator, "GET", url)
    assert f'name="fail" value="{name}"' in page.text
    token = re.findall(r'form_token" value="([^"]+)"', page.text)[0]
    response = await _sent(call, emulator, url, form_token=token, fail=name)
    assert response.status_code == 303
    parameters = httpx.URL(response.headers["location"]).params
    assert dict(parameters) == {
        "state": "a b",
        "err": error,
        "error": error,
        "error_description": description,
    }
    assert (await call(emulator, "GET", url)).status_code == 404


async def test_browser_never_returns(call: Call, start: Start, make: Make) -> None:
    """One error leaves the browser on a notice, and the page is closed."""
    emulator = make()
    url = await start(emulator)
    page = await call(emulator, "GET", url)
    token = re.findall(r'form_token" value="([^"]+)"', page.text)[0]
    response = await _sent(call, emulator, url, form_token=token, fail="silence")
    assert response.status_code == 200
    assert "location" not in response.headers
    assert "Nothing more happens here" in response.text
    assert (await call(emulator, "GET", url)).status_code == 404


@pytest.mark.parametrize(
    "form",
    [
        {"fail": "explode"},
        {"fail": "locked", "refuse": "yes"},
        {"login_id": "ada@acme.example", "user": SeedUser("ada@acme.example").user_id},
        {"refuse": "no"},
        {"form_token": "guessed", "fail": "locked"},
        {"form_token": "guessed", "login_id": "ada@acme.example"},
    ],
)
async def test_forged_forms_are_rejected(call: Call, start: Start, make: Make, form: dict[str, str]) -> None:
    """A form with two choices, none, or a wrong token is rejected, and the page stays open."""
    emulator = make()
    url = await start(emulator)
    token = re.findall(r'form_token" value="([^"]+)"', (await call(emulator, "GET", url)).text)[0]
    assert (await _sent(call, emulator, url, **{"form_token": token} | form)).status_code == 400
    assert (await call(emulator, "GET", url)).status_code == 200
