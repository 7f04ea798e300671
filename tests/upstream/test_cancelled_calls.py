"""Cancelled calls do not affect later calls."""

import asyncio

import pytest

from fastapi_descope._upstream.api import DescopeApi
from fastapi_descope.errors import UpstreamUnavailable
from tests.helpers.raw_server import ok_response, serve_raw

pytestmark = pytest.mark.anyio

REFRESH = "canary-head.canary-body.canary-seal"
ANSWER = ok_response(b'{"sessionJwt": "a.b.c"}')


def client_of(url: str) -> DescopeApi:
    """Return a client with real connections."""
    return DescopeApi(base_url=url, project_id="P2abcdefghijklmnopqrstuvwxyz", timeout=5.0)


async def cancel_call(client: DescopeApi, turns: int) -> None:
    """Start a call, and cancel it after this many iterations of the event loop."""
    call = asyncio.create_task(client.refresh(REFRESH))
    for _ in range(turns):
        await asyncio.sleep(0)
    call.cancel()
    await asyncio.wait([call])


@pytest.mark.parametrize("before", [0, 1], ids=["first call", "kept connection"])
async def test_rf06_call_cancelled_at_any_step_does_not_block_the_next(before: int) -> None:
    """This includes the steps at which httpcore loses track of its connections."""
    async with serve_raw(ANSWER) as server:
        for turns in range(40):
            client = client_of(server.url)
            for _ in range(before):
                await client.refresh(REFRESH)
            await cancel_call(client, turns)
            assert (await client.refresh(REFRESH)).session_jwt == "a.b.c"
            await client.aclose()


async def test_rf06_cancelled_calls_use_up_no_connection() -> None:
    """After more cancelled calls than a client has connections, all of them work at the same time."""
    async with serve_raw(ANSWER) as server:
        client = client_of(server.url)
        for turns in range(40):
            await cancel_call(client, turns)
        responses = await asyncio.gather(*(client.refresh(REFRESH) for _ in range(20)))
        assert [response.session_jwt for response in responses] == ["a.b.c"] * 20
        await client.aclose()


async def test_rf09_timeout_does_not_block_the_next_call() -> None:
    """The next call to a recovered server succeeds."""
    slow = asyncio.Event()

    async def response(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not slow.is_set():
            slow.set()
            await reader.read()  # until the client times out
        else:
            writer.write(ANSWER)
            await reader.read()

    async with serve_raw(response) as server:
        client = DescopeApi(base_url=server.url, project_id="P2abcdefghijklmnopqrstuvwxyz", timeout=2.0)
        with pytest.raises(UpstreamUnavailable):
            await client.refresh(REFRESH)
        assert (await client.refresh(REFRESH)).session_jwt == "a.b.c"
        await client.aclose()
