"""Kill points: exact steps of a refresh at which a worker kills itself with SIGKILL (F8).

A scenario arms a step. The first process that reaches it is killed, and no other.
"""

import os
import signal
from pathlib import Path
from typing import Literal

import httpx
from typing_extensions import override

from fastapi_descope._refresh.store import Lease, RefreshResult, RefreshStore

__all__ = ["KillPoints", "KillableStore", "KillableTransport", "Step"]

Step = Literal["leased", "sent", "received", "stored"]
"""Steps of a refresh, in order.

``leased``: the lease is acquired, nothing has been sent. ``sent``: the kernel has the last byte of the call.
``received``: the response is received and verified, but not stored. ``stored``: the store has the result, and
no response has carried it.
"""

_REFRESH_PATH = "/v1/auth/refresh"


class KillPoints:
    """The armed steps: files in ``directory``, which all processes of a fleet share."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def arm(self, step: Step, *, freeze: bool = False) -> None:
        """Kill the next process that reaches ``step``, or with ``freeze`` stop it with SIGSTOP."""
        new = self._directory / f"{step}.new"
        new.write_text(str(int(signal.SIGSTOP if freeze else signal.SIGKILL)), encoding="ascii")
        new.rename(self._directory / step)  # atomic

    def frozen_process(self, step: Step) -> int | None:
        """Return the id of the process that reached ``step``, or None. It is returned once."""
        for taken in self._directory.glob(f"{step}.by.*"):
            taken.unlink()
            return int(taken.suffix[1:])
        return None

    def disarm(self) -> None:
        """Disarm all steps."""
        for file in self._directory.iterdir():
            file.unlink()

    def reach(self, step: Step) -> None:
        """Mark that this process has reached ``step``. If the step is armed, the process is killed."""
        taken = self._directory / f"{step}.by.{os.getpid()}"
        try:  # only one process can rename the file
            (self._directory / step).rename(taken)
        except FileNotFoundError:
            return
        os.kill(os.getpid(), int(taken.read_text(encoding="ascii")))


class KillableTransport(httpx.AsyncBaseTransport):
    """A transport with the kill points ``leased`` and ``sent`` in its refresh calls."""

    def __init__(self, inner: httpx.AsyncBaseTransport, points: KillPoints) -> None:
        self._inner = inner
        self._points = points

    @override
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request with the inner transport."""
        if request.url.path == _REFRESH_PATH:
            self._points.reach("leased")
            request.extensions = {**request.extensions, "trace": self._trace}
        return await self._inner.handle_async_request(request)

    @override
    async def aclose(self) -> None:
        """Close the inner transport."""
        await self._inner.aclose()

    async def _trace(self, name: str, info: object) -> None:
        """Receive httpcore's trace events. The body of a refresh is the last part to be sent."""
        if name == "http11.send_request_body.complete":
            self._points.reach("sent")


class KillableStore:
    """A ``RefreshStore`` with the kill points from ``received`` on."""

    def __init__(self, inner: RefreshStore, points: KillPoints) -> None:
        self._inner = inner
        self._points = points

    async def acquire(self, token: str, *, ignore_cached: bool = False) -> RefreshResult | Lease | None:
        """See ``RefreshStore.acquire``."""
        return await self._inner.acquire(token, ignore_cached=ignore_cached)

    async def complete(self, token: str, lease: Lease, result: RefreshResult | None, ttl: float) -> bool:
        """See ``RefreshStore.complete``."""
        self._points.reach("received")
        kept = await self._inner.complete(token, lease, result, ttl)
        self._points.reach("stored")
        return kept

    async def get(self, token: str) -> RefreshResult | None:
        """See ``RefreshStore.get``."""
        return await self._inner.get(token)

    async def force_set(self, token: str, result: RefreshResult, ttl: float) -> RefreshResult | None:
        """See ``RefreshStore.force_set``."""
        return await self._inner.force_set(token, result, ttl)

    async def mark_presented(self, token: str, ttl: float) -> None:
        """See ``RefreshStore.mark_presented``."""
        await self._inner.mark_presented(token, ttl)

    async def aclose(self) -> None:
        """See ``RefreshStore.aclose``."""
        await self._inner.aclose()
