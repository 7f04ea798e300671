"""Fault injection in-process."""

import asyncio
from collections.abc import Callable, Coroutine

import httpx
import pytest

from fastapi_descope.emulator import Emulator, Project
from fastapi_descope.emulator.server import running

pytestmark = pytest.mark.anyio

Call = Callable[..., Coroutine[None, None, httpx.Response]]
Make = Callable[..., Emulator]

REFRESH = "/v1/auth/refresh"


async def test_status_fault_happens_the_given_number_of_times(call: Call, make: Make) -> None:
    """A fault returns Descope's error format for the given number of calls."""
    emulator = make()
    token = emulator.issue("ada@acme.example").refresh_jwt
    emulator.faults.add("refresh", times=2, status=500)
    responses = [await call(emulator, "POST", REFRESH, token=token) for _ in range(3)]
    assert [response.status_code for response in responses] == [500, 500, 200]
    assert responses[0].headers["content-type"] == "application/json"
    assert responses[0].json() == {
        "errorCode": "E000000",
        "errorDescription": "Internal failure",
        "errorMessage": "A fault was injected here",
        "message": "A fault was injected here",
    }


async def test_rate_limit(call: Call, make: Make) -> None:
    """A 429 has the only documented error code, and the given ``Retry-After``."""
    emulator = make()
    emulator.faults.add("keys", status=429, retry_after=3)
    response = await call(emulator, "GET", f"/v2/keys/{emulator.project_id}")
    assert response.status_code == 429
    assert response.headers["retry-after"] == "3"
    assert response.json() == {
        "errorCode": "E130429",
        "errorDescription": "https://docs.descope.com/rate-limit",
        "errorMessage": "API rate limit exceeded.",
        "message": "API rate limit exceeded.",
    }


async def test_any_body_and_content_type(call: Call, make: Make) -> None:
    """Any bytes with any content type can be returned, with status 200 by default."""
    emulator = make()
    emulator.faults.add("me", body=b"<html>", headers={"Content-Type": "text/html", "X-Odd": "1"})
    emulator.faults.add("me", body={"unexpected": True}, status=418)
    html, odd = [await call(emulator, "GET", "/v1/auth/me") for _ in range(2)]
    assert (html.status_code, html.content) == (200, b"<html>")
    assert html.headers.get_list("content-type") == ["text/html"]
    assert html.headers["x-odd"] == "1"
    assert (odd.status_code, odd.json()) == (418, {"unexpected": True})


async def test_faults_of_the_endpoint_come_before_those_of_all(call: Call, make: Make) -> None:
    """An endpoint's own faults come first, in order, then those for every endpoint."""
    emulator = make()
    emulator.faults.add("*", status=503)
    emulator.faults.add("me", status=500)
    emulator.faults.add("me", status=502)
    responses = [await call(emulator, "GET", "/v1/auth/me") for _ in range(4)]
    assert [response.status_code for response in responses] == [500, 502, 503, 401]


async def test_fault_of_all_endpoints_ignores_other_requests(call: Call, make: Make) -> None:
    """A browser's preflight and its request for an icon are not API calls."""
    emulator = make()
    emulator.faults.add("*", status=503)
    preflight = {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "GET"}
    assert (await call(emulator, "OPTIONS", "/v1/auth/me", headers=preflight)).status_code == 200
    assert (await call(emulator, "GET", "/favicon.ico")).status_code == 404
    assert (await call(emulator, "GET", "/v1/auth/me")).status_code == 503


async def test_clear_removes_pending_faults(call: Call, make: Make) -> None:
    """Faults that have not happened are removed."""
    emulator = make()
    emulator.faults.add("*", status=503)
    emulator.faults.clear()
    assert (await call(emulator, "GET", "/v1/auth/me")).status_code == 401


async def test_fault_before_the_work_keeps_the_refresh_token(call: Call, make: Make) -> None:
    """By default the endpoint does no work, so a refresh token is not used up."""
    emulator = make(Project(rotate_refresh=True))
    token = emulator.issue("ada@acme.example").refresh_jwt
    emulator.faults.add("refresh", status=502)
    responses = [await call(emulator, "POST", REFRESH, token=token) for _ in range(2)]
    assert [response.status_code for response in responses] == [502, 200]


