"""The plugin's own routes, as the rest of the package speaks of them; and where an app has them."""

from collections.abc import Iterator
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from starlette.applications import Starlette
from starlette.routing import NoMatchFound

__all__ = [
    "CALLBACK",
    "LOGIN",
    "LOGOUT",
    "LOGOUT_ALL",
    "PUBLIC_ROUTES",
    "SENSITIVE_PATHS",
    "PluginRoute",
    "PluginRoutes",
]


@dataclass(frozen=True, slots=True)
class PluginRoute:
    """A route of the plugin's router: its name, how its path ends wherever the router is, its method."""

    name: str
    path: str
    method: str


LOGIN = PluginRoute("descope_login", "/login/sso", "GET")
CALLBACK = PluginRoute("descope_callback", "/callback", "GET")
LOGOUT = PluginRoute("descope_logout", "/logout", "POST")
LOGOUT_ALL = PluginRoute("descope_logout_all", "/logout/all", "POST")

PUBLIC_ROUTES = (LOGIN, CALLBACK, LOGOUT, LOGOUT_ALL)
"""Those that must work without a session, and that ``protect`` leaves open, by path and method."""

_ENDS = tuple(route.path for route in PUBLIC_ROUTES)

SENSITIVE_PATHS = (LOGIN.path, CALLBACK.path)
"""How the paths end whose queries hold codes, states and addresses."""


class PluginRoutes:
    """Where an app has the routes: paths as the app knows them, without its ``root_path``.

    Remembers what it has found. An app with hundreds of routes raises an exception in each to answer, and
    whoever is not signed in may make us ask.
    """

    def __init__(self) -> None:
        self._found: WeakKeyDictionary[Starlette, dict[str, str]] = WeakKeyDictionary()

    def path(self, route: PluginRoute, app: object) -> str | None:
        """The path of ``route`` in ``app``; None if it has none."""
        if not isinstance(app, Starlette):
            return None
        found = self._found.setdefault(app, {})
        if route.name not in found:
            try:
                found[route.name] = str(app.url_path_for(route.name))
            except NoMatchFound:
                return None
        return found[route.name]

    def public_paths(self, app: object, *, method: str | None = None) -> Iterator[str]:
        """The paths of those that must work without a session; those of one method, if it is given."""
        for route in PUBLIC_ROUTES:
            if method in (None, route.method) and (path := self.path(route, app)) is not None:
                yield path

    def is_public(self, path: str, method: str, app: object) -> bool:
        """Whether a request for ``path`` is for one that must work without a session."""
        # Most paths are none of ours, and that can be seen without asking the app.
        return path.endswith(_ENDS) and path in self.public_paths(app, method=method)
