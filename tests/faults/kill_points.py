"""Where a worker may be killed with SIGKILL, by its own hand, at an exact step of a refresh (F8).

A scenario arms a step; the first process that comes to it dies there, and no other one does.
"""

import os
import signal
from pathlib import Path
from typing import Literal

import httpx
from typing_extensions import override

from fastapi_descope._refresh.store import Lease, RefreshResult, RefreshStore

__all__ = ["KillPoints", "MortalStore", "MortalTransport", "Step"]

Step = Literal["leased", "sent", "answered", "remembered", "delivered"]
"""Steps of a refresh, in order.

``leased``: the right to refresh is had, nothing has been sent. ``sent``: the last byte of the call is with
the kernel. ``answered``: the answer is here and verified, and nobody else knows of it. ``remembered``: the
store has it. ``delivered``: the store knows that a response is about to carry it; none has yet.
"""

_REFRESH_PATH = "/v1/auth/refresh"


class KillPoints:
    """The steps that are armed: files in ``directory``, which all processes of a fleet share."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def arm(self, step: Step, *, freeze: bool = False) -> None:
        """Have the next process that comes to ``step`` die, or with ``freeze`` stop for others to kill."""
        made = self._directory / f"{step}.made"
        made.write_text(str(int(signal.SIGSTOP if freeze else signal.SIGKILL)), encoding="ascii")
        made.rename(self._directory / step)  # whole or not there

    def victim(self, step: Step) -> int | None:
        """The process id of whoever came to ``step``; None before that. To be read once."""
        for taken in self._directory.glob(f"{step}.by.*"):
            taken.unlink()
            return int(taken.suffix[1:])
        return None

    def disarm(self) -> None:
        """Forget everything."""
        for file in self._directory.iterdir():
            file.unlink()

    def reach(self, step: Step) -> None:
        """Be at ``step``. Does not return if it is armed: whoever can rename its file has been chosen."""
        taken = self._directory / f"{step}.by.{os.getpid()}"
        try:
            (self._directory / step).rename(taken)
        except FileNotFoundError:
            return
        os.kill(os.getpid(), int(taken.read_text(encoding="ascii")))


class MortalTransport(httpx.AsyncBaseTransport):
    """A transport with the steps ``leased`` and ``sent`` in its calls to refresh."""

    def __init__(self, inner: httpx.AsyncBaseTransport, points: KillPoints) -> None:
        self._inner = inner
        self._points = points

    @override
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """As the inner transport does."""
        if request.url.path == _REFRESH_PATH:
            self._points.reach("leased")
            request.extensions = {**request.extensions, "trace": self._trace}
        return await self._inner.handle_async_request(request)

    @override
    async def aclose(self) -> None:
        """Close the inner transport."""
        await self._inner.aclose()

    async def _trace(self, name: str, info: object) -> None:
        """What httpcore tells of a call: the body of this one is two bytes, and the last to be sent."""
        if name == "http11.send_request_body.complete":
            self._points.reach("sent")


class MortalStore:
    """A ``RefreshStore`` with the steps from ``answered`` on."""

    def __init__(self, inner: RefreshStore, points: KillPoints) -> None:
        self._inner = inner
        self._points = points

    async def acquire(self, token: str, *, ignore_cached: bool = False) -> RefreshResult | Lease | None:
        """See ``RefreshStore.acquire``."""
        return await self._inner.acquire(token, ignore_cached=ignore_cached)

    async def complete(self, token: str, lease: Lease, result: RefreshResult | None, ttl: float) -> bool:
        """See ``RefreshStore.complete``."""
        self._points.reach("answered")
        kept = await self._inner.complete(token, lease, result, ttl)
        self._points.reach("remembered")
        return kept

    async def get(self, token: str) -> RefreshResult | None:
        """See ``RefreshStore.get``."""
        return await self._inner.get(token)

    async def force_set(self, token: str, result: RefreshResult, ttl: float) -> RefreshResult | None:
        """See ``RefreshStore.force_set``."""
        return await self._inner.force_set(token, result, ttl)

    async def reduce_ttl(self, token: str, ttl: float) -> None:
        """See ``RefreshStore.reduce_ttl``."""
        await self._inner.reduce_ttl(token, ttl)
        self._points.reach("delivered")

    async def aclose(self) -> None:
        """See ``RefreshStore.aclose``."""
        await self._inner.aclose()
