"""The app's own origin: ``DESCOPE_PUBLIC_URL``, or the request's ``Host`` on loopback.

``X-Forwarded-*`` headers are never read (HP-01). A server that trusts its proxy sets scheme and client in the
ASGI scope. A ``Host`` that is not plainly loopback is ignored (HP-05).
"""

from starlette.datastructures import Headers
from starlette.types import Scope

from .._config.origin import Origin
from ..errors import ConfigurationError
from ..settings import DescopeSettings

__all__ = ["PublicOrigin"]

_HTTP_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}


class PublicOrigin:
    """The origin at which browsers reach the app: ``scheme://host[:port]``, without a trailing slash."""

    def __init__(self, settings: DescopeSettings) -> None:
        self._configured = settings.public_url

    def get(self, scope: Scope) -> str | None:
        """Return the origin, or None if it is neither configured nor loopback."""
        if self._configured is not None:
            return self._configured
        inferred = _loopback_origin(scope)
        return None if inferred is None else str(inferred)

    def require(self, scope: Scope) -> str:
        """Return the origin.

        Raises:
            ConfigurationError: ``DESCOPE_PUBLIC_URL`` is not set and ``Host`` is not loopback.
        """
        origin = self.get(scope)
        if origin is None:  # ST-03
            raise ConfigurationError(
                "Set DESCOPE_PUBLIC_URL to the address that browsers use, such as https://app.example.com"
            )
        return origin

    def is_loopback_request(self, scope: Scope) -> bool:
        """Return whether the client's address and ``Host`` are both loopback.

        A proxy on this machine that hides both looks the same, so only help for developers may depend on it.
        """
        client = scope.get("client")
        if not client:
            return False
        host = f"[{client[0]}]" if ":" in client[0] else client[0]
        origin = Origin.parse(f"http://{host}")
        return origin is not None and origin.is_loopback and _loopback_origin(scope) is not None

    def is_other_host(self, scope: Scope) -> bool:
        """Return whether ``Host`` names another host than ``DESCOPE_PUBLIC_URL``. Ports do not count.

        A proxy may have replaced the header, so only log messages may depend on it.
        """
        hosts = Headers(raw=scope["headers"]).getlist("host")
        public = Origin.parse(self._configured or "")
        requested = Origin.parse(f"http://{hosts[0]}") if len(hosts) == 1 else None
        return public is not None and requested is not None and requested.host != public.host


def _loopback_origin(scope: Scope) -> Origin | None:
    """Return the origin that the request's ``Host`` names, if it is loopback."""
    hosts = Headers(raw=scope["headers"]).getlist("host")
    scheme = _HTTP_SCHEMES.get(scope.get("scheme", "http"))
    if scheme is None or len(hosts) != 1:
        return None
    origin = Origin.parse(f"{scheme}://{hosts[0]}")
    return origin if origin is not None and origin.is_loopback else None
