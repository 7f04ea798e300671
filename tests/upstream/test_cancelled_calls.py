"""A call to Descope that is cancelled, at any step, takes nothing from the calls after it."""

import asyncio

import pytest

from fastapi_descope._upstream.api import DescopeApi
from fastapi_descope.errors import UpstreamUnavailable
from tests.helpers.raw_server import ok_response, serve_raw

pytestmark = pytest.mark.anyio

REFRESH = "canary-head.canary-body.canary-seal"
ANSWER = ok_response(b'{"sessionJwt": "a.b.c"}')


def client_of(url: str) -> DescopeApi:
    """A client with connections of its own."""
    return DescopeApi(base_url=url, project_id="P2abcdefghijklmnopqrstuvwxyz", timeout=5.0)


@pytest.mark.parametrize("before", [0, 1], ids=["first call", "kept connection"])
async def test_rf06_a_call_cancelled_at_any_turn_leaves_the_way_open(before: int) -> None:
    """Also where httpcore loses count of its connections: the next call, by the same way, gets through."""
    async with serve_raw(ANSWER) as server:
        for turns in range(40):
            client = client_of(server.url)
            for _ in range(before):
                await client.refresh(REFRESH)
            call = asyncio.create_task(client.refresh(REFRESH))
            for _ in range(turns):
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.wait([call])
            async with asyncio.timeout(2):
                assert (await client.refresh(REFRESH)).session_jwt == "a.b.c"
            await client.aclose()


async def test_rf09_a_deadline_leaves_the_way_open() -> None:
    """A Descope that is slower than the deadline and then well is asked, and answers."""
    slow = asyncio.Event()

    async def response(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not slow.is_set():
            slow.set()
            await reader.read()  # until the client has had enough
        else:
            writer.write(ANSWER)
            await reader.read()

    async with serve_raw(response) as server:
        client = DescopeApi(base_url=server.url, project_id="P2abcdefghijklmnopqrstuvwxyz", timeout=0.2)
        with pytest.raises(UpstreamUnavailable):
            await client.refresh(REFRESH)
        assert (await client.refresh(REFRESH)).session_jwt == "a.b.c"
        await client.aclose()
