"""The parameters of OAuth requests, client authentication, and PKCE with S256 (RFC 6749, RFC 7636)."""

import binascii
import hmac
import re
from base64 import b64decode, urlsafe_b64encode
from hashlib import sha256
from typing import cast
from urllib.parse import parse_qsl, unquote_plus

from starlette.datastructures import ImmutableMultiDict
from starlette.requests import Request

from ..api_errors import ApiError, OAuthError
from .request_parsing import json_object, read_body

__all__ = ["Parameters", "challenge_matches", "client_credentials", "is_challenge", "read_parameters"]

Parameters = ImmutableMultiDict[str, str]

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")


async def read_parameters(request: Request) -> Parameters:
    """Return the parameters of a request: from the query, or from the form or the JSON of a POST.

    Raises:
        ApiError: The body is too large.
        OAuthError: The body is JSON, but not an object of strings and lists of strings.
    """
    if request.method != "POST":
        return request.query_params
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        return ImmutableMultiDict(parse_qsl((await read_body(request)).decode("utf-8", "replace")))
    try:
        body = await json_object(request)
    except ApiError as error:
        raise OAuthError("invalid_request", error.message) from None
    return ImmutableMultiDict([(name, text) for name, value in body.items() for text in _texts(name, value)])


def _texts(name: str, value: object) -> list[str]:
    values = cast("list[object]", value) if isinstance(value, list) else [value]
    texts = [each for each in values if isinstance(each, str)]
    if len(texts) != len(values):
        raise OAuthError("invalid_request", f"{name} must be a string")
    return texts


def client_credentials(request: Request, parameters: Parameters) -> tuple[str, str]:
    """Return the client id and the secret of a request, from HTTP Basic or from the parameters.

    Raises:
        OAuthError: The header is not HTTP Basic with both parts (``invalid_client``).
    """
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return parameters.get("client_id", ""), parameters.get("client_secret", "")
    try:
        client_id, colon, secret = b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        colon = client_id = secret = ""
    if not colon:
        raise OAuthError("invalid_client", "The Authorization header is malformed")
    return unquote_plus(client_id), unquote_plus(secret)


def is_challenge(parameters: Parameters) -> bool:
    """Return whether an authorization request has a challenge with S256."""
    is_s256 = parameters.get("code_challenge_method") == "S256"
    return is_s256 and _CHALLENGE.fullmatch(parameters.get("code_challenge", "")) is not None


def challenge_matches(challenge: str, verifier: str) -> bool:
    """Return whether a verifier is the one of a challenge. Compares in constant time."""
    digest = sha256(verifier.encode()).digest()
    return hmac.compare_digest(urlsafe_b64encode(digest).rstrip(b"="), challenge.encode())
