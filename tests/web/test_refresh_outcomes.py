"""The table of requirement 2.9 on the wire: responses of Descope and responses to the browser (RF-01, RF-16).

The session has expired or is about to. Each case is one request and all headers of its response.
"""

import re
from typing import TypedDict

import httpx
import pytest

from fastapi_descope.emulator import Project
from fastapi_descope.events import RefreshRefused, UpstreamTokenRejected
from tests.helpers.app_harness import AppHarness, EnvFactory
from tests.helpers.event_loop import in_virtual_time

pytestmark = pytest.mark.anyio

STRICT = Project(rotate_refresh=True)
EXPIRED, AHEAD = 660, 560
"""Seconds after which a session of ten minutes is over, and is due for its refresh."""

GONE = "=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; HttpOnly; SameSite=Lax"
PAGE = b"<h1>Blocked by policy</h1>"


class FaultyResponse(TypedDict, total=False):
    """The response of the emulator."""

    status: int
    body: bytes
    retry_after: str
    cut: str
    hold: bool


UNAVAILABLE: dict[str, tuple[FaultyResponse, str]] = {
    "200, HTML": ({"body": PAGE}, "5"),
    "200, {}": ({"body": b"{}"}, "5"),
    "200, empty": ({"body": b""}, "5"),
    "200, half an object": ({"body": b'{"sessionJwt": "'}, "5"),
    "200, no tokens": ({"body": b'{"sessionJwt": "a.b.c", "refreshJwt": "a.b.c"}'}, "5"),
    "200, more than is read": ({"body": b'{"sessionJwt": "' + b"x" * 300_000 + b'"}'}, "5"),
    "401, HTML": ({"status": 401, "body": PAGE}, "5"),
    "401, empty": ({"status": 401, "body": b""}, "5"),
    "403, HTML": ({"status": 403, "body": PAGE}, "5"),
    "302": ({"status": 302, "body": b""}, "5"),
    "404": ({"status": 404}, "5"),
    "429, 17 seconds": ({"status": 429, "retry_after": "17"}, "17"),
    "429, too long": ({"status": 429, "retry_after": "1000000000"}, "60"),
    "429, in the past": ({"status": 429, "retry_after": "-1"}, "5"),
    "429, no number": ({"status": 429, "retry_after": "x"}, "5"),
    "429, no time": ({"status": 429}, "5"),
    "500": ({"status": 500}, "5"),
    "503, HTML": ({"status": 503, "body": PAGE}, "5"),
    "reset": ({"cut": "reset"}, "5"),
    "timeout": ({"hold": True}, "5"),
}


async def request(env: AppHarness, age: int, **response: object) -> httpx.Response:
    """Send a request with the cookies of a session of that age, while Descope responds like this."""
    pair = env.emulator.issue("ada@acme.example", "acme")
    env.emulator.clock.advance(age)
    if response:
        env.emulator.faults.add("refresh", **response)  # type: ignore[arg-type]  # any fault, by keyword
    cookie = f"DS={pair.session_jwt}; DSR={pair.refresh_jwt}"
    return await env.browser().get("/session-of", cookie=cookie)


def headers(response: httpx.Response) -> dict[str, str]:
    """Return all headers but those of the body; the client joins repeated ones."""
    return {name: value for name, value in response.headers.items() if name != "content-length"}


