"""Ends a connection within a response, for which ASGI has no message."""

from collections.abc import Callable
from typing import cast

from starlette.types import Receive, Scope

__all__ = ["CLOSE_CONNECTION", "close_connection"]

CLOSE_CONNECTION = "fastapi_descope.close_connection"
"""The ASGI extension with which an app closes the connection of its request.

Its value is a function of ``reset``. True sends a TCP reset and drops unsent data; False sends the data and
closes the connection.
"""


async def close_connection(scope: Scope, receive: Receive, *, reset: bool) -> None:
    """Close the connection of this request, and return when it is closed.

    Raises:
        ConnectionResetError: The server does not have the extension, for example in-process: the exception in
            the caller is the closest equivalent of a lost connection.
    """
    close = scope.get("extensions", {}).get(CLOSE_CONNECTION)
    if close is None:
        raise ConnectionResetError("A fault cut the connection")
    cast("Callable[[bool], None]", close)(reset)
    while (await receive())["type"] != "http.disconnect":
        pass  # the rest of the request's body
