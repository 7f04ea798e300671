"""The credentials of a request, and the action of its response on the cookies of the session."""

from dataclasses import dataclass, field
from enum import Enum

__all__ = ["CookieAction", "Credentials"]


@dataclass(frozen=True, slots=True)
class Credentials:
    """The credentials in the headers of one request. Nothing in it is verified, and ``repr`` shows no token.

    Attributes:
        bearer: The bearer token. None without an Authorization header, "" if the header is not a single
            well-formed bearer; ``scheme`` is then the scheme that it has.
        session: The session token in the cookies.
        refresh: The refresh token in the cookies.
        ambiguous: Whether a cookie name came with two different values. There are no cookie tokens then.
        may_refresh: False for requests that must have no effect, such as a prefetch or a preflight.
        scheme: The scheme of the Authorization header.
        cookie_names: The names of the session's cookies that the browser sent, malformed ones and chunks
            included. To end the session, all of them have to be deleted.
        stray_chunks: The names of chunks that are malformed, or belong to no complete token.
        former_names: The names of cookies of earlier settings that the browser sent, chunks included.
        refresh_rivals: The values of the refresh cookie, at most eight, if a cookie name came with two. One
            of them is our own.
        is_prefetch: Whether a browser prefetches the page, and may show it later instead of a new one.
        client: The address of the client, for the limits on access keys, if there is a bearer and the server
            knows the address.
    """

    bearer: str | None = field(default=None, repr=False)
    session: str | None = field(default=None, repr=False)
    refresh: str | None = field(default=None, repr=False)
    ambiguous: bool = False
    may_refresh: bool = True
    scheme: str = "bearer"
    cookie_names: frozenset[str] = frozenset()
    stray_chunks: frozenset[str] = frozenset()
    former_names: frozenset[str] = frozenset()
    refresh_rivals: tuple[str, ...] = field(default=(), repr=False)
    is_prefetch: bool = field(default=False, repr=False)
    client: str | None = field(default=None, repr=False)


class CookieAction(Enum):
    """The action of a response on the cookies of the session."""

    KEEP = "keep"
    WRITE = "write"
    CLEAR = "clear"
    CLEAR_REFRESH = "clear_refresh"
