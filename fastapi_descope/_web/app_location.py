"""The plugin's routes by name and path, and where an app has them.

A path exists in two forms: as the app's routes have it, and as browsers have it. The difference is
``root_path``. Servers disagree on whether ``scope["path"]`` begins with it: uvicorn puts it there, but an app
with ``FastAPI(root_path=...)`` behind a proxy that strips the prefix gets a path without it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote
from weakref import WeakKeyDictionary

from starlette.applications import Starlette
from starlette.routing import NoMatchFound
from starlette.types import Scope

from .._config.login_methods import social_providers

__all__ = [
    "CALLBACK",
    "FIXED_ROUTES",
    "HANDOVER",
    "LOGIN",
    "LOGIN_PAGE",
    "LOGOUT",
    "LOGOUT_ALL",
    "MAGIC_LINK",
    "MAGIC_LINK_PAGE",
    "MAGIC_LINK_VERIFY",
    "NOTP",
    "NOTP_SESSION",
    "NOTP_START",
    "SOCIAL_NAME",
    "AppLocation",
    "PluginRoute",
    "RouteFinder",
    "entry_route",
    "path_in_app",
    "path_in_browser",
    "public_path",
    "sibling_path",
    "social_route",
]


@dataclass(frozen=True, slots=True)
class PluginRoute:
    """A route of the plugin's router: its name, its path below any prefix, and its method."""

    name: str
    path: str
    method: str


LOGIN = PluginRoute("descope_login", "/login/sso", "GET")
LOGIN_PAGE = PluginRoute("descope_login_page", "/login", "GET")
CALLBACK = PluginRoute("descope_callback", "/callback", "GET")
LOGOUT = PluginRoute("descope_logout", "/logout", "POST")
LOGOUT_ALL = PluginRoute("descope_logout_all", "/logout/all", "POST")

NOTP = PluginRoute("descope_notp", "/login/notp", "GET")
NOTP_START = PluginRoute("descope_notp_start", "/login/notp", "POST")
NOTP_SESSION = PluginRoute("descope_notp_session", "/login/notp/session", "POST")

# ML-01
MAGIC_LINK = PluginRoute("descope_magic_link", "/login/magiclink", "POST")
MAGIC_LINK_PAGE = PluginRoute("descope_magic_link_page", "/login/magiclink/verify", "GET")
MAGIC_LINK_VERIFY = PluginRoute("descope_magic_link_verify", "/login/magiclink/verify", "POST")

HANDOVER = PluginRoute("descope_handover", "/login/session", "POST")

_ROUTES_BY_METHOD: Mapping[str, tuple[PluginRoute, ...]] = {
    "sso": (LOGIN,),
    "magiclink": (MAGIC_LINK, MAGIC_LINK_PAGE, MAGIC_LINK_VERIFY),
    "notp": (NOTP, NOTP_START, NOTP_SESSION),
    "flow": (HANDOVER,),
}

FIXED_ROUTES = (
    LOGIN_PAGE,
    CALLBACK,
    LOGOUT,
    LOGOUT_ALL,
    *(route for routes in _ROUTES_BY_METHOD.values() for route in routes),
)
"""All routes that must work without a session, except those of social logins. An app has some of them."""

SOCIAL_NAME = "descope_login_oauth_"
"""The names of the routes of social logins, up to the provider."""

_PATH_CHARACTERS = "/:@!$&'()*+,;="
"""Characters of a path that are not escaped, besides letters, digits and ``-._~`` (RFC 3986, section 3.3)."""


def social_route(provider: str) -> PluginRoute:
    """Return the route that starts a login at a provider: one for each, so that all other paths are 404."""
    return PluginRoute(f"{SOCIAL_NAME}{provider}", f"/login/oauth/{provider}", "GET")


def entry_route(login_methods: Sequence[str]) -> PluginRoute:
    """Return the route that users without a session are sent to: the page, unless SSO is the only way on it.

    A flow is on a page of the app.
    """
    return LOGIN if set(login_methods) - {"flow"} == {"sso"} else LOGIN_PAGE


def _public_routes(login_methods: Sequence[str]) -> Iterator[PluginRoute]:
    """Yield the routes that must work without a session. ``protect`` leaves them public."""
    yield from (CALLBACK, LOGOUT, LOGOUT_ALL)
    if (entry := entry_route(login_methods)) is not LOGIN:
        yield entry
    for method in login_methods:
        yield from _ROUTES_BY_METHOD.get(method, ())
    yield from map(social_route, social_providers(login_methods))


