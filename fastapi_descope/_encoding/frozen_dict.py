"""An immutable dict."""

# All requests of a session share its claims, so a handler must not be able to change them (TV-17).
# MappingProxyType is not enough: json.dumps, dataclasses.asdict and FastAPI's encoder fail on a proxy.

from typing import NoReturn, Self, TypeVar

__all__ = ["FrozenDict"]

K = TypeVar("K")
V = TypeVar("V")


class FrozenDict(dict[K, V]):
    """A dict whose mutating methods raise ``TypeError``. Its values must be immutable, too.

    ``copy.copy`` and ``copy.deepcopy`` return the object itself. Its method ``copy`` returns a plain dict,
    which may be changed.
    """

    __slots__ = ()

    def __setitem__(self, key: K, value: V, /) -> NoReturn:
        """Raise ``TypeError``."""
        _raise_immutable()

    def __delitem__(self, key: K, /) -> NoReturn:
        """Raise ``TypeError``."""
        _raise_immutable()

    def __ior__(self, other: object, /) -> Self:  # type: ignore[override, misc] # always raises
        """Raise ``TypeError``."""
        _raise_immutable()

    def clear(self) -> NoReturn:
        """Raise ``TypeError``."""
        _raise_immutable()

    def pop(self, *_arguments: object) -> NoReturn:
        """Raise ``TypeError``."""
        _raise_immutable()

    def popitem(self) -> NoReturn:
        """Raise ``TypeError``."""
        _raise_immutable()

    def setdefault(self, *_arguments: object) -> NoReturn:
        """Raise ``TypeError``."""
        _raise_immutable()

    def update(self, *_arguments: object, **_members: object) -> NoReturn:
        """Raise ``TypeError``."""
        _raise_immutable()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _memo: dict[int, object]) -> Self:
        return self

    def __reduce__(self) -> tuple[type[Self], tuple[dict[K, V]]]:
        return type(self), (dict(self),)


def _raise_immutable() -> NoReturn:
    raise TypeError("This dict is shared between requests and cannot be changed; copy it with dict() first")
