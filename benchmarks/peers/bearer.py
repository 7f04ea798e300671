"""The bearer token of a request. FastAPI's security classes would cost another dependency."""

from fastapi import HTTPException, Request

__all__ = ["bearer_token", "unauthorized"]


def bearer_token(request: Request) -> str:
    """Return the token of the ``Authorization`` header.

    Raises:
        HTTPException: 401, if the request has none.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise unauthorized()
    return token


def unauthorized() -> HTTPException:
    """Return a 401 with a challenge."""
    return HTTPException(401, headers={"WWW-Authenticate": "Bearer"})
