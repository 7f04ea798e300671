"""Where a browser may be redirected after a login, a tenant switch or a logout."""

import re
from collections.abc import Container
from urllib.parse import unquote

from starlette.types import Scope

from ..events import RedirectRejected
from ..settings import DescopeSettings
from .public_origin import PublicOrigin

__all__ = ["MAX_RETURN_TO", "RedirectPolicy"]

MAX_RETURN_TO = 1_024
"""The longest redirect target, in characters (RT-11): all logins of one browser share 4 KB of cookies."""

# An allow-list: a target that is not plainly a path is rejected, never repaired. It excludes a second slash
# (RT-01, RT-08), a backslash (RT-02), characters that browsers strip (RT-03), other schemes (RT-05), line
# breaks (RT-09) and non-ASCII (RT-10). An accepted target is sent in Location byte for byte (RT-15).

# One character of a path segment (RFC 3986, pchar), without the escapes that a later decoding would
# turn into "/", "\", "%" or a control character (RT-06, RT-12).
_PCHAR = r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@]|%(?!2[Ff5]|5[Cc]|[01]|7[Ff])[0-9A-Fa-f]{2})"
_ESCAPED = re.compile(r"%(?:2[Ff5]|5[Cc])")
# Neither ``.`` nor ``..``, encoded or not (RT-07), nor with parameters, which Tomcat ignores: ``/..;/admin``.
_NO_DOT_SEGMENT = r"(?!(?:\.|%2[Ee]){1,2}(?:[/?#;]|%3[Bb]|\Z))"
_SEGMENT = f"{_NO_DOT_SEGMENT}{_PCHAR}+"
# Query and fragment: every character that browsers do not rewrite, which is more than RFC 3986 allows.
_TAIL = r"[A-Za-z0-9\-._~!$&'()*+,;=:@/?%\[\]{}|^`]*"
_ABSOLUTE = re.compile(r"https?://[a-z0-9._:\[\]-]+")
_LOCAL = re.compile(rf"(?P<path>/(?:{_SEGMENT}(?:/{_SEGMENT})*/?)?)(?:\?{_TAIL})?(?:\#{_TAIL})?")


class RedirectPolicy:
    """Decides which redirect targets are safe: paths of the app, and URLs of its own or trusted origins."""

    def __init__(self, settings: DescopeSettings) -> None:
        self._public_origin = PublicOrigin(settings)
        self._trusted = frozenset(settings.trusted_origins)

    def rejection(self, target: str | None) -> RedirectRejected:
        """Return the event of a target that ``safe_redirect`` has rejected."""
        if target is not None and len(target) > MAX_RETURN_TO:
            return RedirectRejected("too_long")
        path = (target or "").partition("?")[0]
        return RedirectRejected("encoded" if _ESCAPED.search(path) else "unsafe")

    def safe_redirect(
        self, target: str | None, scope: Scope, *, forbidden: Container[str] = ()
    ) -> str | None:
        """Return ``target`` unchanged if it is safe to redirect a browser there, else None.

        An absolute URL is safe only if its origin is exactly the app's own or a trusted one (RT-04).
        ``forbidden`` are paths of the app that would cause a redirect loop (RT-13). They are compared with
        the decoded path, with and without trailing slashes.
        """
        if target is None or len(target) > MAX_RETURN_TO:  # RT-11
            return None
        absolute = _ABSOLUTE.match(target)
        origin = absolute[0] if absolute else ""
        local = _LOCAL.fullmatch(target[len(origin) :] or ("/" if origin else ""))
        own = not origin or origin == self._public_origin.get(scope)
        if local is None or not (own or origin in self._trusted):
            return None
        return None if own and _is_listed(unquote(local["path"]), forbidden) else target


def _is_listed(path: str, paths: Container[str]) -> bool:
    return path in paths or path.rstrip("/") in paths
