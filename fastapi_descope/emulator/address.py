"""Where the emulator is reached: at the root of an origin, or behind the prefix of a mount."""

from starlette.requests import Request
from starlette.types import Scope

__all__ = ["at_one_slash", "path_of", "url_of"]


def _prefix(scope: Scope) -> str:
    root: str = scope.get("root_path", "")
    return root if root and scope["path"].startswith(f"{root}/") else ""


def path_of(scope: Scope) -> str:
    """The path of a request behind the prefix, by which the emulator knows its endpoints."""
    path: str = scope["path"]
    return path.removeprefix(_prefix(scope))


def at_one_slash(scope: Scope) -> Scope:
    """The request with one slash before its path: with a base URL that ends in one, an SDK sends two."""
    return {**scope, "path": f"{_prefix(scope)}/{path_of(scope).lstrip('/')}"}


def url_of(request: Request, path: str) -> str:
    """The URL of one of the emulator's paths, on the origin and behind the prefix that a request went to."""
    return str(request.url.replace(path=_prefix(request.scope) + path, query=""))