async def test_fault_after_the_work_loses_the_response(call: Call, make: Make) -> None:
    """With ``when="after"`` the rotation is done and its response lost, so the next attempt is a reuse."""
    emulator = make(Project(rotate_refresh=True))
    token = emulator.issue("ada@acme.example").refresh_jwt
    emulator.faults.add("refresh", status=504, body=b"", when="after")
    responses = [await call(emulator, "POST", REFRESH, token=token) for _ in range(2)]
    assert [response.status_code for response in responses] == [504, 400]
    assert responses[0].content == b""
    assert responses[1].json()["errorCode"] == "E064006"


@pytest.mark.parametrize("when", ["before", "after"])
async def test_delay(call: Call, when: str) -> None:
    """A delay waits for its seconds and keeps the response."""
    waited: list[float] = []

    async def pause(seconds: float) -> None:
        waited.append(seconds)
        await asyncio.sleep(0)

    emulator = Emulator(pause=pause)
    token = emulator.issue("ada@acme.example").refresh_jwt
    emulator.faults.add("refresh", delay=4.5, when="after" if when == "after" else "before")
    response = await call(emulator, "POST", REFRESH, token=token)
    assert (response.status_code, waited) == (200, [4.5])


async def test_hold(call: Call, make: Make) -> None:
    """Held calls wait until they are released; other calls do not wait."""
    emulator = make()
    token = emulator.issue("ada@acme.example").refresh_jwt
    emulator.faults.add("refresh", times=2, hold=True)
    async with asyncio.TaskGroup() as group:
        held_calls = [group.create_task(call(emulator, "POST", REFRESH, token=token)) for _ in range(2)]
        await emulator.faults.wait_until_held(2)
        assert (await call(emulator, "POST", REFRESH, token=token)).status_code == 200
        assert [one.status for one in emulator.requests.for_endpoint("refresh")] == [None, None, 200]
        emulator.faults.release()
    assert [task.result().status_code for task in held_calls] == [200, 200]


async def test_hold_then_fail(call: Call, make: Make) -> None:
    """A held call may fail after its release."""
    emulator = make()
    emulator.faults.add("me", hold=True, status=500)
    async with asyncio.TaskGroup() as group:
        call_task = group.create_task(call(emulator, "GET", "/v1/auth/me"))
        await emulator.faults.wait_until_held()
        emulator.faults.clear()
    assert call_task.result().status_code == 500


async def test_cancelled_call_is_no_longer_held(call: Call, make: Make) -> None:
    """A cancelled call does not count as held."""
    emulator = make()
    emulator.faults.add("me", times=2, hold=True)
    first = asyncio.create_task(call(emulator, "GET", "/v1/auth/me"))
    await emulator.faults.wait_until_held()
    first.cancel()
    await asyncio.wait([first])
    second = asyncio.create_task(call(emulator, "GET", "/v1/auth/me"))
    both = asyncio.create_task(emulator.faults.wait_until_held(2))
    await emulator.faults.wait_until_held(1)
    assert not both.done()
    both.cancel()
    emulator.faults.release()
    assert (await second).status_code == 401


async def test_hold_across_threads(make: Make) -> None:
    """A call that is held on a socket in another thread can be awaited and released from the test."""
    emulator = make()
    emulator.faults.add("keys", hold=True)
    with running(emulator) as base_url:
        async with asyncio.TaskGroup() as group, httpx.AsyncClient(base_url=base_url) as client:
            call_task = group.create_task(client.get(f"/v2/keys/{emulator.project_id}"))
            await emulator.faults.wait_until_held()
            emulator.faults.release()
            assert (await call_task).status_code == 200


def test_waiter_of_a_closed_event_loop_is_ignored(make: Make, call: Call) -> None:
    """A waiter whose event loop has ended does not affect later calls."""
    emulator = make()

    async def give_up() -> None:
        watching = asyncio.create_task(emulator.faults.wait_until_held())
        await asyncio.sleep(0)
        watching.cancel()

    async def hold() -> int:
        emulator.faults.add("me", hold=True)
        call_task = asyncio.create_task(call(emulator, "GET", "/v1/auth/me"))
        await emulator.faults.wait_until_held()
        emulator.faults.release()
        return (await call_task).status_code

    asyncio.run(give_up())
    assert asyncio.run(hold()) == 401


def test_fault_without_effect_is_rejected(make: Make) -> None:
    """A fault without an effect is an error."""
    with pytest.raises(ValueError, match="needs a status, a body, a delay, a drip, a cut or hold=True"):
        make().faults.add("refresh")


def test_unknown_endpoint(make: Make) -> None:
    """An unknown endpoint is an error, and the message lists the known ones."""
    with pytest.raises(ValueError, match=r"unknown endpoint 'renew'; expected one of .*'refresh'"):
        make().faults.add("renew", status=500)
