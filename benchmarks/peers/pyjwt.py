"""PyJWT in a dependency: with one fixed key, and with its key client as its documentation shows."""

from collections.abc import Callable
from typing import cast

import jwt
from fastapi import FastAPI, Request

from .bearer import bearer_token, unauthorized
from .claims_app import claims_app
from .tokens import PROJECT, Tokens

__all__ = ["with_fixed_key", "with_key_client"]


class _KeyClient(jwt.PyJWKClient):
    """Gets the key set from memory where its base class calls an endpoint."""

    def __init__(self, tokens: Tokens) -> None:
        super().__init__("https://keys.example/jwks")
        self._key_set = {"keys": [dict(key) for key in tokens.keys]}

    def fetch_data(self) -> dict[str, list[dict[str, str]]]:
        """Return the key set."""
        return self._key_set


def with_fixed_key(tokens: Tokens) -> FastAPI:
    """Return an app that has the only key at hand: the least that PyJWT can cost."""
    (key,) = (jwt.PyJWK(dict(key)) for key in tokens.keys)
    return _app(lambda _: key)


def with_key_client(tokens: Tokens) -> FastAPI:
    """Return an app that finds the key by the ``kid`` of the token, as it must if keys are rotated."""
    return _app(_KeyClient(tokens).get_signing_key_from_jwt)


def _app(find_key: Callable[[str], jwt.PyJWK]) -> FastAPI:
    async def claims(request: Request) -> dict[str, object]:
        token = bearer_token(request)
        try:
            claims = jwt.decode(
                token,
                find_key(token),
                algorithms=["RS256"],
                audience=PROJECT,
                issuer=PROJECT,
                options={"require": ["exp", "iat", "sub"]},
            )
        except jwt.PyJWTError:
            raise unauthorized() from None
        return cast("dict[str, object]", claims)

    return claims_app(claims)
