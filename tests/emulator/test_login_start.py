"""The start of an SSO sign-in: the authorize endpoints (wire contract, sections 2.1 and 2.2)."""

import re
from collections.abc import Callable, Coroutine

import httpx
import pytest

from fastapi_descope.emulator import Emulator, Project

pytestmark = pytest.mark.anyio

Call = Callable[..., Coroutine[None, None, httpx.Response]]
Make = Callable[..., Emulator]

PATH = "/v1/auth/sso/authorize"
QUERY = {"tenant": "acme", "redirectURL": "http://localhost:8000/callback?state=1"}

TOO_DEEP = "The body is nested more than 32 levels deep"


def _error(code: str, description: str, message: str) -> dict[str, str]:
    return {
        "errorCode": code,
        "errorDescription": description,
        "errorMessage": message,
        "message": message,
    }


@pytest.mark.parametrize("path", [PATH, "/v1/auth/saml/authorize"])
async def test_returns_the_url_of_a_sign_in_page(call: Call, make: Make, path: str) -> None:
    """Both paths return the unguessable URL of a page on the emulator's own origin."""
    emulator = make()
    first = await call(emulator, "POST", path, params=QUERY)
    second = await call(emulator, "POST", path, params=QUERY)
    assert first.status_code == 200
    assert list(first.json()) == ["url"]
    assert re.fullmatch(r"http://127\.0\.0\.1:4000/signin/[0-9A-Za-z_-]{43}", first.json()["url"])
    assert first.json() != second.json()


@pytest.mark.parametrize("tenant", ["acme", "Acme Corp", "someone.new@acme.example"])
async def test_tenant_by_id_name_or_email(call: Call, make: Make, tenant: str) -> None:
    """The tenant can be given by id, by name, or by an e-mail address of its domain."""
    emulator = make()
    response = await call(emulator, "POST", PATH, params=QUERY | {"tenant": tenant})
    page = await call(emulator, "GET", response.json()["url"])
    assert "Sign in to Acme Corp" in page.text


async def test_both_spellings_of_the_redirect_url(call: Call, make: Make) -> None:
    """``redirectUrl``, as in the OpenAPI, is accepted as well as the SDKs' ``redirectURL``."""
    query = {"tenant": "acme", "redirectUrl": "http://localhost/cb"}
    assert (await call(make(), "POST", PATH, params=query)).status_code == 200


@pytest.mark.parametrize("content", [None, b"", b" ", b"{}", b'{"stepup": null, "customClaims": null}'])
async def test_body_may_be_empty(call: Call, make: Make, content: bytes | None) -> None:
    """SDKs send no body, an empty object, or nulls when there are no login options."""
    assert (await call(make(), "POST", PATH, params=QUERY, content=content)).status_code == 200


async def test_unknown_query_parameters_are_tolerated(call: Call, make: Make) -> None:
    """Additional query parameters of an SDK are ignored."""
    more = {"prompt": "login", "forceAuthn": "true", "initiatedEmail": "a@b.c", "test": "false"}
    assert (await call(make(), "POST", PATH, params=QUERY | more)).status_code == 200


async def test_known_sso_id(call: Call, make: Make) -> None:
    """One of the tenant's SSO configurations can be selected."""
    query = QUERY | {"ssoId": "acme-okta"}
    assert (await call(make(), "POST", PATH, params=query)).status_code == 200


@pytest.mark.parametrize(
    ("change", "code", "description", "message"),
    [
        ({"tenant": ""}, "E011002", "Request is missing required arguments", "tenant is missing"),
        ({"redirectURL": ""}, "E011002", "Request is missing required arguments", "redirectURL is missing"),
        (
            {"tenant": "umbrella"},
            "E011004",
            "Request holds invalid arguments",
            "No such tenant, or it has no SSO",
        ),
        (
            {"redirectURL": "https://evil.example/"},
            "E011004",
            "Request holds invalid arguments",
            "redirectURL is not in the approved domains of the project",
        ),
        (
            {"ssoId": "globex-okta"},
            "E011004",
            "Request holds invalid arguments",
            "The tenant has no such SSO configuration",
        ),
    ],
)
async def test_bad_query(
    call: Call, make: Make, change: dict[str, str], code: str, description: str, message: str
) -> None:
    """An invalid query gets a complete error."""
    response = await call(make(), "POST", PATH, params=QUERY | change)
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/json"
    assert response.json() == _error(code, description, message)


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        (b"{", "E011001", "The body is not JSON"),
        (b"\xff", "E011001", "The body is not JSON"),
        (b'{"customClaims": {"a": NaN}}', "E011001", "The body is not JSON"),
        (b'{"customClaims": {"a": "\\ud800"}}', "E011001", "The body is not JSON"),
        (b"[" * 50_000, "E011001", "The body is not JSON"),
        (b"[]", "E011001", "The body is not a JSON object"),
        (b'{"customClaims":' + b'{"a":[' * 16 + b"]}" * 16 + b"}", "E011001", TOO_DEEP),
        (b'{"customClaims":' + b'{"a":[' * 100 + b"]}" * 100 + b"}", "E011001", TOO_DEEP),
        (b" " * 65_537, "E011001", "The body is too large"),
        (b'{"stepup": "yes"}', "E011003", "stepup must be true or false"),
        (b'{"mfa": 1}', "E011003", "mfa must be true or false"),
        (b'{"revokeOtherSessions": []}', "E011003", "revokeOtherSessions must be true or false"),
        (b'{"customClaims": []}', "E011003", "customClaims must be an object"),
        (b'{"stepup": true}', "E011002", "stepup, mfa and update need a refresh token"),
        (b'{"mfa": true}', "E011002", "stepup, mfa and update need a refresh token"),
    ],
)
async def test_bad_login_options(call: Call, make: Make, content: bytes, code: str, message: str) -> None:
    """Login options of the wrong type are rejected, and so is step-up without a refresh token."""
    response = await call(make(), "POST", PATH, params=QUERY, content=content)
    assert (response.status_code, response.json()["errorCode"]) == (400, code)
    assert response.json()["errorMessage"] == message


async def test_step_up_needs_a_member(call: Call, make: Make) -> None:
    """Step-up is rejected in a tenant that the user is not a member of."""
    emulator = make()
    token = emulator.issue("grace@acme.example").refresh_jwt
    query = QUERY | {"tenant": "globex"}
    response = await call(emulator, "POST", PATH, token=token, params=query, json={"stepup": True})
    assert (response.status_code, response.json()["errorCode"]) == (403, "E011004")


async def test_step_up_needs_an_active_session(call: Call, make: Make) -> None:
    """Step-up with a revoked refresh token gets the error of a refresh with it."""
    emulator = make()
    token = emulator.issue("grace@acme.example").refresh_jwt
    emulator.revoke_sessions("grace@acme.example")
    response = await call(emulator, "POST", PATH, token=token, params=QUERY, json={"stepup": True})
    assert (response.status_code, response.json()["errorCode"]) == (401, "E064001")


async def test_approved_redirects_replace_the_default(call: Call, make: Make) -> None:
    """The project's own list replaces the default, including its loopback hosts (EM-06)."""
    emulator = make(Project(approved_redirects=("https://app.example",)))
    good = await call(emulator, "POST", PATH, params=QUERY | {"redirectURL": "https://app.example/cb"})
    bad = await call(emulator, "POST", PATH, params=QUERY)
    assert (good.status_code, bad.status_code) == (200, 400)
