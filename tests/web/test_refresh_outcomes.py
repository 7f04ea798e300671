"""The table of requirement 2.9 on the wire: what Descope answers, and what the browser gets (RF-01, RF-16).

The session is dead, or about to end. Every cell is one request and every header of its answer.
"""

import re
from typing import TypedDict

import httpx
import pytest

from fastapi_descope.emulator import Project
from fastapi_descope.events import RefreshRefused, UpstreamTokenRejected
from tests.helpers.app_harness import AppHarness, EnvFactory

pytestmark = pytest.mark.anyio

STRICT = Project(rotate_refresh=True)
DEAD, AHEAD = 660, 560
"""Seconds after which a session of ten minutes is over, and is due for its refresh."""

GONE = "=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; HttpOnly; SameSite=Lax"
PAGE = b"<h1>Blocked by policy</h1>"


class Answer(TypedDict, total=False):
    """What the emulator answers instead."""

    status: int
    body: bytes
    retry_after: str
    cut: str
    hold: bool


NO_VERDICT: dict[str, tuple[Answer, str]] = {
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


async def ask(env: AppHarness, age: int, **response: object) -> httpx.Response:
    """A request with the cookies of a session of that age, while Descope answers so."""
    pair = env.emulator.issue("ada@acme.example", "acme")
    env.emulator.clock.advance(age)
    if response:
        env.emulator.faults.add("refresh", **response)  # type: ignore[arg-type]  # any answer, by keyword
    cookie = f"DS={pair.session_jwt}; DSR={pair.refresh_jwt}"
    return await env.browser().get("/session-of", cookie=cookie)


def headers(response: httpx.Response) -> dict[str, str]:
    """All headers but the body's; those that are there twice are joined by the client."""
    return {name: value for name, value in response.headers.items() if name != "content-length"}


@pytest.mark.parametrize("age", [DEAD, AHEAD], ids=["dead", "alive"])
async def test_rf01_a_verified_pair_is_written_whole(make_env: EnvFactory, age: int) -> None:
    """200 with both cookies, whether the session had ended or not."""
    response = await ask(make_env(project=STRICT), age)

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
async def test_rf01_a_well_formed_no_ends_a_dead_session(make_env: EnvFactory, status: int) -> None:
    """401, and both cookies go."""
    response = await ask(make_env(), DEAD, status=status)

    assert (response.status_code, response.json()["code"]) == (401, "session_ended")
    assert headers(response) == {
        "content-type": "application/problem+json",
        "www-authenticate": "Bearer",
        "set-cookie": f"DS{GONE}, DSR{GONE}",
        "cache-control": "private, no-store",
        "vary": "Cookie",
    }


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_rf01_a_well_formed_no_spares_the_request_of_a_live_session(
    make_env: EnvFactory, status: int
) -> None:
    """This request has its old identity still; both cookies go with its answer."""
    response = await ask(make_env(), AHEAD, status=status)

    assert (response.status_code, response.json()["tenant"]) == (200, "acme")
    assert headers(response) == {
        "content-type": "application/json",
        "set-cookie": f"DS{GONE}, DSR{GONE}",
        "cache-control": "private, no-store",
        "vary": "Cookie",
    }


@pytest.mark.parametrize("case", NO_VERDICT)
async def test_rf01_anything_else_is_503_for_a_dead_session(make_env: EnvFactory, case: str) -> None:
    """With the time to come again; no cookie is touched."""
    given, retry_after = NO_VERDICT[case]

    response = await ask(make_env(upstream_timeout=0.1), DEAD, **given)

    assert (response.status_code, response.json()["code"]) == (503, "upstream_unavailable")
    assert headers(response) == {
        "content-type": "application/problem+json",
        "retry-after": retry_after,
        "cache-control": "no-store",
        "vary": "Cookie, Authorization",
    }


@pytest.mark.parametrize("case", NO_VERDICT)
async def test_rf01_anything_else_is_not_noticed_by_a_live_session(make_env: EnvFactory, case: str) -> None:
    """200 with the old identity, as if nothing had been asked."""
    response = await ask(make_env(upstream_timeout=0.1), AHEAD, **NO_VERDICT[case][0])

    assert (response.status_code, response.json()["tenant"]) == (200, "acme")
    assert headers(response) == {
        "content-type": "application/json",
        "cache-control": "private",
        "vary": "Cookie, Authorization",
    }


@pytest.mark.parametrize(("age", "status"), [(DEAD, 503), (AHEAD, 200)], ids=["dead", "alive"])
async def test_rf01_another_users_tokens_are_nobodys(make_env: EnvFactory, age: int, status: int) -> None:
    """Genuine, and not for this user: dropped, and told of as suspicious."""
    env = make_env()
    theirs = env.emulator.issue("hank@globex.example", "globex", session_seconds=3600)
    tokens = {"sessionJwt": theirs.session_jwt, "refreshJwt": theirs.refresh_jwt}

    response = await ask(env, age, body=tokens)

    assert response.status_code == status
    assert "set-cookie" not in response.headers
    assert theirs.session_jwt not in response.text
    assert UpstreamTokenRejected("subject") in env.events


async def test_rf16_a_reuse_signs_out_and_is_asked_about_once(make_env: EnvFactory) -> None:
    """Descope takes a spent token for a theft; whoever keeps sending it costs one call in 30 seconds."""
    env = make_env(project=STRICT)
    pair = env.emulator.issue("ada@acme.example", "acme")
    cookie = f"DS={pair.session_jwt}; DSR={pair.refresh_jwt}"
    env.emulator.clock.advance(DEAD)
    await env.browser().get("/session-of", cookie=cookie)
    env.emulator.clock.advance(31)

    responses = [await env.browser().get("/session-of", cookie=cookie) for _ in range(20)]

    assert {response.status_code for response in responses} == {401}
    assert {response.headers["set-cookie"] for response in responses} == {f"DS{GONE}, DSR{GONE}"}
    assert env.calls("refresh") == 2
    assert [type(event) for event in env.events].count(RefreshRefused) == 1
