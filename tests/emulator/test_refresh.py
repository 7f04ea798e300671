"""Refreshes: responses, rotation, reuse, and every way a session ends (wire contract, section 5)."""

from collections.abc import Callable, Coroutine
from dataclasses import replace

import httpx
import pytest

from fastapi_descope.emulator import Clock, Emulator, Grants, Project, SeedUser

pytestmark = pytest.mark.anyio

Call = Callable[..., Coroutine[None, None, httpx.Response]]
Make = Callable[..., Emulator]
Read = Callable[[Emulator, str], dict[str, object]]

PATH = "/v1/auth/refresh"
NOW = 1_800_000_000
FOUR_WEEKS = 28 * 24 * 3600


def _verdict(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["errorCode"]


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_without_rotation(call: Call, make: Make, clock: Clock, read: Read, method: str) -> None:
    """A new session token is returned; the refresh token stays in use and is not repeated."""
    emulator = make()
    pair = emulator.issue("ada@acme.example", "acme")
    clock.advance(100)
    response = await call(emulator, method, PATH, token=pair.refresh_jwt)
    body = response.json()
    assert response.status_code == 200
    assert body["refreshJwt"] == ""
    assert body["user"] is None
    assert body["idpResponse"] is None
    assert body["firstSeen"] is False
    assert body["cookieMaxAge"] == FOUR_WEEKS - 100
    assert body["sessionExpiration"] == NOW + 700
    assert read(emulator, body["sessionJwt"]) == read(emulator, pair.session_jwt) | {
        "exp": NOW + 700,
        "iat": NOW + 100,
    }
    assert (await call(emulator, method, PATH, token=pair.refresh_jwt)).status_code == 200


@pytest.mark.parametrize("content", [b"", b"{}", b'{"externalToken": ""}'])
async def test_any_body_an_sdk_sends(call: Call, make: Make, content: bytes) -> None:
    """No body, an empty object and an empty external token are equivalent."""
    emulator = make()
    token = emulator.issue("ada@acme.example").refresh_jwt
    query = {"dcs": "t", "dcr": "f"}
    response = await call(emulator, "POST", PATH, token=token, content=content, params=query)
    assert response.status_code == 200


async def test_rotation(call: Call, make: Make, read: Read) -> None:
    """With rotation every refresh returns a new refresh token with the same expiry."""
    emulator = make(Project(rotate_refresh=True))
    old = emulator.issue("ada@acme.example", "acme").refresh_jwt
    body = (await call(emulator, "POST", PATH, token=old)).json()
    assert body["refreshJwt"] != old
    ends = [read(emulator, jwt)["exp"] for jwt in (old, body["refreshJwt"])]
    assert ends == [NOW + FOUR_WEEKS, NOW + FOUR_WEEKS]
    assert (await call(emulator, "POST", PATH, token=body["refreshJwt"])).status_code == 200


async def test_reuse_ends_the_family(call: Call, make: Make) -> None:
    """Reuse of a replaced refresh token ends the whole family, including the newest token."""
    emulator = make(Project(rotate_refresh=True))
    old = emulator.issue("ada@acme.example").refresh_jwt
    new = (await call(emulator, "POST", PATH, token=old)).json()["refreshJwt"]
    other = emulator.issue("ada@acme.example").refresh_jwt
    assert _verdict(await call(emulator, "POST", PATH, token=old)) == (400, "E064006")
    assert _verdict(await call(emulator, "POST", PATH, token=new)) == (400, "E064006")
    assert (await call(emulator, "POST", PATH, token=other)).status_code == 200


@pytest.mark.parametrize(("seconds", "status"), [(9, 200), (10, 400)])
async def test_reuse_grace(call: Call, make: Make, clock: Clock, seconds: int, status: int) -> None:
    """Within the grace period a replaced token works; the period starts with its first use."""
    emulator = make(Project(rotate_refresh=True, reuse_grace=10))
    old = emulator.issue("ada@acme.example").refresh_jwt
    await call(emulator, "POST", PATH, token=old)
    clock.advance(5)
    await call(emulator, "POST", PATH, token=old)
    clock.advance(seconds - 5)
    assert (await call(emulator, "POST", PATH, token=old)).status_code == status


async def test_moving_the_clock_back_does_not_permit_reuse(call: Call, make: Make, clock: Clock) -> None:
    """A replaced token is rejected at times before its replacement too."""
    emulator = make(Project(rotate_refresh=True))
    clock.advance(600)
    old = emulator.issue("ada@acme.example").refresh_jwt
    await call(emulator, "POST", PATH, token=old)
    clock.advance(-600)
    assert _verdict(await call(emulator, "POST", PATH, token=old)) == (400, "E064006")


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/auth/me"), ("POST", "/v1/auth/logout"), ("POST", "/v1/auth/logoutall")]
)
async def test_other_endpoints_reject_a_replaced_token(
    call: Call, make: Make, method: str, path: str
) -> None:
    """Other endpoints reject a replaced token too, but only a refresh with one counts as reuse."""
    emulator = make(Project(rotate_refresh=True))
    old = emulator.issue("ada@acme.example").refresh_jwt
    new = (await call(emulator, "POST", PATH, token=old)).json()["refreshJwt"]
    assert _verdict(await call(emulator, method, path, token=old)) == (400, "E064006")
    assert (await call(emulator, "POST", PATH, token=new)).status_code == 200


