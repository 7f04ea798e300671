"""The routes of an app, and what each demands of a session: who may do what, as a table.

It reads the demands from the dependencies, where they are data (``Requirement``), and from a middleware
that protects by default. What a handler asks of a session by itself is not seen.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from fastapi.routing import iter_route_contexts
from starlette.applications import Starlette
from starlette.routing import BaseRoute, WebSocketRoute
from typing_extensions import override

from .web.dependencies import (
    Requirement,
    current_session,
    current_tenant,
    current_user,
    optional_session,
    optional_tenant,
    optional_user,
)
from .web.middleware import DescopeMiddleware
from .web.wiring import dependants, is_own

__all__ = ["RouteRow", "RouteTable"]

_SIGNED_IN = "signed in"
_WORDS: Sequence[tuple[object, str]] = (
    (current_session, _SIGNED_IN),
    (current_user, _SIGNED_IN),
    (current_tenant, "a tenant"),
)
_OPTIONAL = (optional_session, optional_tenant, optional_user)


@dataclass(frozen=True, slots=True)
class RouteRow:
    """One route. ``demands`` is what a caller must be or hold, in words; empty if nothing.

    ``methods`` is ``WS`` for a WebSocket, and ``ANY`` where that cannot be told, as for a mounted app that
    lists no routes; its path ends in ``/*``.
    ``is_own`` marks the plugin's own routes, which look after themselves.
    """

    path: str
    methods: tuple[str, ...]
    demands: tuple[str, ...] = ()
    is_optional: bool = False
    is_own: bool = False

    @property
    def access(self) -> str:
        """The last column of the table."""
        if self.is_own:
            return "(fastapi_descope)"
        if self.demands:
            return "; ".join(self.demands)
        return "public, knows who is signed in" if self.is_optional else "public"

    @property
    def is_public(self) -> bool:
        """Whether anybody gets in, as far as can be seen from outside the handler."""
        return not (self.demands or self.is_own)


class RouteTable:
    """Every route of an app, those of mounted apps included, in the order in which they match.

    Prints as a table with one line for each.
    """

    def __init__(self, app: Starlette) -> None:
        guard = _Guard(app)
        self.rows = tuple(guard.applied(row) for row in _rows(app.routes, ""))

    def unprotected(self, public: Iterable[str] = ()) -> tuple[RouteRow, ...]:
        """The public routes that are not meant to be: all but those whose path is in ``public``.

        A path there stands for itself, or with ``/*`` at its end for everything below it.
        """
        allowed = tuple(public)
        return tuple(row for row in self.rows if row.is_public and not _is_listed(row.path, allowed))

    @override
    def __str__(self) -> str:
        lines = [("METHOD", "PATH", "REQUIRES")]
        lines += [(",".join(row.methods), row.path, row.access) for row in self.rows]
        methods, paths = (max(len(line[column]) for line in lines) for column in (0, 1))
        return "\n".join(f"{line[0]:<{methods}}  {line[1]:<{paths}}  {line[2]}" for line in lines)


class _Guard:
    """What ``DescopeMiddleware(protect=True)`` adds to routes without demands of their own."""

    def __init__(self, app: Starlette) -> None:
        ours = [each.kwargs for each in app.user_middleware if cast("object", each.cls) is DescopeMiddleware]
        protecting = [options for options in ours if options.get("protect")]
        self._protects = bool(protecting)
        self._public = tuple(path for each in protecting for path in _paths(each))

    def applied(self, row: RouteRow) -> RouteRow:
        """The row as it is behind the middleware."""
        if not self._protects or not row.is_public or _is_listed(row.path, self._public):
            return row
        return RouteRow(row.path, row.methods, (_SIGNED_IN,))


def _paths(options: Mapping[str, object]) -> tuple[str, ...]:
    return tuple(cast("Iterable[str]", options.get("public_paths", ())))


def _is_listed(path: str, listed: Iterable[str]) -> bool:
    return any(path == each or (each.endswith("/*") and path.startswith(each[:-1])) for each in listed)


def _rows(routes: Sequence[BaseRoute], prefix: str) -> Iterator[RouteRow]:
    for route in iter_route_contexts(routes):  # FastAPI keeps included routers as a tree
        path = prefix + (getattr(route, "path", None) or "")
        mounted = getattr(route, "routes", None)
        if mounted:
            yield from _rows(mounted, path)
        elif mounted is not None:
            yield RouteRow(f"{path}/*", ("ANY",))
        else:
            yield _row(route, path)


def _row(route: object, path: str) -> RouteRow:
    calls = tuple(each.call for each in dependants(getattr(route, "dependant", None)))
    return RouteRow(
        path=path or "/",
        methods=_methods(route),
        demands=_demands(calls),
        is_optional=any(call is each for call in calls for each in _OPTIONAL),
        is_own=is_own(getattr(route, "endpoint", None)),
    )


def _methods(route: object) -> tuple[str, ...]:
    if isinstance(getattr(route, "original_route", route), WebSocketRoute):
        return ("WS",)
    methods: set[str] = set(getattr(route, "methods", None) or ())
    if "GET" in methods:
        methods.discard("HEAD")
    return tuple(sorted(methods)) or ("ANY",)


def _demands(calls: Iterable[object]) -> tuple[str, ...]:
    """The demands in words, each once; that one is signed in goes without saying beside another."""
    found: list[str] = []
    for call in calls:
        found += _in_words(call) if isinstance(call, Requirement) else [w for o, w in _WORDS if o is call]
    words = tuple(dict.fromkeys(found))
    return tuple(word for word in words if word != _SIGNED_IN) or words


def _in_words(required: Requirement) -> list[str]:
    where = "project " if required.project else ""
    within = "" if required.max_age is None else f" within {required.max_age} s"
    words = {
        f"{where}roles {', '.join(sorted(required.roles))}": required.roles,
        f"{where}permissions {', '.join(sorted(required.permissions))}": required.permissions,
        f"tenant = {{{required.tenant_from}}}": required.tenant_from,
        f"step-up{within}": required.step_up,
        "MFA": required.mfa,
    }
    return [word for word, is_required in words.items() if is_required] or [_SIGNED_IN]
