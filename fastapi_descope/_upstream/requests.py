"""The query strings and JSON bodies of requests to Descope."""

import json
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import quote, urlencode

from ..errors import BadRequest, ConfigurationError

__all__ = ["json_bytes", "query_string"]

_MAX_QUERY_CHARACTERS = 8192


def query_string(query: Mapping[str, str]) -> str:
    """Return the query of a URL, with its question mark.

    Raises:
        BadRequest: it is too long. Its values come from a client.
    """
    text = urlencode(query, quote_via=quote, safe="", errors="replace")
    if len(text) > _MAX_QUERY_CHARACTERS:
        raise BadRequest
    return f"?{text}"


def json_bytes(body: Mapping[str, object]) -> bytes:
    """Return a body as JSON.

    Raises:
        ConfigurationError: it has values that JSON cannot express, which only claims of the app can be.
    """
    with suppress(TypeError, ValueError, RecursionError):
        # ASCII only: UTF-8 cannot encode a lone surrogate in a code or a tenant.
        return json.dumps(body, separators=(",", ":"), allow_nan=False).encode("ascii")
    raise ConfigurationError("The custom claims of LoginOptions are not JSON")