@pytest.mark.parametrize(("seconds", "status"), [(FOUR_WEEKS - 1, 200), (FOUR_WEEKS, 401)])
async def test_expiry(call: Call, make: Make, clock: Clock, seconds: int, status: int) -> None:
    """A refresh token expires on time, and no session token outlives it."""
    emulator = make()
    token = emulator.issue("ada@acme.example").refresh_jwt
    clock.advance(seconds)
    response = await call(emulator, "POST", PATH, token=token)
    assert response.status_code == status
    expected = {"sessionExpiration": NOW + FOUR_WEEKS} if status == 200 else {"errorCode": "E061005"}
    assert expected.items() <= response.json().items()


async def test_revoked(call: Call, make: Make) -> None:
    """After an administrator ended the user's sessions, a refresh gets the error of a logout."""
    emulator = make()
    token = emulator.issue("ada@acme.example").refresh_jwt
    emulator.revoke_sessions("ada@acme.example")
    response = await call(emulator, "POST", PATH, token=token)
    assert response.status_code == 401
    assert response.json() == {
        "errorCode": "E064001",
        "errorDescription": "Token expired due to logout",
        "errorMessage": "The token was revoked by a logout",
        "message": "The token was revoked by a logout",
    }


@pytest.mark.parametrize(("seconds", "status"), [(720, 200), (721, 401)])
async def test_inactivity(call: Call, make: Make, clock: Clock, seconds: int, status: int) -> None:
    """A session without a refresh within the timeout ends; each refresh restarts the timeout."""
    emulator = make(Project(inactivity_seconds=720))
    token = emulator.issue("ada@acme.example").refresh_jwt
    clock.advance(720)
    assert (await call(emulator, "POST", PATH, token=token)).status_code == 200
    clock.advance(seconds)
    assert (await call(emulator, "POST", PATH, token=token)).status_code == status


async def test_other_endpoints_reject_an_idle_session(call: Call, make: Make, clock: Clock) -> None:
    """An idle session cannot call other endpoints or start a step-up."""
    emulator = make(Project(inactivity_seconds=720))
    token = emulator.issue("ada@acme.example", "acme").refresh_jwt
    clock.advance(721)
    query = {"tenant": "acme", "redirectURL": "http://localhost:8000/"}
    responses = [
        await call(emulator, "GET", "/v1/auth/me", token=token),
        await call(emulator, "POST", "/v1/auth/logout", token=token),
        await call(
            emulator, "POST", "/v1/auth/sso/authorize", token=token, params=query, json={"stepup": True}
        ),
    ]
    assert [_verdict(response) for response in responses] == [(401, "E061005")] * 3


@pytest.mark.parametrize(("allowed", "seconds"), [(0, 0), (1, 1), (720, 360), (721, 361)])
async def test_next_refresh_is_half_of_the_inactivity_timeout(
    call: Call, make: Make, allowed: int, seconds: int
) -> None:
    """``nextRefreshSeconds`` is half of the timeout, and 0 without one."""
    emulator = make(Project(inactivity_seconds=allowed))
    response = await call(emulator, "POST", PATH, token=emulator.issue("ada@acme.example").refresh_jwt)
    assert response.json()["nextRefreshSeconds"] == seconds


async def test_session_token_is_not_a_refresh_token(call: Call, make: Make) -> None:
    """A session JWT cannot refresh."""
    emulator = make()
    token = emulator.issue("ada@acme.example").session_jwt
    assert _verdict(await call(emulator, "POST", PATH, token=token)) == (401, "E061005")


@pytest.mark.parametrize(("cut", "added"), [(0, "A"), (2, ""), (-1, "a.b.c")])
async def test_tampered(call: Call, make: Make, cut: int, added: str) -> None:
    """A refresh token with any changed byte is rejected."""
    emulator = make()
    token = emulator.issue("ada@acme.example").refresh_jwt
    token = (token[: len(token) - cut] if cut >= 0 else "") + added
    assert _verdict(await call(emulator, "POST", PATH, token=token)) == (401, "E061005")


async def test_another_emulators_token(call: Call, make: Make) -> None:
    """A token of another emulator is unknown, although project and user are the same."""
    token = make().issue("ada@acme.example").refresh_jwt
    assert _verdict(await call(make(), "POST", PATH, token=token)) == (401, "E061005")


