"""Checks of how the plugin is installed in an app, and in the apps that it mounts."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from fastapi.routing import iter_route_contexts
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import NoMatchFound
from uvicorn.importer import ImportFromStringError, import_from_string

from .._web.app_location import CALLBACK, LOGIN
from .._web.middleware import DescopeMiddleware
from .._web.routes.checks import check_routes
from ..errors import ConfigurationError
from ..plugin import Descope
from ..settings import DescopeSettings
from .checks import CheckResult, Severity

__all__ = ["AppChecks", "load_app"]


@dataclass(frozen=True, slots=True)
class _Middleware:
    """One middleware of an app."""

    cls: object
    options: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class _App:
    """An app, and the path at which it is mounted. Its middleware is listed from the outermost."""

    path: str
    app: Starlette
    middleware: tuple[_Middleware, ...]

    @property
    def middleware_classes(self) -> list[object]:
        """The classes of the middleware."""
        return [each.cls for each in self.middleware]

    @property
    def has_plugin(self) -> bool:
        """Whether the app has our middleware."""
        return DescopeMiddleware in self.middleware_classes

    @property
    def cors_origins(self) -> Iterator[str]:
        """The origins that CORS allows to read responses to requests with cookies."""
        for each in self.middleware:
            if each.cls is CORSMiddleware and each.options.get("allow_credentials"):
                yield from cast("Iterable[str]", each.options.get("allow_origins", ()))


class AppChecks:
    """The checks of an app and the apps mounted in it."""

    def __init__(self, app: Starlette) -> None:
        self._apps = tuple(_apps(app, ""))

    @property
    def settings(self) -> DescopeSettings | None:
        """The settings of the first ``Descope`` found, from the outermost app inwards; None without one."""
        options = (each.options for app in self._apps for each in app.middleware)
        descopes = (each.get("descope") for each in options)
        return next((each.settings for each in descopes if isinstance(each, Descope)), None)

    def results(self) -> Iterator[CheckResult]:
        """Run the checks. An app without the plugin passes if another one has it."""
        with_plugin = [app for app in self._apps if app.has_plugin]
        if not with_plugin:
            fix = "use Descope(app), or app.add_middleware(DescopeMiddleware, ...)"
            yield CheckResult(Severity.FAIL, "middleware", f"DescopeMiddleware is missing; {fix}")
        for app in with_plugin:
            yield _check_middleware(app)
        for app in with_plugin or self._apps[:1]:
            yield _check_plugin_routes(app)
        yield from (CheckResult(Severity.FAIL, "routes", error) for error in check_routes(self._apps[0].app))
        yield from self._check_cors()

    def _check_cors(self) -> Iterator[CheckResult]:
        # CS-01: such a front end can read responses, but its state-changing requests are refused.
        settings = self.settings
        if settings is None:
            return
        trusted = {settings.public_url, *settings.trusted_origins, "*"}
        for origin in (each for app in self._apps for each in app.cors_origins if each not in trusted):
            message = (
                f"CORSMiddleware allows {origin} with cookies, but its POSTs are refused as cross-site;"
                " add it to DESCOPE_TRUSTED_ORIGINS"
            )
            yield CheckResult(Severity.WARN, "origins", message)


def load_app(name: str) -> Starlette:
    """Import the app that ``module:attribute`` names. The current directory is on the import path.

    Raises:
        ConfigurationError: The name is malformed, cannot be imported, or does not name an app.
    """
    sys.path.insert(0, str(Path.cwd()))
    try:
        app: object = import_from_string(name)
    except ImportFromStringError as error:
        raise ConfigurationError(str(error)) from None
    if not isinstance(app, Starlette):
        raise ConfigurationError(f"{name}: expected a FastAPI or Starlette app, found {type(app).__name__}")
    return app


def _apps(app: Starlette, path: str) -> Iterator[_App]:
    """Yield the app and the apps mounted in it, outermost first."""
    yield _App(path, app, tuple(_Middleware(each.cls, each.kwargs) for each in app.user_middleware))
    for route in iter_route_contexts(app.routes):
        mounted: object = getattr(route, "app", None)
        if isinstance(mounted, Starlette):
            yield from _apps(mounted, f"{path}{getattr(route, 'path', '')}")


def _check_middleware(app: _App) -> CheckResult:
    classes = app.middleware_classes
    count = classes.count(DescopeMiddleware)
    if count > 1:
        message = f"DescopeMiddleware is installed {count} times; use one Descope per app"
        return CheckResult(Severity.FAIL, "middleware", message + _location(app))
    if CORSMiddleware in classes[classes.index(DescopeMiddleware) :]:
        message = (
            "DescopeMiddleware wraps CORSMiddleware, so browsers hide our 401 from scripts;"
            " add CORSMiddleware after Descope(app): the middleware added last is the outermost"
        )
        return CheckResult(Severity.FAIL, "middleware", message + _location(app))
    return CheckResult(Severity.OK, "middleware", f"DescopeMiddleware is installed{_location(app)}")


def _check_plugin_routes(app: _App) -> CheckResult:
    count = sum(getattr(route, "name", None) == LOGIN.name for route in iter_route_contexts(app.app.routes))
    if count > 1:
        message = (
            f"the login routes are included {count} times;"
            " Descope(app) includes descope.router, so do not include it again"
        )
        return CheckResult(Severity.FAIL, "routes", message + _location(app))
    try:
        login, callback = (app.app.url_path_for(route.name) for route in (LOGIN, CALLBACK))
    except NoMatchFound:
        message = "the login routes are missing; use Descope(app), or app.include_router(descope.router)"
        return CheckResult(Severity.FAIL, "routes", message + _location(app))
    return CheckResult(Severity.OK, "routes", f"login at {login}, callback at {callback}{_location(app)}")


def _location(app: _App) -> str:
    return f" (in the app mounted at {app.path})" if app.path else ""
