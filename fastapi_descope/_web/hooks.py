"""The hooks of an app: their types, and the checks at registration."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from inspect import iscoroutinefunction
from typing import cast

from starlette.requests import Request

from .._auth.session_gate import SessionHook
from .._upstream.login_options import LoginOptions
from ..errors import ConfigurationError
from ..login import Login
from ..session import AuthSession

__all__ = [
    "Hooks",
    "LoginHook",
    "LogoutHook",
    "OptionsHook",
    "TenantSwitchHook",
    "hook_request",
    "require_async",
    "require_sync",
]

LoginHook = Callable[[Request, Login], Awaitable[None]]
"""Called with a login before its cookies are set, after the ``on_session`` hooks have admitted its session.

It rejects the login by raising ``LoginRejected`` or ``NotAuthenticated``.
"""

OptionsHook = Callable[[Request], Awaitable[LoginOptions | None]]
"""Called when a login starts, for the options of that login. The request need not be authenticated."""


LogoutHook = Callable[[Request, AuthSession], Awaitable[None]]
"""Called with the session that a logout has ended. Its exceptions are logged and ignored."""

TenantSwitchHook = Callable[[Request, AuthSession], Awaitable[None]]
"""Called with the new session after a tenant switch, before the response."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """The hooks of one app, each list in the order of registration."""

    login: list[LoginHook] = field(default_factory=list[LoginHook])
    login_options: list[OptionsHook] = field(default_factory=list[OptionsHook])
    logout: list[LogoutHook] = field(default_factory=list[LogoutHook])
    session: list[SessionHook] = field(default_factory=list[SessionHook])
    tenant_switch: list[TenantSwitchHook] = field(default_factory=list[TenantSwitchHook])


def hook_request(request: Request) -> Request:
    """Return a request for a hook that continues after the browser has disconnected.

    Its scope outlives the response. Both share one ``state``, so that the app sees what a hook stores there.
    """
    request.scope.setdefault("state", {})
    return Request(dict(request.scope), request.receive)


def require_async(hook: Callable[..., object], decorator: str) -> None:
    """Check that a hook can be awaited. A ``def`` would run, and then fail every login.

    Raises:
        ConfigurationError: ``hook`` is not async.
    """
    if not _is_async(hook):
        raise ConfigurationError(f"{decorator}: hooks are awaited, so write async def")


def require_sync(subscriber: Callable[..., object], decorator: str) -> None:
    """Check that an event subscriber can be called. An ``async def`` would never be awaited.

    Raises:
        ConfigurationError: ``subscriber`` is async.
    """
    if _is_async(subscriber):
        raise ConfigurationError(f"{decorator}: subscribers are called and not awaited, so write def")


def _is_async(function: Callable[..., object]) -> bool:
    """Return whether a function, a ``partial`` or a callable object is async."""
    while isinstance(function, partial):
        function = cast("Callable[..., object]", function.func)
    return iscoroutinefunction(function) or iscoroutinefunction(type(function).__call__)
