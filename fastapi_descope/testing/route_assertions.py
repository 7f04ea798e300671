"""Assertions about the routes of an app."""

from collections.abc import Collection, Iterator

from starlette.applications import Starlette

from .._web.routes.table import RouteTable

__all__ = ["assert_all_routes_protected"]


def assert_all_routes_protected(
    app: Starlette, *, public: Collection[str] = (), public_docs: bool = False
) -> None:
    """Assert that every route of an app requires a session, or is public on purpose.

    The plugin's own routes, and endpoints marked with ``@public``, may be public. Routes of mounted apps and
    WebSockets are checked too. Checks in the code of a handler are not found.

    Args:
        app: The app. It need not be started.
        public: The paths of routes that may be public, as the app declares them. One that ends in ``/*``
            includes all paths below it.
        public_docs: Whether FastAPI's OpenAPI document and its pages may be public.

    Raises:
        AssertionError: A route is unprotected, or no public route has a path of ``public``. The message lists
            them and says what to do.
    """
    table = RouteTable(app)
    problems = [*_unprotected(table, public, public_docs=public_docs), *_unused(table, public)]
    if problems:
        raise AssertionError("\n".join(problems))


def _unprotected(table: RouteTable, public: Collection[str], *, public_docs: bool) -> Iterator[str]:
    rows = table.unprotected(public, public_docs=public_docs)
    if rows:
        yield "These routes require no session:"
    for row in rows:
        yield f"    {','.join(row.methods)} {row.path}"
    if rows:
        docs = ", or pass public_docs=True" if any(row.is_documentation for row in rows) else ""
        yield f"Protect them, mark the endpoints with @public, or add the paths to public={{...}}{docs}."


def _unused(table: RouteTable, public: Collection[str]) -> Iterator[str]:
    for path in table.unused(public):
        yield f"No public route has the path {path!r}: remove it from public={{...}}."
