"""The inbound apps of an emulated project: OAuth clients of other companies, scripts and agents."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from .urls import is_absolute_url
from .validation import check_seconds, check_secret

__all__ = ["STANDARD_SCOPES", "InboundApp", "McpServer"]

STANDARD_SCOPES: Mapping[str, str] = MappingProxyType(
    {
        "openid": "Know who you are",
        "profile": "See your name",
        "email": "See your e-mail address",
        "offline_access": "Stay connected while you are away",
    }
)
"""Scopes that every app may ask for, with their descriptions."""

_TEN_MINUTES = 600
_REFRESH_SECONDS = 520 * 7 * 24 * 3600
_SCOPE = re.compile(r"[!#-\[\]-~]+")  # RFC 6749, section 3.3
_CLIENT_ID = re.compile(r"[!-9;-~]+")  # no colon, which separates it from the secret in HTTP Basic
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


@dataclass(frozen=True, slots=True)
class InboundApp:
    """An OAuth client that asks users for access to the project's API. Descope calls it an inbound app.

    Attributes:
        client_id: The client id.
        name: The name on the consent page; the client id if empty.
        secret: The secret of a confidential client. A client without one is public and must use PKCE.
        redirect_uris: The URLs that a sign-in may return to. The port of a loopback address may differ
            (RFC 8252, section 7.3).
        scopes: The scopes that the app may ask for besides ``STANDARD_SCOPES``, with the descriptions that
            the consent page shows.
        resources: The audiences that it may request with ``resource``.
        mcp_server: The id of the MCP server at which the client is registered.
        access_seconds: Lifetime of access tokens.
        refresh_seconds: Lifetime of refresh tokens from the sign-in.

    Raises:
        ValueError: An id, the secret, a scope, a URL or a lifetime has another form.
    """

    client_id: str
    name: str = ""
    secret: str = field(default="", repr=False)
    redirect_uris: tuple[str, ...] = ()
    scopes: Mapping[str, str] = field(default_factory=dict[str, str])
    resources: tuple[str, ...] = ()
    mcp_server: str = ""
    access_seconds: int = _TEN_MINUTES
    refresh_seconds: int = _REFRESH_SECONDS

    def __post_init__(self) -> None:
        if not _CLIENT_ID.fullmatch(self.client_id):
            raise ValueError("client_id: expected visible ASCII characters without a colon")
        if self.secret:
            check_secret("secret", self.secret, ends_bearer=False)
        _check_scopes(self.scopes)
        _check_urls("redirect_uris", self.redirect_uris)
        _check_urls("resources", self.resources)
        check_seconds(
            {"access_seconds": self.access_seconds, "refresh_seconds": self.refresh_seconds}, least=1
        )
        object.__setattr__(self, "name", self.name or self.client_id)
        object.__setattr__(self, "scopes", MappingProxyType(dict(self.scopes)))

    @property
    def is_public(self) -> bool:
        """Whether the client has no secret."""
        return not self.secret


@dataclass(frozen=True, slots=True)
class McpServer:
    """An MCP server of the project. Clients register at it, and get tokens with its URL as an audience.

    Attributes:
        id: The id. Descope's start with ``MS``.
        url: The URL of the server, which is an audience of its tokens.
        name: The display name; the id if empty.
        scopes: The scopes that its clients may ask for, with descriptions.

    Raises:
        ValueError: The id, the URL or a scope has another form.
    """

    id: str
    url: str
    name: str = ""
    scopes: Mapping[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise ValueError("id: expected letters, digits, hyphens and underscores")
        _check_urls("url", (self.url,))
        _check_scopes(self.scopes)
        object.__setattr__(self, "name", self.name or self.id)
        object.__setattr__(self, "scopes", MappingProxyType(dict(self.scopes)))


def _check_scopes(scopes: Mapping[str, str]) -> None:
    if not all(_SCOPE.fullmatch(scope) for scope in scopes):
        raise ValueError("scopes: expected names without spaces, quotes and backslashes")


def _check_urls(name: str, urls: tuple[str, ...]) -> None:
    if not all(is_absolute_url(url) for url in urls):
        raise ValueError(f"{name}: expected absolute http(s) URLs")
