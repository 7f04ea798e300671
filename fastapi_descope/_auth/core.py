"""The objects behind the web layer: those that call Descope or read the clock."""

import asyncio
import copy
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields

from .._concurrency import close_all
from .._refresh.coordinator import RefreshCoordinator
from .._refresh.store import RefreshStore
from .._revocation.revocations import Revocations
from .._tokens.verifier import TokenVerifier
from .._upstream.api import DescopeApi
from ..callers import Delegate, Machine
from ..session import AuthSession
from .access_keys import AccessKeys
from .authenticator import Authenticator
from .browser_tokens import BrowserTokens
from .handover import SessionHandover
from .login import LoginFlow
from .magic_link import MagicLinkFlow
from .notp import NotpFlow
from .session_gate import SessionGate
from .session_service import SessionService

__all__ = ["Core"]


@dataclass(slots=True)
class Core:
    """The objects that call Descope or read the clock. ``CoreBuilder`` builds them.

    The web layer keeps the ``Core`` and never its parts, so ``replace`` takes effect everywhere at once.
    """

    clock: Callable[[], float]
    api: DescopeApi
    verifier: TokenVerifier
    store: RefreshStore
    revocations: Revocations
    coordinator: RefreshCoordinator
    access_keys: AccessKeys
    session_gate: SessionGate[AuthSession]
    caller_gate: SessionGate[Delegate | Machine]
    authenticator: Authenticator
    browser_tokens: BrowserTokens
    login_flow: LoginFlow
    handover: SessionHandover
    magic_link_flow: MagicLinkFlow
    notp_flow: NotpFlow
    session_service: SessionService
    drain_seconds: float

    def replace(self, other: "Core") -> "Core":
        """Take over the objects of ``other``, and return a ``Core`` with the former ones."""
        former = copy.copy(self)
        for field in fields(self):
            setattr(self, field.name, getattr(other, field.name))
        return former

    @asynccontextmanager
    async def warming(self) -> AsyncGenerator[None]:
        """Fetch the keys and the revocations in the background, at most until the context ends."""
        tasks = [asyncio.create_task(each) for each in (self.verifier.warm(), self.revocations.ready())]
        try:
            yield
        finally:
            for each in tasks:
                each.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def drain(self, seconds: float) -> None:
        """Wait at most ``seconds`` for calls to Descope and the app's hooks in flight."""
        flights = (
            self.access_keys,
            self.coordinator,
            self.login_flow,
            self.notp_flow,
            self.session_service,
            self.session_gate,
            self.caller_gate,
        )
        await asyncio.gather(*(each.drain(seconds) for each in flights))

    async def aclose(self) -> None:
        """Drain, then close all connections. The objects can be used again afterwards.

        An exception, such as one of the app's own store or transport, is raised after everything is closed.
        """
        try:
            await self.drain(self.drain_seconds)
        finally:
            await close_all((self.store, self.revocations, self.api, self.verifier))
