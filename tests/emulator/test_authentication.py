"""Authentication of requests: the bearer, its keys, and the refresh cookie (wire contract, section 1.4)."""

from collections.abc import Callable, Coroutine

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastapi_descope.emulator import DEFAULT_PROJECT_ID, Emulator, Project

pytestmark = pytest.mark.anyio

Call = Callable[..., Coroutine[None, None, httpx.Response]]
Make = Callable[..., Emulator]

ME = "/v1/auth/me"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_scheme_is_case_insensitive(call: Call, make: Make, scheme: str) -> None:
    """The case of the scheme does not matter."""
    emulator = make()
    token = emulator.issue("ada@acme.example").refresh_jwt
    headers = {"authorization": f"{scheme} {emulator.project_id}:{token}"}
    assert (await call(emulator, "GET", ME, headers=headers)).status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        DEFAULT_PROJECT_ID,
        f"Basic {DEFAULT_PROJECT_ID}",
        "Bearer P2EMULATORforSomebodyElse000",
        f"Bearer {DEFAULT_PROJECT_ID}:",
        f"Bearer {DEFAULT_PROJECT_ID}:no-such-key",
        f"Bearer {DEFAULT_PROJECT_ID}:a.b.c:",
        f"Bearer {DEFAULT_PROJECT_ID}:a.b:key",
        f"Bearer {DEFAULT_PROJECT_ID}:a.b.c:key:more",
        f"Bearer {DEFAULT_PROJECT_ID.lower()}",
    ],
)
@pytest.mark.parametrize("path", ["/v1/auth/sso/exchange", "/v1/auth/refresh", "/v1/auth/validate"])
async def test_wrong_bearer_is_rejected_everywhere(call: Call, make: Make, path: str, header: str) -> None:
    """A bearer of another project or of an unknown form is rejected by every endpoint."""
    response = await call(make(), "POST", path, headers={"authorization": header})
    assert (response.status_code, response.json()["errorCode"]) == (401, "E011003")


async def test_project_id_alone_opens_no_user_endpoint(call: Call, make: Make) -> None:
    """The bare project id is not enough for the endpoints of a user."""
    response = await call(make(), "GET", ME)
    assert response.status_code == 401
    assert response.json() == {
        "errorCode": "E061005",
        "errorDescription": "Invalid token",
        "errorMessage": "The request has no refresh token",
        "message": "The request has no refresh token",
    }


async def test_cookie_is_used_without_a_jwt_in_the_bearer(call: Call, make: Make) -> None:
    """Without a JWT in the bearer, the cookie ``DSR`` is used."""
    emulator = make()
    token = emulator.issue("ada@acme.example").refresh_jwt
    response = await call(emulator, "GET", ME, headers={"cookie": f"DSR={token}"})
    assert (response.status_code, response.json()["email"]) == (200, "ada@acme.example")


async def test_bearer_wins_over_the_cookie(call: Call, make: Make) -> None:
    """If the client sends both, the bearer's JWT is used."""
    emulator = make()
    ada, grace = (emulator.issue(user).refresh_jwt for user in ("ada@acme.example", "grace@acme.example"))
    response = await call(emulator, "GET", ME, token=ada, headers={"cookie": f"DSR={grace}"})
    assert response.json()["email"] == "ada@acme.example"


@pytest.mark.parametrize(("key", "status"), [("right", 200), ("wrong", 401), ("", 401)])
async def test_required_key_must_end_the_bearer(call: Call, make: Make, key: str, status: int) -> None:
    """A project with an auth management key requires it at the end of every bearer."""
    emulator = make(Project(auth_management_key="right"))
    token = emulator.issue("ada@acme.example").refresh_jwt
    assert (await call(emulator, "GET", ME, token=token, key=key)).status_code == status
    query = {"tenant": "acme", "redirectURL": "http://localhost/"}
    started = await call(emulator, "POST", "/v1/auth/sso/authorize", key=key, params=query)
    assert started.status_code == status


@pytest.mark.parametrize("path", [ME, "/v1/auth/accesskey/exchange"])
async def test_unexpected_key_is_rejected_with_advice(call: Call, make: Make, path: str) -> None:
    """A project without an auth management key rejects one, and the message says what to do."""
    emulator = make()
    token = emulator.issue("ada@acme.example").refresh_jwt
    response = await call(emulator, "GET" if path == ME else "POST", path, token=token, key="any")
    assert response.status_code == 401
    assert response.json()["errorMessage"] == (
        "The bearer ends with a key, but the project has no management key: leave it out, or set "
        "auth_management_key in the seed"
    )


@pytest.mark.parametrize(
    ("configured", "sent", "status"), [("right", "right", 200), ("right", "wrong", 401), (None, "right", 401)]
)
async def test_license_needs_the_management_key(
    call: Call, make: Make, configured: str | None, sent: str, status: int
) -> None:
    """The license needs the management key."""
    emulator = make(Project(management_key=configured))
    response = await call(emulator, "GET", "/v1/mgmt/license", key=sent)
    assert response.status_code == status
    expected = {"rateLimitTier": "tier1"} if status == 200 else {"errorCode": "E011003"}
    assert expected.items() <= response.json().items()


_EMULATOR = Emulator()


@settings(max_examples=100, deadline=None)
@given(
    header=st.binary(max_size=60),
    body=st.binary(max_size=60),
    path=st.sampled_from(
        [
            "refresh",
            "sso/exchange",
            "tenant/select",
            "me/tenants",
            "validate",
            "logout",
            "accesskey/exchange",
            "oauth/authorize/update",
            "notp/whatsapp/update",
            "notp/pending-session",
            "enchantedlink/verify",
            "enchantedlink/pending-session",
        ]
    ),
)
async def test_hostile_headers_and_bodies_get_a_descope_error(header: bytes, body: bytes, path: str) -> None:
    """Any bytes in header and body get a Descope error, never a server error."""
    transport = httpx.ASGITransport(_EMULATOR)
    prefix = f"Bearer {_EMULATOR.project_id}".encode()
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        response = await client.post(
            f"/v1/auth/{path}",
            content=body,
            headers=[(b"authorization", prefix + header), (b"cookie", b"DSR=" + header)],
        )
    assert response.status_code in {400, 401}
    assert list(response.json()) == ["errorCode", "errorDescription", "errorMessage", "message"]
