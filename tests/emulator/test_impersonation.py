"""Impersonation: who may act as whom, and the claim ``act`` of the tokens (wire contract, section 2.19)."""

from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Literal, cast

import httpx
import pytest

from fastapi_descope.emulator import Assumptions, Clock, Emulator, Grants, Project, SeedAccount, SeedUser

pytestmark = pytest.mark.anyio

Call = Callable[..., Coroutine[None, None, httpx.Response]]
Make = Callable[..., Emulator]
Read = Callable[[Emulator, str], dict[str, object]]
Form = Literal["object", "refresh_only", "string"]

START = "/v1/mgmt/impersonate"
STOP = "/v1/mgmt/stop/impersonation"
NOW = 1_800_000_000
KEY = "management"

SUE = SeedUser("sue@support.example", "Sue", permissions=("Impersonate",))
TIM = SeedUser("tim@acme.example", "Tim", {"acme": Grants((), ("Impersonate",))})
EVE = SeedUser("eve@acme.example", "Eve", {"acme": Grants(("admin",), ("impersonate",))})
OLD = SeedUser("old@support.example", "Old", permissions=("Impersonate",), status="disabled")
ADA = SeedUser(
    "ada@acme.example",
    "Ada",
    {"acme": Grants(("admin",)), "globex": Grants()},
    amr=("pwd", "mfa"),
    account=SeedAccount(consent_expiration=NOW + 60),
)
HANK = SeedUser("hank@globex.example", "Hank", {"globex": Grants()})
GONE = SeedUser("gone@acme.example", "Gone", {"acme": Grants()}, status="disabled")
PROJECT = Project(management_key=KEY, users=(SUE, TIM, EVE, OLD, ADA, HANK, GONE))


async def _start(
    call: Call,
    emulator: Emulator,
    impersonator: str = SUE.login_id,
    login_id: str = ADA.login_id,
    **more: object,
) -> httpx.Response:
    body = {"impersonatorId": impersonator, "loginId": login_id, **more}
    return await call(emulator, "POST", START, key=KEY, json=body)


def _error(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["errorCode"]


async def test_impersonator_gets_a_refresh_token_of_the_user(call: Call, make: Make, read: Read) -> None:
    """It names both of them, and nothing else is in the response. The user has proved nothing."""
    emulator = make(PROJECT)

    response = await _start(call, emulator)

    assert (response.status_code, list(response.json())) == (200, ["jwt"])
    claims = read(emulator, response.json()["jwt"])
    assert (claims["sub"], claims["drn"], claims["act"]) == (ADA.user_id, "DSR", {"sub": SUE.user_id})
    assert (claims["amr"], "dct" in claims) == ([], False)
    assert claims["exp"] == NOW + PROJECT.refresh_seconds


async def test_request_chooses_tenant_claims_and_lifetime(call: Call, make: Make, read: Read) -> None:
    """The session that the token is refreshed to has them. The impersonator may be named by user id."""
    emulator = make(PROJECT)
    wanted: dict[str, Any] = {
        "selectedTenant": "acme",
        "customClaims": {"ticket": "T-1"},
        "refreshDuration": 900,
    }

    token = (await _start(call, emulator, SUE.user_id, **wanted)).json()["jwt"]
    session = (await call(emulator, "POST", "/v1/auth/refresh", token=token)).json()["sessionJwt"]

    assert read(emulator, token)["exp"] == NOW + 900
    claims = read(emulator, session)
    assert (claims["dct"], claims["nsec"]) == ("acme", {"ticket": "T-1"})


@pytest.mark.parametrize("rotate", [False, True])
@pytest.mark.parametrize(
    ("form", "in_session", "in_refresh"),
    [
        ("object", {"sub": SUE.user_id}, {"sub": SUE.user_id}),
        ("refresh_only", None, {"sub": SUE.user_id}),
        ("string", SUE.user_id, SUE.user_id),
    ],
)
async def test_actor_survives_refreshes_and_tenant_switches(
    call: Call, make: Make, read: Read, form: Form, in_session: object, in_refresh: object, *, rotate: bool
) -> None:
    """In the form that the project's tokens have."""
    project = replace(PROJECT, rotate_refresh=rotate, assumptions=Assumptions(actor_claim=form))
    emulator = make(project)
    token = (await _start(call, emulator)).json()["jwt"]

    for path, body in (("refresh", {}), ("tenant/select", {"tenant": "globex"}), ("refresh", {})):
        answer = (await call(emulator, "POST", f"/v1/auth/{path}", token=token, json=body)).json()
        token = answer["refreshJwt"] or token
        assert read(emulator, answer["sessionJwt"]).get("act") == in_session
        assert read(emulator, token).get("act") == in_refresh


async def test_sign_in_has_no_actor(make: Make, read: Read) -> None:
    """The claim is absent, not null."""
    emulator = make(PROJECT)
    assert all("act" not in read(emulator, token) for token in emulator.issue(ADA.login_id))


@pytest.mark.parametrize("status", [400, 401, 403])
@pytest.mark.parametrize(
    ("impersonator", "login_id"),
    [
        pytest.param(EVE.login_id, ADA.login_id, id="without the permission"),
        pytest.param(TIM.login_id, HANK.login_id, id="with the permission in another tenant"),
        pytest.param(TIM.login_id, SUE.login_id, id="for a user without a tenant"),
    ],
)
async def test_impersonator_needs_the_permission_for_the_user(
    call: Call, make: Make, impersonator: str, login_id: str, status: Literal[400, 401, 403]
) -> None:
    """In the project, or in a tenant of the user."""
    emulator = make(replace(PROJECT, assumptions=Assumptions(impersonation_refusal=status)))
    response = await _start(call, emulator, impersonator, login_id)
    assert _error(response) == (status, "E060000")


async def test_permission_in_a_tenant_reaches_its_members(call: Call, make: Make) -> None:
    """Tim may act as Ada, who is in Acme."""
    assert (await _start(call, make(PROJECT), TIM.login_id)).status_code == 200


@pytest.mark.parametrize(
    ("login_id", "seconds", "status"),
    [(ADA.login_id, 59, 200), (ADA.login_id, 60, 401), (HANK.login_id, 0, 401)],
)
async def test_consent_is_checked_if_the_request_says_so(
    call: Call, make: Make, clock: Clock, login_id: str, seconds: int, status: int
) -> None:
    """A consent ends at its expiry. Without ``validateConsent`` none is needed."""
    emulator = make(PROJECT)
    clock.advance(seconds)
    assert (await _start(call, emulator, login_id=login_id)).status_code == 200
    assert (await _start(call, emulator, login_id=login_id, validateConsent=True)).status_code == status


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"impersonatorId": "nobody@support.example"}, (400, "E062108")),
        ({"loginId": "nobody@acme.example"}, (400, "E062108")),
        ({"impersonatorId": OLD.login_id}, (403, "E011004")),
        ({"loginId": GONE.login_id}, (403, "E011004")),
        ({"selectedTenant": "umbrella"}, (403, "E011004")),
        ({"selectedTenant": 1}, (400, "E011003")),
        ({"loginId": None}, (400, "E011002")),
        ({"refreshDuration": -1}, (400, "E011003")),
        ({"refreshDuration": True}, (400, "E011003")),
        ({"refreshDuration": "60"}, (400, "E011003")),
        ({"refreshDuration": 10**9}, (400, "E011003")),
    ],
)
async def test_wrong_argument_is_refused(
    call: Call, make: Make, change: dict[str, Any], error: tuple[int, str]
) -> None:
    """With the code for its kind."""
    body = {"impersonatorId": SUE.login_id, "loginId": ADA.login_id, **change}
    assert _error(await call(make(PROJECT), "POST", START, key=KEY, json=body)) == error


