"""The OpenAPI document of one app, completed after FastAPI has generated it.

FastAPI collects one scheme per dependency and knows nothing of the errors. This module adds the configured
cookie names, the bearer alternative, the requirements and error responses of guarded routes, and a link to
the login. The requests of the app cost nothing more. Only the route of the document itself is wrapped.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from contextvars import ContextVar
from copy import deepcopy
from dataclasses import replace
from typing import Any, cast
from urllib.parse import quote

from fastapi import FastAPI
from starlette.routing import BaseRoute, Mount, Route, compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from ...errors import (
    BadRequest,
    ConfigurationError,
    DescopeError,
    Forbidden,
    InvalidUpstreamResponse,
    NotAuthenticated,
    TooManyAttempts,
    UpstreamUnavailable,
)
from ...settings import DescopeSettings
from ..app_location import LOGOUT, RouteFinder, public_path
from ..auth_scope import request_auth
from ..csrf import SAFE_METHODS
from ..error_responses import problem_document
from ..openapi import (
    BEARER,
    BEARER_SCHEME,
    CALLER,
    MACHINE_SCHEME,
    OAUTH2,
    OPTIONAL_SESSION,
    PROBLEM_MEDIA_TYPE,
    PROBLEM_RESPONSES,
    PROBLEM_SCHEMA,
    REFRESH,
    SESSION,
    SESSION_SCHEME,
    oauth2_scheme,
)
from ..requirements import Requirement
from ..scopes import Scope as AppScope
from .table import RouteRow, RouteTable

__all__ = ["OpenApiDocuments"]

_Document = dict[str, Any]
_Alternatives = Sequence[Mapping[str, Sequence[str]]]
"""The ``security`` of an operation: one of the schemes is enough. ``{}`` allows none at all."""

_sign_in_url: ContextVar[str | None] = ContextVar("fastapi_descope_sign_in_url", default=None)
"""The path of the login as browsers have it, while the document is requested."""

_EXAMPLES: Mapping[str, DescopeError] = {
    "400": BadRequest(),
    "401": NotAuthenticated(),
    "403": Forbidden(),
    "429": TooManyAttempts(60),
    "502": InvalidUpstreamResponse("oversize"),
    "503": UpstreamUnavailable(),
}

_NO_VALUE = " The browser sends it by itself: enter no value, because a page cannot set this cookie."


class OpenApiDocuments:
    """Completes the documents of apps: of the app with the plugin, and of apps that it mounts.

    Args:
        settings: The names of the cookies, the project, and whether a bearer can be an access key.
        session_hooks: The hooks that may refuse any session, with a 403.
        scopes: The scopes of the app by name.
    """

    def __init__(
        self, settings: DescopeSettings, session_hooks: Sequence[object], scopes: Mapping[str, AppScope]
    ) -> None:
        self.settings = settings
        self.session_hooks = session_hooks
        self.apps: list[FastAPI] = []
        self._scopes = scopes

    def complete(self, app: FastAPI) -> None:
        """Make ``app.openapi()`` return the completed document.

        The app may be mounted in one whose document was completed before, and which protects it.
        """
        if not isinstance(app.openapi, _CompletedOpenApi):
            app.openapi = _CompletedOpenApi(app, self)  # type: ignore[method-assign] # FastAPI documents this
            for route in app.routes:
                if isinstance(route, Route) and route.path == app.openapi_url:
                    route.app = _WithSignInUrl(route.app, app)
        self.apps.append(app)

    def oauth2_scheme(self, used: Iterable[str]) -> dict[str, Any]:
        """Return the scheme of inbound apps, with the scopes of the app and those that routes use."""
        described = {name: scope.description for name, scope in self._scopes.items()}
        apps_url = f"{self.settings.base_url}/oauth2/v1/apps/{self.settings.project_id}"
        return oauth2_scheme(apps_url, dict.fromkeys(sorted(used), "") | described)


class _CompletedOpenApi:
    """Replaces ``app.openapi``. A document is completed once; FastAPI generates another for new routes."""

    def __init__(self, app: FastAPI, documents: OpenApiDocuments) -> None:
        settings = documents.settings
        self._app = app
        self._documents = documents
        self._access_keys = settings.access_keys
        self._cookies = {SESSION: settings.session_cookie, REFRESH: settings.refresh_cookie}
        self._generate: Callable[[], _Document] = app.openapi
        self._completed: _Document | None = None

    def __call__(self) -> _Document:
        document = self._generate()
        if document is not self._completed:
            self._complete(document)
            self._completed = document
        return _with_sign_in_link(document)

    def _complete(self, document: _Document) -> None:
        rows = _rows_by_operation(_rows(self._app, self._documents.apps))
        problem = _ProblemComponent(document)
        for path, method, operation in _operations(document):
            row = rows.get((path, method))
            if row is not None:
                _add_requirements(operation, row)
                _add_errors(operation, row, self._statuses(row, method), problem)
            if "security" in operation:
                operation["security"] = _with_bearer(operation["security"])
        self._complete_schemes(document)

    def _statuses(self, row: RouteRow, method: str) -> Sequence[str]:
        """Return the statuses of the errors that the plugin raises for a route of the app."""
        if row.requires:
            is_limited = self._access_keys and row.admits_machines
            return ("401", "403", "429", "503") if is_limited else ("401", "403", "503")
        if row.is_optional:
            # Other sites may not send unsafe methods with the user's cookies.
            may_refuse = self._documents.session_hooks or method.upper() not in SAFE_METHODS
            return ("403", "503") if may_refuse else ("503",)
        return ()

    def _complete_schemes(self, document: _Document) -> None:
        schemes = document.get("components", {}).get("securitySchemes", {})
        for placeholder in (OPTIONAL_SESSION, CALLER):
            schemes.pop(placeholder, None)
        security = [each for *_, operation in _operations(document) for each in operation.get("security", ())]
        if any(OAUTH2 in each for each in security):
            schemes[OAUTH2] = self._documents.oauth2_scheme(
                scope for each in security for scope in each.get(OAUTH2, ())
            )
        if any(BEARER in each for each in security):
            schemes[BEARER] = dict(MACHINE_SCHEME if self._access_keys else BEARER_SCHEME)
        if any(SESSION in each for each in security):
            note = _NO_VALUE + self._sign_out_note()
            schemes = document.setdefault("components", {}).setdefault("securitySchemes", schemes)
            schemes[SESSION] = {**SESSION_SCHEME, "description": f"{SESSION_SCHEME['description']}{note}"}
        for name, cookie in self._cookies.items():
            if name in schemes:
                schemes[name]["name"] = cookie

    def _sign_out_note(self) -> str:
        logout = RouteFinder().path(LOGOUT, self._app)
        return "" if logout is None else f" `{LOGOUT.method} {logout}` signs out."


class _WithSignInUrl:
    """Wraps the route of the document: its requests show where a proxy and mounts have put the app."""

    def __init__(self, route: ASGIApp, documented: FastAPI) -> None:
        self._route = route
        self._docs_url = documented.docs_url or documented.redoc_url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        token = _sign_in_url.set(self._url(scope))
        try:
            await self._route(scope, receive, send)
        finally:
            _sign_in_url.reset(token)

    def _url(self, scope: Scope) -> str | None:
        """Return the login with the way back to the docs, or None if the app has no login."""
        login = None
        with suppress(ConfigurationError):  # the middleware is not installed
            login = request_auth(scope).location.login_app.entry_path
        if login is None or self._docs_url is None:
            return login
        docs = public_path(self._docs_url, scope.get("root_path", ""))
        return f"{login}?return_to={quote(docs)}"  # with its slashes: Swagger UI would escape "%2F" again


class _ProblemComponent:
    """The schema of problem documents, added to the components of a document when it is first used."""

    def __init__(self, document: _Document) -> None:
        self._document = document
        taken = document.get("components", {}).get("schemas", {}).get("Problem", PROBLEM_SCHEMA)
        self._name = "Problem" if taken == PROBLEM_SCHEMA else "DescopeProblem"

    def content(self, status: str) -> dict[str, Any]:
        """Return the content of an error response: this schema, and an example."""
        components = self._document.setdefault("components", {})
        components.setdefault("schemas", {})[self._name] = deepcopy(dict(PROBLEM_SCHEMA))
        schema = {"$ref": f"#/components/schemas/{self._name}"}
        return {PROBLEM_MEDIA_TYPE: {"schema": schema, "example": problem_document(_EXAMPLES[status])}}


def _with_sign_in_link(document: _Document) -> _Document:
    """Return the document with a link to the login, which depends on the request."""
    url, components = _sign_in_url.get(), document.get("components", {})
    schemes = components.get("securitySchemes", {})
    if url is None or SESSION not in schemes:
        return document
    session = schemes[SESSION]
    description = f"[Sign in](<{url}>), then try operations out.\n\n{session['description']}"
    schemes = {**schemes, SESSION: {**session, "description": description}}
    return {**document, "components": {**components, "securitySchemes": schemes}}


def _rows(app: FastAPI, outer_apps: Iterable[FastAPI]) -> Iterable[RouteRow]:
    """Return the rows of the route table of ``app``, with the protection by an app that it is mounted in."""
    for outer in outer_apps:
        mount = _mount_path(outer.routes, app)
        if mount is not None:
            rows = (row for row in RouteTable(outer).rows if row.path.startswith(f"{mount}/"))
            return [replace(row, path=row.path.removeprefix(mount)) for row in rows]
    return RouteTable(app).rows


def _mount_path(routes: Sequence[BaseRoute], app: FastAPI) -> str | None:
    """Return the path at which ``app`` is mounted, directly or in another mounted app; None if it is not."""
    for route in routes:
        if isinstance(route, Mount):
            inner = "" if cast("object", route.app) is app else _mount_path(route.routes, app)
            if inner is not None:
                return route.path + inner
    return None


def _rows_by_operation(rows: Iterable[RouteRow]) -> dict[tuple[str, str], RouteRow]:
    """Return the rows by path and method, both as in the document."""
    by_operation: dict[tuple[str, str], RouteRow] = {}
    for row in rows:
        _, path, _ = compile_path(row.path)  # without the convertors of parameters
        by_operation.setdefault((path, "head"), row)  # the table omits HEAD next to GET
        by_operation.update({(path, method.lower()): row for method in row.methods})
    return by_operation


def _add_requirements(operation: dict[str, Any], row: RouteRow) -> None:
    """Add the extensions that list what the route requires. A value that the app has set is kept."""
    found = {**_requirements(row.requirements), "x-denied-impersonation": row.denies_impersonated}
    for name, value in found.items():
        if value:
            operation.setdefault(name, value)


def _requirements(requirements: Sequence[Requirement]) -> dict[str, object]:
    return {
        **_grants("", [each for each in requirements if not each.project]),
        **_grants("project-", [each for each in requirements if each.project]),
        "x-required-tenant": next((each.tenant_from for each in requirements if each.tenant_from), None),
        "x-required-mfa": any(each.mfa for each in requirements),
        "x-required-step-up": any(each.step_up for each in requirements),
    }


def _grants(holder: str, requirements: Sequence[Requirement]) -> dict[str, object]:
    """Return the required roles and permissions. The user needs one of each list below ``any``."""
    return {
        f"x-required-{holder}roles": _union(each.roles for each in requirements),
        f"x-required-{holder}permissions": _union(each.permissions for each in requirements),
        f"x-required-any-{holder}roles": [sorted(each.any_roles) for each in requirements if each.any_roles],
        f"x-required-any-{holder}permissions": [
            sorted(each.any_permissions) for each in requirements if each.any_permissions
        ],
    }


def _union(names: Iterable[frozenset[str]]) -> list[str]:
    return sorted({name for each in names for name in each})


def _add_errors(
    operation: dict[str, Any], row: RouteRow, statuses: Iterable[str], problem: _ProblemComponent
) -> None:
    """Add the error responses of a route. Responses that the app has declared are kept."""
    responses = operation.setdefault("responses", {})
    if row.is_own:
        for status, response in responses.items():
            if PROBLEM_MEDIA_TYPE in response.get("content", {}):
                response["content"] = problem.content(status)
        return
    if row.requires:
        operation.setdefault("security", [{SESSION: []}])  # the middleware protects it
    for status in statuses:
        if not {status, f"{status[0]}XX", "default"}.intersection(responses):
            responses[status] = {**deepcopy(PROBLEM_RESPONSES[status]), "content": problem.content(status)}


def _with_bearer(alternatives: _Alternatives) -> _Alternatives:
    """Add bearer to the alternatives of one route, and ``{}`` if the session is optional."""
    alternatives = [scheme for each in alternatives for scheme in _of_caller(each)]
    required = [each for each in alternatives if OPTIONAL_SESSION not in each]
    if alternatives and not required:
        return [{SESSION: []}, {BEARER: []}, {}]
    if any(BEARER in each for each in required):
        return required
    return required + [{BEARER: each[SESSION]} for each in required if SESSION in each]


def _of_caller(scheme: Mapping[str, Sequence[str]]) -> _Alternatives:
    """Return the alternatives that a scheme stands for. Only that of applications has scopes."""
    if CALLER in scheme:
        return [{OAUTH2: scheme[CALLER]}, {SESSION: []}]
    return [{BEARER: []}] if BEARER in scheme else [scheme]


def _operations(document: _Document) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation)
        for path, item in document.get("paths", {}).items()
        for method, operation in item.items()
        if isinstance(operation, dict)
    ]
