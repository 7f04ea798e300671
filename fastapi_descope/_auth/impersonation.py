"""The actor of a browser's session, which only one of its two tokens may name."""

from dataclasses import replace

from ..session import AuthSession, RefreshToken

__all__ = ["with_actor", "without_actor"]


# IM-02
def with_actor(session: AuthSession, refresh: RefreshToken) -> AuthSession:
    """Return the session with the actor of its refresh token, unless its own token names one."""
    if refresh.actor is None or session.actor is not None:
        return session
    return replace(session, actor=refresh.actor)


# IM-03
def without_actor(before: RefreshToken, session: AuthSession, refresh: RefreshToken) -> bool:
    """Return whether the tokens that replace ``before`` do not both name its actor.

    With such tokens, the session of an impersonated user would go on as a session of the user.
    """
    return before.actor is not None and not (session.actor == before.actor == refresh.actor)