@pytest.mark.parametrize("path", [START, STOP])
@pytest.mark.parametrize("key", ["", "wrong"])
async def test_management_key_is_needed(call: Call, make: Make, path: str, key: str) -> None:
    """A request without it is refused before its body is read."""
    assert (await call(make(PROJECT), "POST", path, key=key, json={})).status_code == 401


async def test_stop_returns_a_session_of_the_impersonator(call: Call, make: Make, read: Read) -> None:
    """It has no actor. The impersonated session goes on."""
    emulator = make(PROJECT)
    token = (await _start(call, emulator)).json()["jwt"]

    response = await call(
        emulator, "POST", STOP, key=KEY, json={"jwt": token, "refreshDuration": 60, "selectedTenant": None}
    )

    assert (response.status_code, list(response.json())) == (200, ["jwt"])
    claims = read(emulator, response.json()["jwt"])
    assert (claims["sub"], claims["exp"], "act" in claims) == (SUE.user_id, NOW + 60, False)
    assert (await call(emulator, "POST", "/v1/auth/refresh", token=token)).status_code == 200


async def test_only_an_impersonation_can_be_stopped(call: Call, make: Make) -> None:
    """A session without an actor, and a token that is not usable, are refused."""
    emulator = make(PROJECT)
    own = emulator.issue(ADA.login_id).refresh_jwt
    impersonated = emulator.issue(ADA.login_id, actor=SUE.login_id).refresh_jwt
    emulator.project = replace(PROJECT, users=tuple(user for user in PROJECT.users if user is not SUE))

    answers = [
        _error(await call(emulator, "POST", STOP, key=KEY, json={"jwt": token}))
        for token in (own, "a.b.c", impersonated)
    ]

    assert answers == [(400, "E011003"), (401, "E061005"), (400, "E062108")]


async def test_tokens_are_issued_with_an_actor(make: Make, read: Read) -> None:
    """Without HTTP, and without the permission."""
    emulator = make(PROJECT)
    for token in emulator.issue(ADA.login_id, "acme", actor=EVE.login_id):
        assert read(emulator, token)["act"] == {"sub": EVE.user_id}
    with pytest.raises(LookupError, match="no such user"):
        emulator.issue(ADA.login_id, actor="nobody@support.example")


async def test_console_shows_the_actor(call: Call, make_console: Make) -> None:
    """In the list of sessions, as text and as JSON."""
    emulator = make_console(project=PROJECT)
    emulator.issue(ADA.login_id, actor=SUE.login_id)

    sessions = (await call(emulator, "GET", "/console/api/sessions")).json()["sessions"]

    assert [cast("dict[str, object]", each)["actor"] for each in sessions] == [SUE.user_id]
    assert f"actor: {SUE.login_id}" in (await call(emulator, "GET", "/console")).text
