"""A fake JWKS endpoint with scripted responses and a frozen clock."""

import asyncio

from fastapi_descope._tokens.verifier import TokenVerifier
from fastapi_descope.errors import UpstreamError
from fastapi_descope.events import EventBus
from tests.helpers.tampering import NOW, POLICY

Response = bytes | tuple[bytes, int | None] | UpstreamError


class Publisher:
    """Returns the scripted responses in order, and repeats the last one. Waits while ``gate`` is closed.

    A response is a body, a body with its max-age, or an error to raise. Tests set ``now`` to let time pass.
    """

    def __init__(self, *responses: Response) -> None:
        self.responses = list(responses)
        self.fetches = 0
        self.now = float(NOW)
        self.gate = asyncio.Event()
        self.gate.set()

    def clock(self) -> float:
        """Return the frozen time, used as epoch seconds and as monotonic seconds."""
        return self.now

    def publish(self, response: Response) -> None:
        """Return this response from now on."""
        self.responses = [response]

    async def fetch(self) -> tuple[bytes, int | None]:
        """Return the next response once the gate is open."""
        self.fetches += 1
        await self.gate.wait()
        response = self.responses.pop(0) if len(self.responses) > 1 else self.responses[0]
        if isinstance(response, UpstreamError):
            raise response
        return response if isinstance(response, tuple) else (response, None)

    def verifier(self, *, size: int = 4096, events: EventBus | None = None) -> TokenVerifier:
        """Return a token verifier that fetches its keys here."""
        return TokenVerifier(
            self.fetch,
            policy=POLICY,
            clock=self.clock,
            monotonic=self.clock,
            events=events or EventBus(),
            cache_size=size,
            jitter=lambda: 1.0,
        )
