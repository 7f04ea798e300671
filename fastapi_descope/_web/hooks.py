"""What an app registers to be called back: hooks are awaited, and subscribers are called."""

from collections.abc import Callable
from functools import partial
from inspect import iscoroutinefunction
from typing import cast

from ..errors import ConfigurationError

__all__ = ["require_async", "require_sync"]


def require_async(hook: Callable[..., object], decorator: str) -> None:
    """Raise ``ConfigurationError`` for what cannot be awaited: it would run, and then every login fail."""
    if not _is_async(hook):
        raise ConfigurationError(f"{decorator}: a hook is awaited, so write async def")


def require_sync(subscriber: Callable[..., object], decorator: str) -> None:
    """Raise ``ConfigurationError`` for what has to be awaited: nobody would, and nothing be written down."""
    if _is_async(subscriber):
        raise ConfigurationError(f"{decorator}: a subscriber is called, not awaited, so write def")


def _is_async(call: Callable[..., object]) -> bool:
    """Of a function, a part of one, or an object that can be called."""
    while isinstance(call, partial):
        call = cast("Callable[..., object]", call.func)
    return iscoroutinefunction(call) or iscoroutinefunction(type(call).__call__)
