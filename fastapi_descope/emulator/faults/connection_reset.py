"""Ending a connection without a proper answer, which ASGI itself has no message for."""

from collections.abc import Callable
from typing import cast

from starlette.types import Receive, Scope

__all__ = ["CLOSE_CONNECTION", "close_connection"]

CLOSE_CONNECTION = "fastapi_descope.hang_up"
"""The ASGI extension by which a server lets an app end the connection of a request.

Its value is called with ``reset``: True drops the connection by a TCP reset, and what was not sent yet with
it; False sends that first, and then closes.
"""


async def close_connection(scope: Scope, receive: Receive, *, reset: bool) -> None:
    """End the connection of this request; returns when it is gone.

    Raises ConnectionResetError where the server has no such extension, as in-process: there the caller
    gets the exception, and that is as much of a lost connection as it can notice.
    """
    offered = scope.get("extensions", {}).get(CLOSE_CONNECTION)
    if offered is None:
        raise ConnectionResetError("A fault cut the connection")
    cast("Callable[[bool], None]", offered)(reset)
    while (await receive())["type"] != "http.disconnect":
        pass  # the rest of a body that was on its way
