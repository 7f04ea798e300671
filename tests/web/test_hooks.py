"""Hooks must be async and event subscribers must not be; registration checks it."""

from collections.abc import Awaitable, Callable
from functools import partial

import pytest
from starlette.requests import Request

from fastapi_descope import AuthSession, ConfigurationError, Descope, DescopeSettings, Login, LoginOptions
from fastapi_descope.events import Event


@pytest.fixture
def descope() -> Descope:
    """A plugin without an app."""
    return Descope(settings=DescopeSettings(project_id="P2" + "h" * 26))


async def awaited(*of: object) -> None:
    """An async hook."""


def called(*with_what: object) -> None:
    """A sync subscriber."""


class Awaited:
    """A callable object with an async ``__call__``."""

    async def __call__(self, *of: object) -> None:
        """Do nothing."""


class Called:
    """A callable object with a sync ``__call__``."""

    def __call__(self, *with_what: object) -> None:
        """Do nothing."""

    def method(self, *with_what: object) -> None:
        """A sync method."""


ASYNC = [awaited, Awaited(), Awaited().__call__, partial(awaited, 1), partial(partial(Awaited(), 1), 2)]
SYNC = [called, Called(), Called().method, partial(called, 1), partial(Called(), 1), print, Called]


def _registrations(descope: Descope) -> list[Callable[..., object]]:
    """Return the decorators of all hooks."""
    return [
        descope.on_login,
        descope.on_logout,
        descope.on_session,
        descope.on_tenant_switch,
        descope.login_options,
    ]


@pytest.mark.parametrize("hook", ASYNC)
def test_hooks_can_be_any_async_callable(descope: Descope, hook: Callable[..., Awaitable[None]]) -> None:
    """Async functions, methods, objects and partials are hooks. As subscribers they would never run."""
    for register in _registrations(descope):
        register(hook)
    with pytest.raises(ConfigurationError, match=r"on_event: .* write def"):
        descope.on_event(hook)  # type: ignore[arg-type] # the mistake


@pytest.mark.parametrize("subscriber", SYNC)
def test_subscribers_can_be_any_sync_callable(descope: Descope, subscriber: Callable[..., None]) -> None:
    """Sync callables are subscribers. As hooks they would fail every login."""
    descope.on_event(subscriber)
    for register in _registrations(descope):
        with pytest.raises(ConfigurationError, match="awaited, so write async def"):
            register(subscriber)


def test_a_hook_decorator_returns_the_hook(descope: Descope) -> None:
    """The app can call and test it directly."""

    @descope.on_login
    async def provision(request: Request, login: Login) -> None: ...

    @descope.login_options
    async def options(request: Request) -> LoginOptions | None: ...

    @descope.on_session
    async def admit(session: AuthSession) -> None: ...

    @descope.on_logout
    async def forget(request: Request, session: AuthSession) -> None: ...

    @descope.on_tenant_switch
    async def remember(request: Request, session: AuthSession) -> None: ...

    @descope.on_event
    def audit(event: Event) -> None: ...

    names = [hook.__name__ for hook in (provision, options, admit, forget, remember, audit)]
    assert names == ["provision", "options", "admit", "forget", "remember", "audit"]