async def test_dropped_key_invalidates_refresh_tokens(call: Call, make: Make) -> None:
    """A refresh token that was signed with a dropped key is rejected."""
    emulator = make()
    token = emulator.issue("ada@acme.example").refresh_jwt
    emulator.rotate_keys()
    assert (await call(emulator, "POST", PATH, token=token)).status_code == 200
    emulator.drop_old_keys()
    assert _verdict(await call(emulator, "POST", PATH, token=token)) == (401, "E061005")


async def test_refresh_uses_current_roles(call: Call, make: Make, read: Read) -> None:
    """Every refresh reads the roles again."""
    emulator = make()
    token = emulator.issue("grace@acme.example", "acme").refresh_jwt
    promoted = SeedUser("grace@acme.example", tenants={"acme": Grants(("admin",))})
    emulator.project = replace(emulator.project, users=(promoted,))
    body = (await call(emulator, "POST", PATH, token=token)).json()
    assert read(emulator, body["sessionJwt"])["tenants"] == {"acme": {"roles": ["admin"]}}


async def test_lost_membership_loses_the_tenant(call: Call, make: Make, read: Read) -> None:
    """A user who has left the current tenant has none after the refresh."""
    emulator = make()
    token = emulator.issue("grace@acme.example", "acme").refresh_jwt
    emulator.project = replace(emulator.project, users=(SeedUser("grace@acme.example"),))
    claims = read(emulator, (await call(emulator, "POST", PATH, token=token)).json()["sessionJwt"])
    assert "dct" not in claims
    assert "tenants" not in claims


async def test_deleted_user(call: Call, make: Make) -> None:
    """A removed user cannot refresh."""
    emulator = make()
    token = emulator.issue("grace@acme.example").refresh_jwt
    emulator.project = replace(emulator.project, users=())
    assert _verdict(await call(emulator, "POST", PATH, token=token)) == (400, "E062108")


async def test_disabled_user(call: Call, make: Make) -> None:
    """The token of a disabled user is invalid until the user is enabled again."""
    emulator = make()
    before = emulator.project
    token = emulator.issue("grace@acme.example").refresh_jwt
    grace = SeedUser("grace@acme.example", status="disabled")
    emulator.project = replace(before, users=(grace,))
    for method, path in (("POST", PATH), ("GET", "/v1/auth/me")):
        assert _verdict(await call(emulator, method, path, token=token)) == (401, "E061005")
    emulator.project = before
    assert (await call(emulator, "POST", PATH, token=token)).status_code == 200


async def test_try_refresh(call: Call, make: Make) -> None:
    """The response is that of a refresh without user, firstSeen and idpResponse."""
    emulator = make()
    token = emulator.issue("ada@acme.example").refresh_jwt
    full = (await call(emulator, "POST", PATH, token=token)).json()
    response = await call(emulator, "POST", "/v1/auth/try-refresh", token=token)
    assert response.status_code == 200
    assert response.json() == {k: v for k, v in full.items() if k not in {"user", "firstSeen", "idpResponse"}}


@pytest.mark.parametrize("token", ["", ":", ":abc", ":a.b.c", ":a.b.c:d.e.f", "::"])
async def test_try_refresh_without_a_valid_token(call: Call, make: Make, token: str) -> None:
    """It returns an empty object where a refresh would reject the token."""
    emulator = make()
    headers = {"authorization": f"Bearer {emulator.project_id}{token}"}
    response = await call(emulator, "POST", "/v1/auth/try-refresh", headers=headers)
    assert (response.status_code, response.json()) == (200, {})


async def test_try_refresh_for_another_project(call: Call, make: Make) -> None:
    """It is lenient about the token only."""
    headers = {"authorization": "Bearer P123"}
    response = await call(make(), "POST", "/v1/auth/try-refresh", headers=headers)
    assert _verdict(response) == (401, "E011003")


@pytest.mark.parametrize(
    ("token", "key", "status"),
    [("", "right", 200), ("abc", "right", 200), ("", "wrong", 401), ("a.b.c", "wrong", 401), ("", "", 401)],
)
async def test_try_refresh_with_a_key(call: Call, make: Make, token: str, key: str, status: int) -> None:
    """It requires the project's auth management key."""
    emulator = make(Project(auth_management_key="right"))
    response = await call(emulator, "POST", "/v1/auth/try-refresh", token=token, key=key)
    assert response.status_code == status


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_external_token(call: Call, make: Make, method: str) -> None:
    """An external token is tolerated in addition to a refresh token, but does not replace it."""
    emulator = make()
    token = emulator.issue("ada@acme.example").refresh_jwt
    query, body = {"externalToken": "theirs"}, {"externalToken": "theirs"}
    good = await call(emulator, method, PATH, token=token, params=query, json=body)
    assert (good.status_code, good.json()["externalToken"]) == (200, "")
    alone = await call(emulator, method, PATH, params=query, json=body)
    assert _verdict(alone) == (401, "E061005")
