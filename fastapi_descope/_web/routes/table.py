"""The routes of an app as a table, with what each route requires of a session.

The requirements are read from dependencies, which carry them as data (``Requirement``), and from a middleware
that protects by default. Checks in the code of a handler are not found.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts
from starlette.applications import Starlette
from starlette.convertors import FloatConvertor, IntegerConvertor, StringConvertor, UUIDConvertor
from starlette.routing import BaseRoute, WebSocketRoute, compile_path
from typing_extensions import override

from ...callers import Machine
from ..callers import CallerGuard
from ..dependencies import (
    ClaimsDependency,
    current_session,
    current_tenant,
    current_user,
    optional_session,
    optional_tenant,
    optional_user,
)
from ..middleware import DescopeMiddleware
from ..openapi import CallerScheme
from ..public_endpoints import has_own_dispatch, is_public
from ..requirements import Requirement
from .checks import dependants, front_ends, is_own

__all__ = ["RouteRow", "RouteTable"]

_SIGNED_IN = "signed in"
_ANY_CALLER = "any caller"
_NOT_IMPERSONATED = "not impersonated"
_DESCRIPTIONS: Sequence[tuple[object, str]] = (
    (current_session, _SIGNED_IN),
    (current_user, _SIGNED_IN),
    (current_tenant, "a tenant"),
)
_ANY = ("ANY",)
_ANY_PATH = "/{path:path}"  # not "/*": a list of public paths with "/*" would allow every route
_SEGMENT_CONVERTORS = (StringConvertor, IntegerConvertor, FloatConvertor, UUIDConvertor)
_OPTIONAL = (optional_session, optional_tenant, optional_user)


@dataclass(frozen=True, slots=True)
class RouteRow:
    """One route of an app.

    ``methods`` is ``WS`` for a WebSocket. It is ``ANY`` if the methods are unknown, as for a mounted app that
    lists no routes; the path of such an app ends in ``/*``, and that of a folder of ``app.frontend`` in
    ``/{path:path}``. ``requires`` describes the requirements, such as ``roles admin``. ``is_optional`` marks
    routes that use a session if there is one. ``is_own`` marks the routes of the plugin, which enforce their
    own rules. ``is_marked`` marks endpoints with ``@public``, and ``is_documentation`` the OpenAPI document
    of FastAPI and its pages. ``admits_machines`` marks routes whose caller may be a machine, and
    ``denies_impersonated`` those that no impersonated session may use. ``requirements`` are those of its
    dependencies.
    """

    path: str
    methods: tuple[str, ...]
    requires: tuple[str, ...] = ()
    is_optional: bool = False
    is_own: bool = False
    is_marked: bool = False
    is_documentation: bool = False
    admits_machines: bool = False
    denies_impersonated: bool = False
    requirements: tuple[Requirement, ...] = field(default=(), compare=False, repr=False)

    @property
    def access(self) -> str:
        """The text of the column REQUIRES."""
        if self.is_own:
            return "(fastapi_descope)"
        if self.requires:
            return "; ".join(self.requires)
        public = "public (@public)" if self.is_marked else "public"
        return f"{public}, uses the session if there is one" if self.is_optional else public

    @property
    def is_public(self) -> bool:
        """Whether no requirement is known, so that every client may call the route."""
        return not (self.requires or self.is_own)


class RouteTable:
    """All routes of an app and its mounted apps, in matching order. ``str()`` formats them as a table."""

    def __init__(self, app: Starlette) -> None:
        self.rows = _protected_rows(app)

    def unprotected(self, public: Iterable[str] = (), *, public_docs: bool = False) -> tuple[RouteRow, ...]:
        """Return the routes that are public by mistake.

        Args:
            public: The paths that may be public. One that ends in ``/*`` matches everything below it.
            public_docs: Whether FastAPI's OpenAPI document and its pages may be public.
        """
        allowed = tuple(public)
        return tuple(
            row
            for row in self.rows
            if row.is_public
            and not row.is_marked
            and not (public_docs and row.is_documentation)
            and not _is_listed(row.path, allowed)
        )

    def unused(self, public: Iterable[str]) -> tuple[str, ...]:
        """Return the paths in ``public`` that match no public route."""
        open_paths = [row.path for row in self.rows if row.is_public]
        return tuple(each for each in public if not any(_is_listed(path, (each,)) for path in open_paths))

    @override
    def __str__(self) -> str:
        lines = [("METHOD", "PATH", "REQUIRES")]
        lines += [(",".join(row.methods), row.path, row.access) for row in self.rows]
        methods, paths = (max(len(line[column]) for line in lines) for column in (0, 1))
        return "\n".join(f"{line[0]:<{methods}}  {line[1]:<{paths}}  {line[2]}" for line in lines)


class _ProtectByDefault:
    """The effect of ``DescopeMiddleware(protect=True)`` on routes without requirements of their own."""

    def __init__(self, app: Starlette) -> None:
        ours = [each.kwargs for each in app.user_middleware if cast("object", each.cls) is DescopeMiddleware]
        protecting = [options for options in ours if options.get("protect")]
        self._protects = bool(protecting)
        self._public = tuple(path for each in protecting for path in _public_paths(each))

    def apply(self, row: RouteRow, before: Sequence[RouteRow]) -> RouteRow:
        """Return the row with the middleware's requirement. ``before`` are the rows that match first."""
        if not self._protects or not row.is_public or row.is_marked or self._is_public(row, before):
            return row
        return replace(row, requires=(_SIGNED_IN,), is_optional=False)

    def _is_public(self, row: RouteRow, before: Sequence[RouteRow]) -> bool:
        """Return whether the route handles a public path, as ``/{section}/all`` does for ``/static/*``."""
        handled = (each for each in self._public if _path_matches(row.path.split("/"), each.split("/")))
        return any(not any(_handles(other, path, row.methods) for other in before) for path in handled)


def _public_paths(options: Mapping[str, object]) -> tuple[str, ...]:
    return tuple(cast("Iterable[str]", options.get("public_paths", ())))


def _handles(row: RouteRow, path: str, methods: Iterable[str]) -> bool:
    """Return whether this row handles every request that the public path ``path`` allows."""
    return row.path == path and (row.methods == _ANY or set(methods) <= set(row.methods))


def _path_matches(route: Sequence[str], listed: Sequence[str]) -> bool:
    """Return whether the route can match a listed path, segment by segment."""
    if not (route and listed):
        return not (route or listed)
    if listed == ["*"] or route == ["*"] or (pattern := _segment_pattern(route[0])) is None:
        return True
    return pattern.match(f"/{listed[0]}") is not None and _path_matches(route[1:], listed[1:])


def _segment_pattern(segment: str) -> re.Pattern[str] | None:
    """Return a pattern for one segment, or None if it can span several, as ``{path:path}`` does."""
    pattern, _, convertors = compile_path(f"/{segment}")
    return pattern if all(isinstance(each, _SEGMENT_CONVERTORS) for each in convertors.values()) else None


def _is_listed(path: str, listed: Iterable[str]) -> bool:
    return any(path == each or (each.endswith("/*") and path.startswith(each[:-1])) for each in listed)


def _protected_rows(app: Starlette) -> tuple[RouteRow, ...]:
    rows, protection = (*_rows(app.routes, ""), *_frontend_rows(app.router)), _ProtectByDefault(app)
    if has_own_dispatch(app.router):
        rows = (*rows, RouteRow(_ANY_PATH, _ANY))
    return tuple(protection.apply(row, rows[:index]) for index, row in enumerate(rows))


def _rows(routes: Sequence[BaseRoute], prefix: str) -> Iterator[RouteRow]:
    for route in iter_route_contexts(routes):  # FastAPI keeps included routers as a tree
        path = prefix + (getattr(route, "path", None) or "")
        mounted = getattr(route, "routes", None)
        inner: object = getattr(route, "app", None)
        inner_rows = _protected_rows(inner) if isinstance(inner, Starlette) else ()
        if inner_rows:
            yield from (replace(row, path=path + row.path) for row in inner_rows)
        elif mounted:
            yield from _rows(mounted, path)
        elif mounted is not None:
            yield RouteRow(f"{path}/*", _ANY, _guard(inner))
        else:
            yield _row(route, path)


def _frontend_rows(router: object) -> Iterator[RouteRow]:
    for path, group in front_ends(router):
        yield replace(_row(group, path.rstrip("/") + _ANY_PATH), methods=("GET",))


def _row(route: object, path: str) -> RouteRow:
    found = tuple(dependants(getattr(route, "dependant", None)))
    calls = tuple(each.call for each in found)
    endpoint: object = getattr(route, "endpoint", None)
    return RouteRow(
        path=path or "/",
        methods=_methods(route),
        requires=_guard(endpoint) or _requirements(found),
        is_optional=any(call is each for call in calls for each in _OPTIONAL),
        is_own=is_own(endpoint),
        is_marked=is_public(endpoint),
        is_documentation=_is_documentation(endpoint),
        admits_machines=_admits_machines(calls),
        denies_impersonated=any(
            call.not_impersonated for call in calls if isinstance(call, (CallerScheme, Requirement))
        ),
        requirements=tuple(call for call in calls if isinstance(call, Requirement)),
    )


def _admits_machines(calls: Iterable[object]) -> bool:
    """Return whether a machine is among the callers that every dependency on a caller accepts."""
    kinds = {call.kind for call in calls if isinstance(call, CallerScheme)}
    return bool(kinds) and kinds <= {None, Machine}


def _is_documentation(endpoint: object) -> bool:
    """Return whether FastAPI itself added the endpoint: an endpoint of the app may have the same path."""
    name: str = getattr(endpoint, "__qualname__", "")
    return getattr(endpoint, "__module__", "") == FastAPI.__module__ and name.startswith("FastAPI.setup.")


def _methods(route: object) -> tuple[str, ...]:
    if isinstance(getattr(route, "original_route", route), WebSocketRoute):
        return ("WS",)
    methods: set[str] = set(getattr(route, "methods", None) or ())
    if "GET" in methods:
        methods.discard("HEAD")
    return tuple(sorted(methods)) or _ANY


def _requirements(dependants: Iterable[Dependant]) -> tuple[str, ...]:
    """Describe the requirements, each once, without those that another one includes."""
    found: list[str] = []
    for each in dependants:
        call: object = each.call
        if isinstance(call, CallerScheme):
            found.append(_caller(call.kind, _scopes(each)))
            found += [_NOT_IMPERSONATED] if call.not_impersonated else []
        elif isinstance(call, Requirement):
            found += _description(call)
        elif isinstance(call, ClaimsDependency):
            found.append(f"claims {call.model_name}")
        else:
            found += [text for dependency, text in _DESCRIPTIONS if dependency is call]
    texts = tuple(dict.fromkeys(found))
    included = {_SIGNED_IN, *(text.partition(" with ")[0] for text in texts if " with " in text)}
    return tuple(text for text in texts if text not in included) or texts


def _scopes(dependant: Dependant) -> tuple[str, ...]:
    """Return the scopes of ``Security``, which also hold for the dependencies of its dependency."""
    return tuple(dict.fromkeys([*(dependant.parent_oauth_scopes or ()), *(dependant.own_oauth_scopes or ())]))


def _guard(app: object) -> tuple[str, ...]:
    return (_caller(None, app.scopes),) if isinstance(app, CallerGuard) else ()


def _caller(kind: type[object] | None, scopes: Sequence[str]) -> str:
    name = _ANY_CALLER if kind is None else kind.__name__.lower()
    return f"{name} with {_listed(scopes)}" if scopes else name


def _description(requirement: Requirement) -> list[str]:
    project = "project " if requirement.project else ""
    max_age = "" if requirement.max_age is None else f" within {requirement.max_age} s"
    texts = {
        f"{project}roles {_listed(requirement.roles)}": requirement.roles,
        f"one of {project}roles {_listed(requirement.any_roles)}": requirement.any_roles,
        f"{project}permissions {_listed(requirement.permissions)}": requirement.permissions,
        f"one of {project}permissions {_listed(requirement.any_permissions)}": requirement.any_permissions,
        f"tenant = {{{requirement.tenant_from}}}": requirement.tenant_from,
        f"step-up{max_age}": requirement.step_up,
        "MFA": requirement.mfa,
        _NOT_IMPERSONATED: requirement.not_impersonated,
    }
    return [text for text, is_required in texts.items() if is_required] or [_SIGNED_IN]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
