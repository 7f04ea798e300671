"""What the headers of a request say of who sent it, and whether it was sent on purpose."""

from starlette.types import Scope

from .cookies import PresentedTokens, SessionCookies

__all__ = ["Presented"]

_SCHEMES = frozenset({"bearer", "basic", "digest", "dpop", "negotiate", "ntlm"})
"""Schemes of an Authorization header that may be named; a bare token would be its own scheme."""

_PURPOSES = frozenset({b"purpose", b"sec-purpose"})


class Presented:
    """The credentials in a request's headers, and whether the request was made on purpose."""

    __slots__ = ("bearer", "is_user_initiated", "scheme", "tokens")

    def __init__(self, cookies: SessionCookies, scope: Scope) -> None:
        authorization: list[bytes] = []
        # Preflights and prefetches are nobody's wish: they must not have effects (RF-13).
        self.is_user_initiated = scope["type"] != "http" or scope["method"] != "OPTIONS"
        for name, value in scope["headers"]:
            if name == b"authorization":
                authorization.append(value)
            elif name in _PURPOSES and b"prefetch" in value.lower():
                self.is_user_initiated = False
        self.bearer, self.scheme = _bearer(authorization)
        self.tokens: PresentedTokens = cookies.read(scope["headers"])


def _bearer(values: list[bytes]) -> tuple[str | None, str]:
    """The bearer token, and the scheme; "" for anything else in the header: a bad token (KD-08, RFC 6750)."""
    if not values:
        return None, "bearer"
    scheme, _, token = values[0].decode("latin-1").partition(" ")
    scheme = scheme.lower() if scheme.lower() in _SCHEMES else "other"
    bad = len(values) > 1 or scheme != "bearer" or not token.isascii()
    bad = bad or any(character <= " " or character == "," for character in token)
    return "" if bad else token, scheme