class RouteFinder:
    """Finds the plugin's routes in apps, and caches their paths.

    In an app with hundreds of routes a look-up raises an exception for each of them, and unauthenticated
    requests cause look-ups. ``login_methods`` and ``login_path`` are those of the settings.

    Attributes:
        entry: The route that users without a session are sent to.
        login_path: The path of the app that they are sent to instead, or None.
        suffixes: Suffixes of the paths of the routes that work without a session. Their queries contain
            codes, states and e-mail addresses.
    """

    def __init__(self, login_methods: Sequence[str] = ("sso",), login_path: str | None = None) -> None:
        self.login_path = login_path
        self.entry = entry_route(login_methods)
        self._public = tuple(_public_routes(login_methods))
        self.suffixes = tuple({route.path for route in self._public})
        self._paths: WeakKeyDictionary[Starlette, dict[str, str]] = WeakKeyDictionary()

    def path(self, route: PluginRoute, app: object) -> str | None:
        """Return the path of a route in ``app``, without ``root_path``; None if the app does not have it."""
        if not isinstance(app, Starlette):
            return None
        paths = self._paths.setdefault(app, {})
        if route.name not in paths:
            try:
                paths[route.name] = str(app.url_path_for(route.name))
            except NoMatchFound:
                return None
        return paths[route.name]

    def public_paths(self, app: object, *, method: str | None = None) -> Iterator[str]:
        """Yield the paths of the public routes in ``app``, of all methods or of one."""
        for route in self._public:
            if method in (None, route.method) and (path := self.path(route, app)) is not None:
                yield path


@dataclass(slots=True, eq=False)
class AppLocation:
    """The app that serves a request: where it is mounted, and where it has the plugin's routes.

    ``parent`` is the location of the app that this one is mounted in.
    """

    app: object
    root_path: str
    _finder: RouteFinder
    _parent: "AppLocation | None" = None
    _login_app: "AppLocation | None" = None

    def inside(self, parent: "AppLocation") -> "AppLocation":
        """Return the location of this app as one that is mounted in another app."""
        return AppLocation(self.app, self.root_path, self._finder, parent)

    @property
    def login_app(self) -> "AppLocation":
        """The app in which users log in: this one, or the outer app if this is mounted and has no login."""
        if self._parent is None:
            return self
        if self._login_app is None:
            has_login = self.path_of(CALLBACK) is not None
            self._login_app = self if has_login else self._parent.login_app
        return self._login_app

    @property
    def public_paths(self) -> frozenset[str]:
        """The paths of the public routes, ``root_path`` included. To redirect to one after a login loops."""
        return frozenset(self.root_path + path for path in self._finder.public_paths(self.app))

    def path_of(self, route: PluginRoute) -> str | None:
        """Return the path of a route, without ``root_path``; None if the app does not have it."""
        return self._finder.path(route, self.app)

    def path_in_browser(self, route: PluginRoute) -> str | None:
        """Return the path of a route as browsers have it; None if the app does not have it."""
        path = self.path_of(route)
        return None if path is None else path_in_browser(path, self.root_path)

    @property
    def starts_login(self) -> bool:
        """Whether the login at ``entry_path`` starts at once, and not on a page."""
        return self._finder.entry is LOGIN and self._finder.login_path is None

    @property
    def entry_path(self) -> str | None:
        """The path of the login that users without a session are sent to, as browsers have it."""
        own = self._finder.login_path
        if own is None or self.path_of(CALLBACK) is None:
            return self.path_in_browser(self._finder.entry)
        return public_path(own, self.root_path)

    def is_public_route(self, scope: Scope) -> bool:
        """Return whether a request is for one of the plugin's routes that must work without a session."""
        path = path_in_app(scope, self.root_path)
        if not path.endswith(self._finder.suffixes):  # most paths, and then the app need not be searched
            return False
        return path in self._finder.public_paths(self.app, method=scope.get("method", ""))


def path_in_app(scope: Scope, root_path: str | None = None) -> str:
    """Return the path of a request without ``root_path``, by default that of the scope.

    It is never taken from ``request.url``, which is built from the ``Host`` header (HP-01).
    """
    path: str = scope["path"]
    root: str = scope.get("root_path", "") if root_path is None else root_path
    return path[len(root) :] if root and path.startswith(root + "/") else path


def path_in_browser(path: str, root_path: str) -> str:
    """Return a path of the app, escaped, as the path of a URL that no browser takes for another host (RT-15).

    The client can choose the ``root_path`` of an app that is mounted at a path with a parameter.
    """
    quoted = quote(root_path + path, safe=_PATH_CHARACTERS)
    return f"/%2F{quoted[2:]}" if quoted.startswith("//") else quoted


def public_path(path: str, root_path: str) -> str:
    """Return a path of the app that is escaped already and may have a query, as browsers have it."""
    return path_in_browser("", root_path.rstrip("/")) + path


def sibling_path(scope: Scope, own: PluginRoute, route: PluginRoute) -> str:
    """Return the public path of a route of the router. ``own`` is the route that the request is for."""
    prefix = path_in_app(scope).removesuffix(own.path)
    return path_in_browser(prefix + route.path, scope.get("root_path", ""))
