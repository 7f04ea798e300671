"""A scripted Descope that publishes keys, and the clock that everybody around it reads."""

import asyncio

from fastapi_descope._tokens.verifier import TokenVerifier
from fastapi_descope.errors import UpstreamError
from fastapi_descope.events import EventBus
from tests.helpers.tampering import NOW, POLICY

Answer = bytes | tuple[bytes, int | None] | UpstreamError


class Publisher:
    """Gives one answer after the other, the last one for ever, and each only while ``gate`` is open.

    An answer is a body, a body with its max-age, or an error to raise. ``now`` is moved by the test.
    """

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.fetches = 0
        self.now = float(NOW)
        self.gate = asyncio.Event()
        self.gate.set()

    def clock(self) -> float:
        """The frozen time: epoch seconds and monotonic seconds at once."""
        return self.now

    def publish(self, answer: Answer) -> None:
        """Answer this from now on."""
        self.answers = [answer]

    async def fetch(self) -> tuple[bytes, int | None]:
        """The answer as it is once the gate is open."""
        self.fetches += 1
        await self.gate.wait()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, UpstreamError):
            raise answer
        return answer if isinstance(answer, tuple) else (answer, None)

    def cache(self, *, size: int = 4096, events: EventBus | None = None) -> TokenVerifier:
        """A key cache in front of this."""
        return TokenVerifier(
            self.fetch,
            policy=POLICY,
            clock=self.clock,
            monotonic=self.clock,
            events=events or EventBus(),
            cache_size=size,
            jitter=lambda: 1.0,
        )