@pytest.mark.parametrize("age", [EXPIRED, AHEAD], ids=["dead", "alive"])
async def test_rf01_verified_tokens_are_both_written(make_env: EnvFactory, age: int) -> None:
    """200 with both cookies, whether the session had expired or not."""
    response = await request(make_env(project=STRICT), age)

    assert response.status_code == 200
    cookies = response.headers.get_list("set-cookie")
    jwt = r"[\w-]+\.[\w-]+\.[\w-]+"
    assert [
        bool(re.fullmatch(rf"{name}={jwt}; Max-Age=\d+; Path=/; HttpOnly; SameSite=Lax", cookie))
        for name, cookie in zip(("DS", "DSR"), cookies, strict=True)
    ] == [True, True]
    assert headers(response) == {
        "content-type": "application/json",
        "set-cookie": ", ".join(cookies),
        "cache-control": "private, no-store",
        "vary": "Cookie",
    }


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_rf01_well_formed_rejection_ends_an_expired_session(make_env: EnvFactory, status: int) -> None:
    """401, and both cookies are cleared."""
    response = await request(make_env(), EXPIRED, status=status)

    assert (response.status_code, response.json()["code"]) == (401, "session_ended")
    assert headers(response) == {
        "content-type": "application/problem+json",
        "www-authenticate": "Bearer",
        "set-cookie": f"DS{GONE}, DSR{GONE}",
        "cache-control": "private, no-store",
        "vary": "Cookie",
    }


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_rf01_well_formed_rejection_does_not_fail_the_request_of_a_live_session(
    make_env: EnvFactory, status: int
) -> None:
    """The request keeps its session, and its response clears both cookies."""
    response = await request(make_env(), AHEAD, status=status)

    assert (response.status_code, response.json()["tenant"]) == (200, "acme")
    assert headers(response) == {
        "content-type": "application/json",
        "set-cookie": f"DS{GONE}, DSR{GONE}",
        "cache-control": "private, no-store",
        "vary": "Cookie",
    }


@in_virtual_time
@pytest.mark.parametrize("case", UNAVAILABLE)
async def test_rf01_any_other_response_is_503_for_an_expired_session(make_env: EnvFactory, case: str) -> None:
    """With the time to wait; no cookie changes."""
    given, retry_after = UNAVAILABLE[case]

    response = await request(make_env(), EXPIRED, **given)

    assert (response.status_code, response.json()["code"]) == (503, "upstream_unavailable")
    assert headers(response) == {
        "content-type": "application/problem+json",
        "retry-after": retry_after,
        "cache-control": "no-store",
        "vary": "Cookie, Authorization",
    }


@in_virtual_time
@pytest.mark.parametrize("case", UNAVAILABLE)
async def test_rf01_any_other_response_does_not_affect_a_live_session(
    make_env: EnvFactory, case: str
) -> None:
    """200 with the old session and without cookies."""
    response = await request(make_env(), AHEAD, **UNAVAILABLE[case][0])

    assert (response.status_code, response.json()["tenant"]) == (200, "acme")
    assert headers(response) == {
        "content-type": "application/json",
        "cache-control": "private",
        "vary": "Cookie, Authorization",
    }


@pytest.mark.parametrize(("age", "status"), [(EXPIRED, 503), (AHEAD, 200)], ids=["dead", "alive"])
async def test_rf01_tokens_of_another_user_are_rejected(make_env: EnvFactory, age: int, status: int) -> None:
    """They are valid, but not for this user; the event says so."""
    env = make_env()
    theirs = env.emulator.issue("hank@globex.example", "globex", session_seconds=3600)
    tokens = {"sessionJwt": theirs.session_jwt, "refreshJwt": theirs.refresh_jwt}

    response = await request(env, age, body=tokens)

    assert response.status_code == status
    assert "set-cookie" not in response.headers
    assert theirs.session_jwt not in response.text
    assert UpstreamTokenRejected("subject") in env.events


async def test_rf16_reuse_ends_the_session_and_costs_one_call(make_env: EnvFactory) -> None:
    """Descope takes a spent token for theft; further requests with it cost one call in 30 seconds."""
    env = make_env(project=STRICT)
    pair = env.emulator.issue("ada@acme.example", "acme")
    cookie = f"DS={pair.session_jwt}; DSR={pair.refresh_jwt}"
    env.emulator.clock.advance(EXPIRED)
    await env.browser().get("/session-of", cookie=cookie)
    env.emulator.clock.advance(600)  # for so long the result was kept (RF-04)

    responses = [await env.browser().get("/session-of", cookie=cookie) for _ in range(20)]

    assert {response.status_code for response in responses} == {401}
    assert {response.headers["set-cookie"] for response in responses} == {f"DS{GONE}, DSR{GONE}"}
    assert env.calls("refresh") == 2
    assert [type(event) for event in env.events].count(RefreshRefused) == 1
