"""The routes of an app, and what each demands of a session: who may do what, as a table.

It reads the demands from the dependencies, where they are data (``Requirement``), and from a middleware
that protects by default. What a handler asks of a session by itself is not seen.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from fastapi.routing import iter_route_contexts
from starlette.applications import Starlette
from starlette.convertors import FloatConvertor, IntegerConvertor, StringConvertor, UUIDConvertor
from starlette.routing import BaseRoute, WebSocketRoute, compile_path
from typing_extensions import override

from ..dependencies import (
    Requirement,
    current_session,
    current_tenant,
    current_user,
    optional_session,
    optional_tenant,
    optional_user,
)
from ..middleware import DescopeMiddleware
from .checks import dependants, is_own

__all__ = ["RouteRow", "RouteTable"]

_SIGNED_IN = "signed in"
_WORDS: Sequence[tuple[object, str]] = (
    (current_session, _SIGNED_IN),
    (current_user, _SIGNED_IN),
    (current_tenant, "a tenant"),
)
_ANY = ("ANY",)
_WITHIN_A_SEGMENT = (StringConvertor, IntegerConvertor, FloatConvertor, UUIDConvertor)
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
    requires: tuple[str, ...] = ()
    is_optional: bool = False
    is_own: bool = False

    @property
    def access(self) -> str:
        """The last column of the table."""
        if self.is_own:
            return "(fastapi_descope)"
        if self.requires:
            return "; ".join(self.requires)
        return "public, knows who is signed in" if self.is_optional else "public"

    @property
    def is_public(self) -> bool:
        """Whether anybody gets in, as far as can be seen from outside the handler."""
        return not (self.requires or self.is_own)


class RouteTable:
    """Every route of an app, those of mounted apps included, in the order in which they match.

    Prints as a table with one line for each.
    """

    def __init__(self, app: Starlette) -> None:
        self.rows = _guarded(app)

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


class _ProtectByDefault:
    """What ``DescopeMiddleware(protect=True)`` adds to routes without demands of their own."""

    def __init__(self, app: Starlette) -> None:
        ours = [each.kwargs for each in app.user_middleware if cast("object", each.cls) is DescopeMiddleware]
        protecting = [options for options in ours if options.get("protect")]
        self._protects = bool(protecting)
        self._public = tuple(path for each in protecting for path in _paths(each))

    def applied(self, row: RouteRow, before: Sequence[RouteRow]) -> RouteRow:
        """The row as it is behind the middleware; ``before`` are those that match sooner."""
        if not self._protects or not row.is_public or self._opens(row, before):
            return row
        return replace(row, requires=(_SIGNED_IN,), is_optional=False)

    def _opens(self, row: RouteRow, before: Sequence[RouteRow]) -> bool:
        """Whether the route answers at a public path, as ``/{section}/all`` does at ``/static/*``."""
        met = (each for each in self._public if _path_matches(row.path.split("/"), each.split("/")))
        return any(not any(_answers(other, path, row.methods) for other in before) for path in met)


def _paths(options: Mapping[str, object]) -> tuple[str, ...]:
    return tuple(cast("Iterable[str]", options.get("public_paths", ())))


def _answers(row: RouteRow, path: str, methods: Iterable[str]) -> bool:
    """Whether a request for what is listed as ``path`` never gets past this row."""
    return row.path == path and (row.methods == _ANY or set(methods) <= set(row.methods))


def _path_matches(route: Sequence[str], listed: Sequence[str]) -> bool:
    """Whether a path of the route is one that is listed, segment by segment."""
    if not (route and listed):
        return not (route or listed)
    if listed == ["*"] or route == ["*"] or (pattern := _within(route[0])) is None:
        return True
    return pattern.match(f"/{listed[0]}") is not None and _path_matches(route[1:], listed[1:])


def _within(segment: str) -> re.Pattern[str] | None:
    """What matches a segment of a route; None if that goes on beyond it, as ``{path:path}`` does."""
    pattern, _, convertors = compile_path(f"/{segment}")
    return pattern if all(isinstance(each, _WITHIN_A_SEGMENT) for each in convertors.values()) else None


def _is_listed(path: str, listed: Iterable[str]) -> bool:
    return any(path == each or (each.endswith("/*") and path.startswith(each[:-1])) for each in listed)


def _guarded(app: Starlette) -> tuple[RouteRow, ...]:
    rows, guard = tuple(_rows(app.routes, "")), _ProtectByDefault(app)
    return tuple(guard.applied(row, rows[:at]) for at, row in enumerate(rows))


def _rows(routes: Sequence[BaseRoute], prefix: str) -> Iterator[RouteRow]:
    for route in iter_route_contexts(routes):  # FastAPI keeps included routers as a tree
        path = prefix + (getattr(route, "path", None) or "")
        mounted = getattr(route, "routes", None)
        inner: object = getattr(route, "app", None)
        if mounted and isinstance(inner, Starlette):
            yield from (replace(row, path=path + row.path) for row in _guarded(inner))
        elif mounted:
            yield from _rows(mounted, path)
        elif mounted is not None:
            yield RouteRow(f"{path}/*", _ANY)
        else:
            yield _row(route, path)


def _row(route: object, path: str) -> RouteRow:
    calls = tuple(each.call for each in dependants(getattr(route, "dependant", None)))
    return RouteRow(
        path=path or "/",
        methods=_methods(route),
        requires=_requirements(calls),
        is_optional=any(call is each for call in calls for each in _OPTIONAL),
        is_own=is_own(getattr(route, "endpoint", None)),
    )


def _methods(route: object) -> tuple[str, ...]:
    if isinstance(getattr(route, "original_route", route), WebSocketRoute):
        return ("WS",)
    methods: set[str] = set(getattr(route, "methods", None) or ())
    if "GET" in methods:
        methods.discard("HEAD")
    return tuple(sorted(methods)) or _ANY


def _requirements(calls: Iterable[object]) -> tuple[str, ...]:
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
