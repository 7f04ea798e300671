"""An ``on_session`` hook for tests of the web layer."""

from dataclasses import dataclass, field

from fastapi_descope import AuthSession, Forbidden

__all__ = ["SessionCheck", "Suspended"]


class Suspended(Forbidden):
    """The refusal of an app, with a code of its own."""

    code = "suspended"
    title = "Your account is suspended"


@dataclass
class SessionCheck:
    """Admits every session, or raises ``error`` if a test sets one. Records the sessions."""

    error: Exception | None = None
    sessions: list[AuthSession] = field(default_factory=list[AuthSession])

    async def __call__(self, session: AuthSession) -> None:
        """Decide on a session."""
        self.sessions.append(session)
        if self.error is not None:
            raise self.error
