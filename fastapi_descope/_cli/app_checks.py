"""Checks of how the plugin is installed in an app, and in the apps that it mounts."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import cast

from fastapi.routing import iter_route_contexts
from starlette.applications import Starlette
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from .._config.origin import Origin
from .._web.app_location import CALLBACK, LOGIN, LOGIN_PAGE, RouteFinder
from .._web.middleware import DescopeMiddleware, ErrorMiddleware
from .._web.routes.checks import check_routes
from .._web.starlette_auth import DescopeAuthBackend
from ..plugin import Descope
from ..settings import DescopeSettings
from .checks import CheckResult, fail, ok, warn
from .settings_checks import is_loopback

__all__ = ["AppChecks"]

_ANY_SITE = "https://any-site.invalid"
"""An origin that no app lists: a pattern that matches it matches every site."""


@dataclass(frozen=True, slots=True)
class _Middleware:
    """One middleware of an app."""

    cls: object
    options: Mapping[str, object]

    @property
    def is_auth_backend(self) -> bool:
        """Whether it is Starlette's ``AuthenticationMiddleware`` with our backend."""
        backend = self.options.get("backend")
        return self.cls is AuthenticationMiddleware and isinstance(backend, DescopeAuthBackend)

    @property
    def cors_origins(self) -> Iterator[str]:
        """The origins that CORS allows to read responses to requests with cookies."""
        if self.cls is CORSMiddleware and self.options.get("allow_credentials"):
            yield from cast("Iterable[str]", self.options.get("allow_origins", ()))
            pattern = cast("str | None", self.options.get("allow_origin_regex"))
            if pattern is not None and re.fullmatch(pattern, _ANY_SITE):
                yield "*"


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
    def hides_errors(self) -> bool:
        """Whether middleware that ours wraps does not see all our error responses."""
        ours = self.middleware[self.middleware_classes.index(DescopeMiddleware)]
        return bool(ours.options.get("protect")) or ErrorMiddleware not in self.middleware_classes

    @property
    def outside_plugin(self) -> tuple[_Middleware, ...]:
        """The middleware that wraps ours."""
        return self.middleware[: self.middleware_classes.index(DescopeMiddleware)]


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
            remedy = "use Descope(app), or app.add_middleware(DescopeMiddleware, ...)"
            yield fail("middleware.missing", f"DescopeMiddleware is missing; {remedy}")
        for app in with_plugin:
            yield _check_middleware(app)
        for app in with_plugin or self._apps[:1]:
            yield _check_plugin_routes(app)
        yield from (fail("routes.mistake", error) for error in check_routes(self._apps[0].app))
        settings = self.settings
        if settings is not None:
            yield from self._check_cors(settings)
            yield from self._check_production(settings)

    def _check_cors(self, settings: DescopeSettings) -> Iterator[CheckResult]:
        trusted = {settings.public_url, *settings.trusted_origins}
        origins = (each for app in self._apps for layer in app.middleware for each in layer.cors_origins)
        for origin in dict.fromkeys(origins):
            if origin == "*":
                yield _every_origin(settings)
            elif origin not in trusted:
                # CS-01: such a front end can read responses, but its state-changing requests are refused.
                message = (
                    f"CORSMiddleware allows {origin} with cookies, but its POSTs are refused as cross-site;"
                    " add it to DESCOPE_TRUSTED_ORIGINS"
                )
                yield warn("origins.not_trusted", message)

    def _check_production(self, settings: DescopeSettings) -> Iterator[CheckResult]:
        """Check the outermost app for a public host, which no other app gets before it."""
        public, outermost = Origin.parse(settings.public_url or ""), self._apps[0]
        if public is None or is_loopback(str(public)):
            return
        if outermost.app.debug:
            message = "debug=True shows source code with each error of the app to its users; remove it"
            yield fail("app.debug", message)
        for layer in outermost.middleware:
            hosts = cast("Iterable[str]", layer.options.get("allowed_hosts") or ("*",))
            if layer.cls is TrustedHostMiddleware and not any(_accepts(each, public.host) for each in hosts):
                message = (
                    f"TrustedHostMiddleware refuses every request to {public.host}, the host of"
                    " DESCOPE_PUBLIC_URL; add it to allowed_hosts"
                )
                yield fail("middleware.host_refused", message)


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
        return fail("middleware.repeated", message + _location(app))
    if app.hides_errors and CORSMiddleware in classes[classes.index(DescopeMiddleware) :]:
        message = (
            "DescopeMiddleware wraps CORSMiddleware, so browsers hide our 401 from scripts;"
            " add CORSMiddleware after Descope(app): the middleware added last is the outermost"
        )
        return fail("middleware.wraps_cors", message + _location(app))
    if any(each.is_auth_backend for each in app.outside_plugin):
        message = (
            "AuthenticationMiddleware wraps DescopeMiddleware, so DescopeAuthBackend finds no session;"
            " add it before Descope(app): the middleware added last is the outermost"
        )
        return fail("middleware.wrong_order", message + _location(app))
    return ok("middleware.installed", f"DescopeMiddleware is installed{_location(app)}")


def _check_plugin_routes(app: _App) -> CheckResult:
    names = [getattr(route, "name", None) for route in iter_route_contexts(app.app.routes)]
    count = names.count(CALLBACK.name)
    if count > 1:
        message = (
            f"the login routes are included {count} times;"
            " Descope(app) includes descope.router, so do not include it again"
        )
        return fail("routes.repeated", message + _location(app))
    finder = RouteFinder()
    login, callback = (
        next(filter(None, (finder.path(route, app.app) for route in routes)), None)
        for routes in ((LOGIN_PAGE, LOGIN), (CALLBACK,))
    )
    if login is None or callback is None:
        message = "the login routes are missing; use Descope(app), or app.include_router(descope.router)"
        return fail("routes.missing", message + _location(app))
    return ok("routes.included", f"login at {login}, callback at {callback}{_location(app)}")


def _every_origin(settings: DescopeSettings) -> CheckResult:
    """Judge a ``CORSMiddleware`` for every origin, to which Starlette sends the origin of the request."""
    remedy = "list the origins of your front ends in allow_origins"
    if settings.cookie_samesite == "none":
        message = (
            f"every site can read the data of a signed-in user (CORS with cookies, SameSite=None); {remedy}"
        )
        return fail("origins.every_site", message)
    message = f"CORSMiddleware lets every sibling domain read responses to requests with cookies; {remedy}"
    return warn("origins.every_sibling", message)


def _accepts(pattern: str, host: str) -> bool:
    """Return whether a pattern of ``TrustedHostMiddleware`` accepts a host."""
    pattern = pattern.lower()
    return pattern in {"*", host, f"www.{host}"} or (pattern.startswith("*.") and host.endswith(pattern[1:]))


def _location(app: _App) -> str:
    return f" (in the app mounted at {app.path})" if app.path else ""
