"""ASGI scopes for tests that need no request."""

from starlette.types import Scope

__all__ = ["scope_of"]


def scope_of(*hosts: str, scheme: str = "https", **headers: str) -> Scope:
    """Return the scope of a request from this machine; further headers are keywords, with underscores."""
    pairs = [("host", host) for host in hosts]
    pairs += [(name.replace("_", "-"), value) for name, value in headers.items()]
    raw = [(name.encode("ascii"), value.encode("latin-1")) for name, value in pairs]
    client = ("127.0.0.1", 50_000)
    return {"type": "http", "http_version": "1.1", "scheme": scheme, "client": client, "headers": raw}
