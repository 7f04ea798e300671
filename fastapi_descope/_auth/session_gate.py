"""Decide with the app's ``on_session`` and ``on_caller`` hooks who is admitted."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Generic, Self, TypeVar

from .._concurrency import SingleFlight
from .._tokens.verifier import TokenCache
from ..callers import Delegate, Machine
from ..errors import Forbidden, SessionCheckFailed
from ..events import EventBus, SessionRefused
from ..events import SessionCheckFailed as SessionCheckFailedEvent
from ..session import AuthSession, TokenPair, tenant_id_var

__all__ = ["CallerHook", "SessionGate", "SessionHook"]

C = TypeVar("C", AuthSession, Delegate | Machine)

_CHECK_TIMEOUT = 2.0
"""Seconds that all hooks together may take for one session."""

SessionHook = Callable[[AuthSession], Awaitable[None]]
"""Called with a verified session. It refuses the session by raising ``Forbidden``."""

CallerHook = Callable[[Delegate | Machine], Awaitable[None]]
"""Called with a verified application or machine. It refuses the caller by raising ``Forbidden``."""


def _no_attributes() -> Mapping[str, object]:
    return {}


@dataclass(frozen=True, slots=True)
class _Verdict:
    """The verdict on one session token: admitted, or the class and the attributes of the ``Forbidden``.

    The exception itself is not kept: its traceback refers to the hook's variables, and would grow with each
    request.
    """

    refusal: type[Forbidden] | None = None
    args: tuple[object, ...] = ()
    attributes: Mapping[str, object] = field(default_factory=_no_attributes)

    @classmethod
    def refused(cls, error: Forbidden) -> Self:
        """Return the verdict of a hook that raised ``error``."""
        attributes = {name: value for name, value in vars(error).items() if name != "__notes__"}
        return cls(type(error), error.args, attributes)

    def error(self) -> Forbidden | None:
        """Return a new error like the one that the hook raised, or None if it admitted the session."""
        if self.refusal is None:
            return None
        # Not by its constructor: a subclass may have one of its own.
        error = self.refusal.__new__(self.refusal)
        error.args = self.args
        vars(error).update(self.attributes)
        return error


_ADMITTED = _Verdict()


class SessionGate(Generic[C]):
    """Runs hooks of the app once for each verified token, and caches the verdicts.

    One gate runs the ``on_session`` hooks for sessions, another the ``on_caller`` hooks for other callers.
    A session counts only together with its verdict. The first hook that raises ``Forbidden`` refuses it.
    Any other exception is no verdict: it is not cached, and the next request runs the hooks again.

    Args:
        hooks: The hooks, in the order in which they run. The app may add to them.
        events: Receives an event for each refusal and each failed check.
        cache_size: Number of verdicts to cache; 0 caches none.

    Attributes:
        hooks: The hooks. Without hooks every session is admitted.
    """

    # SG-01, SG-02, SG-03

    def __init__(
        self, hooks: Sequence[Callable[[C], Awaitable[None]]], *, events: EventBus, cache_size: int
    ) -> None:
        self.hooks: Sequence[Callable[[C], Awaitable[None]]] = hooks
        self._events = events
        self._verdicts = TokenCache[_Verdict](cache_size)
        self._checks: SingleFlight[bytes, _Verdict | None] = SingleFlight()

    async def check(
        self, token: str, session: C, *, wait_timeout: float | None = None
    ) -> Forbidden | SessionCheckFailed | None:
        """Return None if the hooks admit the session, else the error of the request.

        Costs one SHA-256 for a known token. For any other token the hooks run, once for all concurrent
        callers. Cancelling a caller does not cancel the hooks. Need not be called without hooks.

        Args:
            token: The verified session token.
            session: Its session.
            wait_timeout: Seconds to wait; the hooks continue afterwards.
        """
        digest = _digest(token, session)
        # An expired token never gets here, because it is verified first. So the time does not matter.
        verdict = self._verdicts.get(digest, 0)
        if verdict is None:
            flight = self._checks.start(digest, lambda: self._decide(digest, session))
            await asyncio.wait((flight,), timeout=wait_timeout)
            verdict = flight.result() if flight.done() and not flight.cancelled() else None
        return SessionCheckFailed() if verdict is None else verdict.error()

    async def require(self: "SessionGate[AuthSession]", pair: TokenPair) -> None:
        """Check the session of a token pair. Costs what ``check`` costs, and nothing without hooks.

        Raises:
            Forbidden: A hook refuses the session.
            SessionCheckFailed: A hook failed, or took too long.
        """
        if self.hooks and (error := await self.check(pair.session_jwt, pair.session)) is not None:
            raise error

    async def drain(self, seconds: float) -> None:
        """Wait at most ``seconds`` for running hooks, then cancel them."""
        await self._checks.drain(seconds)

    async def _decide(self, digest: bytes, session: C) -> _Verdict | None:
        verdict = await self._run_hooks(session)
        if verdict is not None:
            self._verdicts.put(digest, verdict, expires_at=math.inf, subject=_subject(session))
        return verdict

    async def _run_hooks(self, session: C) -> _Verdict | None:
        """Return the verdict of the hooks, or None if there is none."""
        tenant_id_var.set(session.tenant_id)  # in the context of this task
        timeout = asyncio.timeout(_CHECK_TIMEOUT)
        try:
            async with timeout:
                for hook in self.hooks:
                    await hook(session)
        except Forbidden as error:
            self._events.emit(SessionRefused(_subject(session), session.tenant_id, error.code, session.actor))
            return _Verdict.refused(error)
        except Exception as error:  # noqa: BLE001 - the app's code; its text may contain anything
            reason = "timeout" if timeout.expired() else type(error).__name__
            self._events.emit(SessionCheckFailedEvent(reason))
            return None
        return _ADMITTED


def _digest(token: str, caller: AuthSession | Delegate | Machine) -> bytes:
    """Return the key of a verdict. One session token has two if only its refresh token names the actor."""
    actor = caller.actor
    return sha256((token if actor is None else f"{token} {actor}").encode()).digest()


def _subject(caller: AuthSession | Delegate | Machine) -> str:
    return caller.user.id if isinstance(caller, AuthSession) else caller.subject
