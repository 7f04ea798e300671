"""How the plugin is put into an app, and into those that are mounted in it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import cast

from fastapi.routing import iter_route_contexts
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import NoMatchFound

from .._web.app_location import CALLBACK, LOGIN
from .._web.middleware import DescopeMiddleware
from .._web.routes.checks import check_routes
from ..plugin import Descope
from ..settings import DescopeSettings
from .checks import CheckResult, Severity

__all__ = ["AppChecks"]

_MISSING = "DescopeMiddleware is missing; use Descope(app), or app.add_middleware(DescopeMiddleware, ...)"


@dataclass(frozen=True, slots=True)
class _Layer:
    """One middleware of an app, the outermost first."""

    kind: object
    options: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class _Part:
    """An app, or one that is mounted in it at ``path``."""

    path: str
    app: Starlette
    layers: tuple[_Layer, ...]

    @property
    def kinds(self) -> list[object]:
        """The classes of its middleware."""
        return [layer.kind for layer in self.layers]

    @property
    def is_guarded(self) -> bool:
        """Whether it has our middleware."""
        return DescopeMiddleware in self.kinds

    @property
    def origins(self) -> Iterator[str]:
        """The origins whose scripts it lets read answers to requests with cookies."""
        for layer in self.layers:
            if layer.kind is CORSMiddleware and layer.options.get("allow_credentials"):
                yield from cast("Iterable[str]", layer.options.get("allow_origins", ()))


class AppChecks:
    """The app, the apps mounted in it, and what is to be said of how the plugin is in them."""

    def __init__(self, app: Starlette) -> None:
        self._parts = tuple(_parts(app, ""))

    @property
    def settings(self) -> DescopeSettings | None:
        """Those of the first ``Descope`` that is found, the outermost app's first."""
        options = (layer.options for part in self._parts for layer in part.layers)
        descopes = (each.get("descope") for each in options)
        return next((each.settings for each in descopes if isinstance(each, Descope)), None)

    def results(self) -> Iterator[CheckResult]:
        """What works and what does not, part by part. A part without the plugin is fine if another has it."""
        guarded = [part for part in self._parts if part.is_guarded]
        if not guarded:
            yield CheckResult(Severity.FAIL, "middleware", _MISSING)
        for part in guarded:
            yield _middleware(part)
        for part in guarded or self._parts[:1]:
            yield _routes(part)
        yield from (CheckResult(Severity.FAIL, "routes", text) for text in check_routes(self._parts[0].app))
        yield from self._cors()

    def _cors(self) -> Iterator[CheckResult]:
        """Origins whose scripts may read answers but not send anything that changes something (CS-01)."""
        settings = self.settings
        if settings is None:
            return
        known = {settings.public_url, *settings.trusted_origins, "*"}
        for origin in (each for part in self._parts for each in part.origins if each not in known):
            text = (
                f"CORSMiddleware lets {origin} in with cookies, and its POSTs are refused as cross-site;"
                " add it to DESCOPE_TRUSTED_ORIGINS"
            )
            yield CheckResult(Severity.WARN, "origins", text)


def _parts(app: Starlette, path: str) -> Iterator[_Part]:
    layers = tuple(_Layer(layer.cls, layer.kwargs) for layer in app.user_middleware)
    yield _Part(path, app, layers)
    for route in iter_route_contexts(app.routes):
        mounted: object = getattr(route, "app", None)
        if isinstance(mounted, Starlette):
            yield from _parts(mounted, f"{path}{getattr(route, 'path', '')}")


def _middleware(part: _Part) -> CheckResult:
    times = part.kinds.count(DescopeMiddleware)
    if times > 1:
        text = f"DescopeMiddleware is there {times} times; keep one Descope for an app"
        return CheckResult(Severity.FAIL, "middleware", text + _where(part))
    if CORSMiddleware in part.kinds[part.kinds.index(DescopeMiddleware) :]:
        text = (
            "CORSMiddleware is inside DescopeMiddleware, so browsers hide our 401 from scripts;"
            " add it after Descope(app): the last one added is the outermost"
        )
        return CheckResult(Severity.FAIL, "middleware", text + _where(part))
    return CheckResult(Severity.OK, "middleware", f"DescopeMiddleware is installed{_where(part)}")


def _routes(part: _Part) -> CheckResult:
    times = sum(getattr(route, "name", None) == LOGIN.name for route in iter_route_contexts(part.app.routes))
    if times > 1:
        text = f"the sign-in routes are there {times} times; Descope(app) includes descope.router by itself"
        return CheckResult(Severity.FAIL, "routes", text + _where(part))
    try:
        login, callback = (part.app.url_path_for(route.name) for route in (LOGIN, CALLBACK))
    except NoMatchFound:
        text = "the sign-in routes are missing; use Descope(app), or app.include_router(descope.router)"
        return CheckResult(Severity.FAIL, "routes", text + _where(part))
    text = f"{login} begins a sign-in, {callback} ends it"
    return CheckResult(Severity.OK, "routes", text + _where(part))


def _where(part: _Part) -> str:
    return f" (in the app at {part.path})" if part.path else ""
