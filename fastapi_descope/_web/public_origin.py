"""The app's own origin: ``DESCOPE_PUBLIC_URL``, or the request's ``Host`` in development.

Without ``DESCOPE_PUBLIC_URL`` the app is in development mode: the origin is inferred for requests that come
from this machine and through no proxy. The values of ``X-Forwarded-*`` headers are never read (HP-01). A
server that trusts its proxy sets scheme and client in the ASGI scope. A ``Host`` that is not plainly loopback
is ignored (HP-05).
"""

from starlette.datastructures import Headers
from starlette.types import Scope

from .._config.origin import Origin
from ..errors import ConfigurationError
from ..settings import DescopeSettings

__all__ = ["PublicOrigin"]

_BROWSER_VERSIONS = frozenset({"1.1", "2", "2.0", "3", "3.0"})

_FORWARDING = frozenset(
    {
        *("forwarded", "via", "x-real-ip", "x-client-ip", "x-cluster-client-ip", "true-client-ip"),
        *("x-scheme", "x-url-scheme", "front-end-https", "x-rewrite-url"),
    }
)
"""Headers that a proxy adds and no browser sends."""

_FORWARDING_PREFIXES = ("x-forwarded", "x-original-", "x-envoy-", "x-azure-", "x-arr-", "cf-", "fastly-")

_HTTP_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}


class PublicOrigin:
    """The origin at which browsers reach the app: ``scheme://host[:port]``, without a trailing slash."""

    def __init__(self, settings: DescopeSettings) -> None:
        self._configured = settings.public_url
        self._public = Origin.parse(settings.public_url or "")

    def get(self, scope: Scope) -> str | None:
        """Return the origin, or None if it is neither configured nor inferred."""
        if self._configured is not None:
            return self._configured
        inferred = _loopback_origin(scope)
        return None if inferred is None else str(inferred)

    def require(self, scope: Scope) -> str:
        """Return the origin.

        Raises:
            ConfigurationError: ``DESCOPE_PUBLIC_URL`` is not set, and the request is not from this machine.
        """
        origin = self.get(scope)
        if origin is None:  # ST-03
            raise ConfigurationError(
                "Set DESCOPE_PUBLIC_URL to the address that browsers use, such as https://app.example.com."
                " Without it, only requests of this machine that come through no proxy are served"
            )
        return origin

    def is_loopback_request(self, scope: Scope) -> bool:
        """Return whether a client of this machine sent the request, and no proxy is visible.

        A proxy on this machine can be invisible, so only help for developers may depend on it.
        """
        return _loopback_origin(scope) is not None

    def is_other_local_server(self, scope: Scope) -> bool:
        """Return whether ``Host`` names this machine, but not the server of ``DESCOPE_PUBLIC_URL``.

        Loopback names with one port reach one server, as ``localhost:8000`` and ``127.0.0.1:8000`` do.
        """
        public, requested = self._public, _requested_origin(Headers(raw=scope["headers"]))
        if requested is None or not requested.is_loopback:
            return False
        return public is None or not public.is_loopback or requested.port != public.port

    def is_other_host(self, scope: Scope) -> bool:
        """Return whether ``Host`` names another host than ``DESCOPE_PUBLIC_URL``, or another loopback port.

        Other ports do not count, nor does a missing one. A proxy may have replaced the header, so no security
        decision may depend on it.
        """
        public, requested = self._public, _requested_origin(Headers(raw=scope["headers"]))
        if public is None or requested is None:
            return False
        is_other_port = public.is_loopback and requested.port not in {None, public.port}
        return requested.host != public.host or is_other_port


def _loopback_origin(scope: Scope) -> Origin | None:
    """Return the origin that the request's ``Host`` names, if a client of this machine sent the request."""
    headers = Headers(raw=scope["headers"])
    scheme = _HTTP_SCHEMES.get(scope.get("scheme", "http"))
    if scheme is None or not _is_direct(scope, headers):
        return None
    origin = _requested_origin(headers, scheme)
    return origin if origin is not None and origin.is_loopback else None


def _requested_origin(headers: Headers, scheme: str = "http") -> Origin | None:
    """Return the origin that ``Host`` names, or None unless it occurs exactly once and is valid."""
    hosts = headers.getlist("host")
    return Origin.parse(f"{scheme}://{hosts[0]}") if len(hosts) == 1 else None


def _is_direct(scope: Scope, headers: Headers) -> bool:
    """Return whether the client is on this machine, and the request has no trace of a proxy.

    nginx with a bare ``proxy_pass`` replaces ``Host`` by a loopback address and speaks HTTP/1.0, unlike
    browsers. Of forwarding headers only the presence counts.
    """
    if scope.get("http_version", "1.1") not in _BROWSER_VERSIONS:
        return False
    address: str = (scope.get("client") or ("", 0))[0]
    client = Origin.parse(f"http://[{address}]" if ":" in address else f"http://{address}")
    if client is None or not client.is_loopback:
        return False
    return not any(name in _FORWARDING or name.startswith(_FORWARDING_PREFIXES) for name in headers)
