"""The hooks of an app: their types, the decorators that register them, and the checks at registration."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from inspect import iscoroutinefunction
from typing import cast

from starlette.requests import Request

from .._auth.session_gate import CallerHook, SessionHook
from .._upstream.login_options import LoginOptions
from ..errors import ConfigurationError
from ..events import EventBus, Subscriber
from ..login import Login
from ..session import AuthSession

__all__ = [
    "HookDecorators",
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
    caller: list[CallerHook] = field(default_factory=list[CallerHook])
    tenant_switch: list[TenantSwitchHook] = field(default_factory=list[TenantSwitchHook])


class HookDecorators:
    """The decorators with which an app registers hooks and subscribers.

    Attributes:
        events: The event bus.
    """

    def __init__(self) -> None:
        self.events = EventBus()
        self._hooks = Hooks()

    def on_login(self, hook: LoginHook) -> LoginHook:
        """Register ``hook(request, login)``, awaited after each login before the cookies are set.

        A decorator. The hook may create the user in the app's own database from the ``Login``, which has
        everything that Descope sent with the tokens. If it raises, the user is not signed in, and the event
        is ``LoginFailed``. The page shows the message of a ``LoginRejected``, ``NotAuthenticated`` or
        ``Forbidden``.

        It is no access control: it does not run for refreshes and bearers, and a user whom it refuses can get
        tokens from Descope without this app. To lock users out, use ``on_session``, which runs before it.

        Hooks run in order, once for each login. They are completed even if the browser disconnects.

        Raises:
            ConfigurationError: The hook is not ``async``.
        """
        require_async(hook, "on_login")
        self._hooks.login.append(hook)
        return hook

    def on_session(self, hook: SessionHook) -> SessionHook:
        """Register ``hook(session)``, awaited before a session counts for the first time. A decorator.

        It is the place for access control, for example to suspend a user. It is awaited in each process for
        each session token that the process has not seen: after a login, a refresh or a tenant switch, for
        bearers and for WebSockets. Concurrent requests with one token share one call, and the verdict is
        cached with the token. So a new decision takes effect at the next refresh, at most one lifetime of a
        session token later. Do not count calls: a token may be checked again after its verdict was evicted
        from the cache, or after Descope has changed its keys.

        To refuse the session, raise ``Forbidden`` or a subclass: every request with the token gets a 403 with
        that error. After any other exception, or two seconds for all hooks together, requests get a 503, keep
        their cookies, and the next request runs the hooks again. Login and logout work in either case.

        Hooks run in order; the first refusal counts. With ``DESCOPE_TOKEN_CACHE_SIZE=0`` they run for each
        request.

        Raises:
            ConfigurationError: The hook is not ``async``.
        """
        require_async(hook, "on_session")
        self._hooks.session.append(hook)
        return hook

    def on_caller(self, hook: CallerHook) -> CallerHook:
        """Register ``hook(caller)``, awaited before an application or a machine counts. A decorator.

        As with ``on_session``, the hook refuses the caller by raising ``Forbidden``, and its verdict is
        cached with the token. The ``on_session`` hooks do not run for applications and machines. So an app
        that suspends users needs this hook too, for the applications that act for them.

        Raises:
            ConfigurationError: The hook is not ``async``.
        """
        require_async(hook, "on_caller")
        self._hooks.caller.append(hook)
        return hook

    def on_logout(self, hook: LogoutHook) -> LogoutHook:
        """Register ``hook(request, session)``, awaited after each logout, before the response. A decorator.

        The session is that of the session cookie. If that has expired, it has the user id and no tenants. The
        hook is not called for a logout without a valid token. It may take two seconds; an exception is logged
        and ignored. Hooks run in order, and are completed even if the browser disconnects.

        Raises:
            ConfigurationError: The hook is not ``async``.
        """
        require_async(hook, "on_logout")
        self._hooks.logout.append(hook)
        return hook

    def on_tenant_switch(self, hook: TenantSwitchHook) -> TenantSwitchHook:
        """Register ``hook(request, session)``, awaited after each tenant switch, before the response.

        A decorator. The session is the new one, admitted by the ``on_session`` hooks. The switch cannot be
        prevented any more: if the hook raises an error of this package, its response sets the new cookies.
        Any other exception is a 500, and the next refresh, within ten minutes, sets them. Hooks run in order.
        ``get_login(request)`` returns what Descope sent with the new tokens.

        Raises:
            ConfigurationError: The hook is not ``async``.
        """
        require_async(hook, "on_tenant_switch")
        self._hooks.tenant_switch.append(hook)
        return hook

    def login_options(self, hook: OptionsHook) -> OptionsHook:
        """Register ``hook(request)``, awaited as a login starts, which returns ``LoginOptions`` or None.

        A decorator. The request may be unauthenticated: ``get_auth_session`` may return None. If the hook
        raises ``NotAuthenticated``, the response is a 500.

        Raises:
            ConfigurationError: A hook is registered already, or this one is not ``async``.
        """
        require_async(hook, "login_options")
        if self._hooks.login_options:
            raise ConfigurationError("A login_options hook is already registered")
        self._hooks.login_options.append(hook)
        return hook

    def on_event(self, subscriber: Subscriber) -> Subscriber:
        """Register a function that is called with every event of ``fastapi_descope.events``. A decorator.

        It runs inside the request, so it must not block. An exception that it raises is logged and ignored.

        Raises:
            ConfigurationError: The function is ``async``: it would never be awaited.
        """
        require_sync(subscriber, "on_event")
        self.events.subscribe(subscriber)
        return subscriber


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


def require_sync(function: Callable[..., object], name: str) -> None:
    """Check that an event subscriber or a renderer can be called. An ``async def`` is never awaited.

    Raises:
        ConfigurationError: ``function`` is async.
    """
    if _is_async(function):
        raise ConfigurationError(f"{name}: functions are called and not awaited, so write def")


def _is_async(function: Callable[..., object]) -> bool:
    """Return whether a function, a ``partial`` or a callable object is async."""
    while isinstance(function, partial):
        function = cast("Callable[..., object]", function.func)
    return iscoroutinefunction(function) or iscoroutinefunction(type(function).__call__)
