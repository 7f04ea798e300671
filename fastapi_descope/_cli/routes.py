"""The ``routes`` command: print the route table of an app, and report unprotected routes."""

import shlex
from collections.abc import Iterable

import typer
from starlette.applications import Starlette

from .._web.routes.table import RouteTable

__all__ = ["print_routes"]


def print_routes(app: Starlette, *, check: bool, public: Iterable[str], public_docs: bool) -> bool:
    """Print the route table and, with ``check``, an error for each unprotected route.

    ``public`` lists the paths that may be public; ``/*`` at the end of one includes all paths below it.
    With ``public_docs`` FastAPI's own documentation may be public too.

    Returns:
        Whether the check passed. True without ``check``.
    """
    table = RouteTable(app)
    typer.echo(str(table))
    unprotected = table.unprotected(public, public_docs=public_docs) if check else ()
    for row in unprotected:
        flag = "--public-docs" if row.is_documentation else f"--public {shlex.quote(row.path)}"
        typer.echo(
            f"Error: {','.join(row.methods)} {row.path} requires no session; protect it, or add {flag}",
            err=True,
        )
    return not unprotected
