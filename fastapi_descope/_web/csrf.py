"""Cross-origin protection for requests and WebSockets that cookies authenticate."""

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.types import Scope

from ..settings import DescopeSettings
from .public_origin import PublicOrigin

__all__ = ["SAFE_METHODS", "CrossOriginProtection"]

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class CrossOriginProtection:
    """Decides which requests may use the session cookies.

    The rule is that of Go 1.25's ``http.CrossOriginProtection``, except that the scheme of an origin counts
    too (CS-01). A sibling domain is a foreign origin (CS-02). The method is that of the request line (CS-03),
    and every method outside ``GET``, ``HEAD`` and ``OPTIONS`` is unsafe (CS-04). ``Host`` proves nothing
    (CS-06). A client that sends neither ``Sec-Fetch-Site`` nor ``Origin`` is not a browser and passes.
    """

    def __init__(self, settings: DescopeSettings) -> None:
        self._public_origin = PublicOrigin(settings)
        self._trusted = frozenset(settings.trusted_origins)

    def is_allowed(self, scope: Scope) -> bool:
        """Return whether an HTTP request or WebSocket may be authenticated by cookies."""
        if scope["type"] == "http" and scope["method"] in SAFE_METHODS:
            return True
        headers = Headers(raw=list(scope["headers"]))
        origins = headers.getlist("origin")
        if scope["type"] == "websocket":  # browsers always send Origin here, so its absence refuses (WS-01)
            return self._is_own_or_trusted(origins, scope)
        sites = headers.getlist("sec-fetch-site")
        if len(sites) > 1 or len(origins) > 1:
            return False
        if sites:
            return sites[0] in ("same-origin", "none") or self._is_trusted(origins)
        return not origins or self._is_own_or_trusted(origins, scope)

    # HO-01
    def is_same_origin(self, scope: Scope) -> bool:
        """Return whether a request was sent by a page of the app's own origin, or by no browser.

        Stricter than ``is_allowed``: trusted origins do not count.
        """
        headers = Headers(raw=list(scope["headers"]))
        sites, origins = headers.getlist("sec-fetch-site"), headers.getlist("origin")
        is_own = not origins or (len(origins) == 1 and origins[0] == self._public_origin.get(scope))
        return is_own and sites in ([], ["same-origin"])

    def _is_trusted(self, origins: Sequence[str]) -> bool:
        return len(origins) == 1 and origins[0] in self._trusted

    def _is_own_or_trusted(self, origins: Sequence[str], scope: Scope) -> bool:
        own = len(origins) == 1 and origins[0] == self._public_origin.get(scope)
        return own or self._is_trusted(origins)
