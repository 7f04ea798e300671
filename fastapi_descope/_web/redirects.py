"""What is trusted across sites: where a browser may be sent, and who may send a request.

Every decision compares with the configuration, or, on loopback alone, with the request's own ``Host``.
``X-Forwarded-*`` is never read (HP-01): a server that trusts its proxy says so in the ASGI scope. A
``Host`` that is not plainly this machine is nobody's (HP-05).
"""

import re
from collections.abc import Container, Iterable
from urllib.parse import unquote

from starlette.types import Scope

from .._config.origin import Origin
from ..errors import ConfigurationError
from ..settings import DescopeSettings

__all__ = ["MAX_RETURN_TO", "Origins"]

MAX_RETURN_TO = 1_024
"""Characters of a return path (RT-11): the logins of one browser share 4 KB of cookies."""

Headers = Iterable[tuple[bytes, bytes]]

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_HTTP_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}

# An allow-list, so that what is not plainly a path is refused, not repaired: a second slash (RT-01, RT-08), a
# backslash (RT-02), what browsers strip (RT-03), another scheme (RT-05), header lines (RT-09) and all that
# is not ASCII (RT-10). What passes stands in the Location header byte for byte (RT-15).

# One character of a path segment (RFC 3986, pchar), without the escapes that some later reader would
# turn into "/", "\", "%" or a control character (RT-06, RT-12).
_PCHAR = r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@]|%(?!2[Ff5]|5[Cc]|[01]|7[Ff])[0-9A-Fa-f]{2})"
# Neither ``.`` nor ``..``, encoded or not (RT-07).
_NO_DOT_SEGMENT = r"(?!(?:\.|%2[Ee]){1,2}(?:[/?#]|\Z))"
_SEGMENT = f"{_NO_DOT_SEGMENT}{_PCHAR}+"
# Query and fragment: what browsers leave as it is, so more than RFC 3986 has.
_TAIL = r"[A-Za-z0-9\-._~!$&'()*+,;=:@/?%\[\]{}|^`]*"
_ABSOLUTE = re.compile(r"https?://[a-z0-9._:\[\]-]+")
_LOCAL = re.compile(rf"(?P<path>/(?:{_SEGMENT}(?:/{_SEGMENT})*/?)?)(?:\?{_TAIL})?(?:\#{_TAIL})?")


def _values(headers: Headers, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in headers if key == name]


def _is_one_of(origins: list[str], accepted: frozenset[str]) -> bool:
    return len(origins) == 1 and origins[0] in accepted


class Origins:
    """The app's own origin, and the other ones it trusts."""

    def __init__(self, settings: DescopeSettings) -> None:
        self._public = settings.public_url
        self._trusted = frozenset(settings.trusted_origins)
        self._secure = settings.cookie_secure
        if self._secure is None and self._public is not None:
            self._secure = self._public.startswith("https://")

    def public_origin(self, scope: Scope) -> str:
        """Where browsers reach the app: ``scheme://host[:port]``, without a slash at the end.

        That is ``DESCOPE_PUBLIC_URL``. Where it is not set, a loopback ``Host`` is believed; for any
        other raises ``ConfigurationError`` (ST-03).
        """
        origin = self._own(scope)
        if origin is None:
            raise ConfigurationError(
                "Set DESCOPE_PUBLIC_URL to the address that browsers use, such as https://app.example.com"
            )
        return origin

    def is_local(self, scope: Scope) -> bool:
        """Whether both ends are this machine: the client's address, and the ``Host`` that it asked for.

        A proxy on this machine that hides both looks the same; hence nothing but advice hangs on it.
        """
        client = scope.get("client")
        url = f"http://[{client[0]}]" if client and ":" in client[0] else f"http://{client and client[0]}"
        origin = Origin.parse(url)
        return origin is not None and origin.is_loopback and _loopback_origin(scope) is not None

    def is_another_host(self, scope: Scope) -> bool:
        """Whether ``Host`` plainly names another one than ``DESCOPE_PUBLIC_URL``.

        Nothing but advice hangs on it. Browsers keep cookies by host, whatever the port; and a proxy may have
        replaced the header.
        """
        hosts = _values(scope["headers"], b"host")
        public = Origin.parse(self._public or "")
        asked = Origin.parse(f"http://{hosts[0]}") if len(hosts) == 1 else None
        return public is not None and asked is not None and asked.host != public.host

    def use_secure(self, scope: Scope) -> bool:
        """Whether cookies are ``Secure``: always, except for plain http on loopback (CK-05)."""
        if self._secure is not None:
            return self._secure
        inferred = _loopback_origin(scope)
        return inferred is None or inferred.scheme == "https"

    def safe_redirect(self, value: str | None, scope: Scope, *, forbidden: Container[str] = ()) -> str | None:
        """``value`` itself if a browser may be sent there, else None (requirements 2.5).

        It may be a path of this app, or an absolute URL whose origin is exactly the app's own or a
        trusted one (RT-04); up to 1,024 characters either way. ``forbidden`` are paths of the app that
        would lead in circles (RT-13); they are compared decoded, without a slash at the end.
        """
        if value is None or len(value) > MAX_RETURN_TO:  # RT-11
            return None
        absolute = _ABSOLUTE.match(value)
        origin = absolute[0] if absolute else ""
        found = _LOCAL.fullmatch(value[len(origin) :] or ("/" if origin else ""))
        if found is None or (origin and origin not in self._accepted(scope)):
            return None
        path = unquote(found["path"])
        circular = path in forbidden or path.rstrip("/") in forbidden
        return None if circular and origin in ("", self._own(scope)) else value

    def is_allowed(self, method: str, headers: Headers, scope: Scope) -> bool:
        """Whether a request that a cookie authenticates may act (requirements 2.7).

        The rule is that of Go 1.25's ``http.CrossOriginProtection``, with the scheme compared too (CS-01):
        a sibling domain is foreign (CS-02), a method is what the request line says (CS-03) and unsafe
        unless it is known to be safe (CS-04), and Host vouches for nobody (CS-06). What nothing
        speaks against passes: a client that sends none of these headers is no browser.
        """
        if method in _SAFE_METHODS:
            return True
        headers = list(headers)
        sites, origins = _values(headers, b"sec-fetch-site"), _values(headers, b"origin")
        if len(sites) > 1 or len(origins) > 1:
            return False
        if sites:
            own_page = sites[0] in ("same-origin", "none")
            return own_page or _is_one_of(origins, self._trusted)
        return not origins or _is_one_of(origins, self._accepted(scope))

    def is_websocket_allowed(self, headers: Headers, scope: Scope) -> bool:
        """Whether a WebSocket that a cookie authenticates may open: its Origin is ours or trusted (WS-01).

        Browsers always send the header here, so its absence refuses.
        """
        return _is_one_of(_values(headers, b"origin"), self._accepted(scope))

    def _own(self, scope: Scope) -> str | None:
        if self._public is not None:
            return self._public
        inferred = _loopback_origin(scope)
        return None if inferred is None else str(inferred)

    def _accepted(self, scope: Scope) -> frozenset[str]:
        own = self._own(scope)
        return self._trusted if own is None else self._trusted | {own}


def _loopback_origin(scope: Scope) -> Origin | None:
    """The request's own origin as its ``Host`` has it, if that is loopback."""
    hosts = _values(scope["headers"], b"host")
    scheme = _HTTP_SCHEMES.get(scope.get("scheme", "http"))
    if scheme is None or len(hosts) != 1:
        return None
    origin = Origin.parse(f"{scheme}://{hosts[0]}")
    return origin if origin is not None and origin.is_loopback else None
