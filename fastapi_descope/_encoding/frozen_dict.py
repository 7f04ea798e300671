"""A dict that nobody can change.

Claims are shared by every request of a session, so a handler must not be able to alter them (TV-17). A
``MappingProxyType`` would do, but for what users do with claims: ``json.dumps``, ``dataclasses.asdict`` and
FastAPI's encoder take a dict for a dict, and fail on a proxy.
"""

from typing import NoReturn, Self, TypeVar

__all__ = ["FrozenDict"]

K = TypeVar("K")
V = TypeVar("V")


class FrozenDict(dict[K, V]):
    """A dict whose mutators raise ``TypeError``; its values have to be read-only themselves.

    So ``copy.copy`` and ``copy.deepcopy`` need no copy, and return the object itself. Its method ``copy``
    returns what ``dict`` makes of it: a plain dict, which may be changed.
    """

    __slots__ = ()

    def __setitem__(self, key: K, value: V, /) -> NoReturn:
        """Refused."""
        _refuse()

    def __delitem__(self, key: K, /) -> NoReturn:
        """Refused."""
        _refuse()

    def __ior__(self, other: object, /) -> Self:  # type: ignore[override, misc] # refused, whatever it is
        """Refused."""
        _refuse()

    def clear(self) -> NoReturn:
        """Refused."""
        _refuse()

    def pop(self, *_arguments: object) -> NoReturn:
        """Refused."""
        _refuse()

    def popitem(self) -> NoReturn:
        """Refused."""
        _refuse()

    def setdefault(self, *_arguments: object) -> NoReturn:
        """Refused."""
        _refuse()

    def update(self, *_arguments: object, **_members: object) -> NoReturn:
        """Refused."""
        _refuse()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _memo: dict[int, object]) -> Self:
        return self

    def __reduce__(self) -> tuple[type[Self], tuple[dict[K, V]]]:
        return type(self), (dict(self),)


def _refuse() -> NoReturn:
    raise TypeError("This is shared between requests and cannot be changed; make a dict of it first")
