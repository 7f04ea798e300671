"""Who may come in: nobody but this machine, and to the console nobody but its own pages and tools (EM-03)."""

import re

from starlette.datastructures import Headers
from starlette.types import Scope

__all__ = ["console_rejection_reason", "rejection_reason"]

_LOOPBACK_HOST = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?", re.IGNORECASE)
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_SITES = frozenset({"same-origin", "none"})


def rejection_reason(scope: Scope) -> str | None:
    """Why a request may not come in at all, or None.

    A page of another site could reach the loopback by rebinding its DNS name, which shows in ``Host``, or
    by posting a form, which browsers mark.
    """
    headers = Headers(scope=scope)
    hosts = headers.getlist("host")
    if len(hosts) != 1 or not _LOOPBACK_HOST.fullmatch(hosts[0]):
        return "The emulator answers only to loopback hosts"
    if scope["method"] not in _SAFE_METHODS and headers.get("sec-fetch-site") == "cross-site":
        return "The emulator takes no cross-site requests"
    return None


def console_rejection_reason(scope: Scope) -> str | None:
    """Why a request may not come into the console, or None. Reading is no different from writing.

    The app under development is of the same site, for a site has no port, and may have holes: what
    browsers say comes from it stays out, too. What says nothing is no browser, but a tool such as curl.
    """
    headers = Headers(scope=scope)
    own = f"{scope.get('scheme', 'http')}://{headers.get('host', '')}"
    sites, origins = headers.getlist("sec-fetch-site"), headers.getlist("origin")
    if set(sites) <= _OWN_SITES and set(origins) <= {own}:
        return rejection_reason(scope)
    return "The console takes no requests from other pages: open it from the address bar"
