"""The path of a request, as the app's routes have it and as browsers have it; ``root_path`` is between them.

Servers disagree on whether ``scope["path"]`` begins with ``root_path``: uvicorn puts it there, while an app
that is told of it, ``FastAPI(root_path=...)``, behind a proxy that strips it gets a path without.
"""

from urllib.parse import quote

from starlette.types import Scope

__all__ = ["path_in_app", "path_in_browser", "public_path"]

_AS_IT_STANDS = "/:@!$&'()*+,;="
"""What a path may hold as it stands, beside letters, digits and ``-._~`` (RFC 3986, section 3.3)."""


def path_in_app(scope: Scope, root_path: str | None = None) -> str:
    """The path without ``root_path``, by default the scope's; never ``request.url`` (HP-01)."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "") if root_path is None else root_path
    return path[len(root) :] if root and path.startswith(root + "/") else path


def path_in_browser(path: str, root_path: str) -> str:
    """A path of the app as it stands in an address, and as no browser takes it for another site's (RT-15).

    An app under a mount with a parameter has a ``root_path`` that whoever sends the request can choose.
    """
    quoted = quote(root_path + path, safe=_AS_IT_STANDS)
    return f"/%2F{quoted[2:]}" if quoted.startswith("//") else quoted


def public_path(address: str, root_path: str) -> str:
    """An address within the app, which has its escapes already and may have a query, as browsers have it."""
    return path_in_browser("", root_path.rstrip("/")) + address
