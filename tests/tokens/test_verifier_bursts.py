"""Many unknown tokens at once do not hold the event loop, and are still verified once each (RF-10)."""

import asyncio
from collections import Counter

import pytest

from fastapi_descope.session import AuthSession
from tests.helpers.event_loop import IterationCounter, run_ready
from tests.helpers.jwks_publisher import Publisher
from tests.helpers.tampering import Forge

pytestmark = pytest.mark.anyio


def tokens(forge: Forge, count: int, **changes: object) -> list[str]:
    """Return valid tokens of different users."""
    return [forge.token(forge.claims(sub=f"U{number}", **changes)) for number in range(count)]


async def test_rf10_a_burst_of_unknown_tokens_is_spread_over_iterations(forge: Forge) -> None:
    """One iteration of the event loop verifies at most 32 of them, of both kinds together."""
    verifier, iterations = Publisher(forge.key_set("A")).verifier(), IterationCounter()
    await verifier.warm()
    verified: list[int] = []

    async def verify(session: str, refresh: str) -> None:
        await verifier.verify_session(session)
        verified.append(iterations.number)
        await verifier.verify_refresh_token(refresh)
        verified.append(iterations.number)

    pairs = zip(tokens(forge, 60), tokens(forge, 60, drn="DSR"), strict=True)
    await asyncio.gather(*(verify(*pair) for pair in pairs))

    assert len(verified) == 120
    assert max(Counter(verified).values()) == 32


async def test_rf10_tokens_that_wait_for_the_first_keys_are_spread_over_iterations(forge: Forge) -> None:
    """Requests that arrive while a process starts do not hold the event loop once it has the keys."""
    publisher, iterations = Publisher(forge.key_set("A")), IterationCounter()
    publisher.gate.clear()
    verifier, verified = publisher.verifier(), list[int]()

    async def verify(token: str) -> None:
        await verifier.verify_session(token)
        verified.append(iterations.number)

    burst = [asyncio.create_task(verify(token)) for token in tokens(forge, 60)]
    await run_ready()
    assert verifier.pacer.waiting == 0
    publisher.gate.set()
    await asyncio.gather(*burst)

    assert len(verified) == 60
    assert max(Counter(verified).values()) == 32


async def test_rf10_known_tokens_do_not_wait_for_a_burst(forge: Forge) -> None:
    """Users who are signed in are served as ever."""
    verifier = Publisher(forge.key_set("A")).verifier()
    known_session, known_refresh = forge.token(), forge.token(forge.claims(drn="DSR"))
    await verifier.verify_session(known_session)
    await verifier.verify_refresh_token(known_refresh)
    burst = [asyncio.create_task(verifier.verify_session(token)) for token in tokens(forge, 40)]
    await asyncio.sleep(0)
    assert verifier.pacer.waiting > 0

    with pytest.raises(StopIteration):
        verifier.verify_session(known_session).send(None)
    with pytest.raises(StopIteration):
        verifier.verify_refresh_token(known_refresh).send(None)

    await asyncio.gather(*burst)


async def test_rf10_requests_that_wait_with_one_token_verify_it_once(forge: Forge) -> None:
    """A browser sends a dozen requests with the same cookies. All of them get the same session."""
    verifier, presented = Publisher(forge.key_set("A")).verifier(), list[str]()
    await verifier.warm()
    session, refresh = forge.token(), forge.token(forge.claims(drn="DSR"))

    async def verify() -> AuthSession:
        await verifier.verify_refresh_token(refresh, on_first_presented=presented.append)
        return await verifier.verify_session(session)

    burst = [asyncio.create_task(verifier.verify_session(token)) for token in tokens(forge, 40)]
    sessions = await asyncio.gather(*(verify() for _ in range(12)))
    await asyncio.gather(*burst)

    assert len({id(each) for each in sessions}) == 1
    assert presented == [refresh]
