"""A hook that cannot be awaited, and a subscriber that has to be, are refused where they are registered."""

from collections.abc import Awaitable, Callable
from functools import partial

import pytest
from starlette.requests import Request

from fastapi_descope import AuthSession, ConfigurationError, Descope, DescopeSettings, LoginOptions
from fastapi_descope.events import Event


@pytest.fixture
def descope() -> Descope:
    """One without an app."""
    return Descope(settings=DescopeSettings(project_id="P2" + "h" * 26))


async def awaited(*of: object) -> None:
    """As a hook has to be."""


def called(*with_what: object) -> None:
    """As a subscriber has to be."""


class Awaited:
    """An object that is one."""

    async def __call__(self, *of: object) -> None:
        """Awaited."""


class Called:
    """An object that is the other."""

    def __call__(self, *with_what: object) -> None:
        """Called."""

    def method(self, *with_what: object) -> None:
        """Called as well."""


ASYNC = [awaited, Awaited(), Awaited().__call__, partial(awaited, 1), partial(partial(Awaited(), 1), 2)]
SYNC = [called, Called(), Called().method, partial(called, 1), partial(Called(), 1), print, Called]


@pytest.mark.parametrize("hook", ASYNC)
def test_hooks_may_be_whatever_is_awaited(descope: Descope, hook: Callable[..., Awaitable[None]]) -> None:
    """Functions, methods, objects, and parts of them; as subscribers they would never run."""
    descope.on_login(hook)
    descope.login_options(hook)
    with pytest.raises(ConfigurationError, match=r"on_event: .* write def"):
        descope.on_event(hook)  # type: ignore[arg-type] # the mistake


@pytest.mark.parametrize("subscriber", SYNC)
def test_subscribers_may_be_whatever_is_called(descope: Descope, subscriber: Callable[..., None]) -> None:
    """As hooks they would run, and nobody could sign in any more."""
    descope.on_event(subscriber)
    for register in (descope.on_login, descope.login_options):
        with pytest.raises(ConfigurationError, match="awaited, so write async def"):
            register(subscriber)  # type: ignore[arg-type] # the mistake


def test_a_decorator_gives_the_hook_back(descope: Descope) -> None:
    """So that it can be tested by itself."""

    @descope.on_login
    async def provision(request: Request, session: AuthSession) -> None: ...

    @descope.login_options
    async def options(request: Request) -> LoginOptions | None: ...

    @descope.on_event
    def audit(event: Event) -> None: ...

    assert [provision.__name__, options.__name__, audit.__name__] == ["provision", "options", "audit"]
