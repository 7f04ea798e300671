"""The variants that are measured: apps with the same route, and the header that a request for each needs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Literal, cast
from warnings import catch_warnings

from starlette.types import ASGIApp

from .tokens import Tokens

__all__ = ["ALL", "BASE", "COMPARISONS", "CONTROL", "Group", "Variant"]

Group = Literal["without authentication", "fastapi-descope", "other libraries"]
Credentials = Callable[[Tokens], str]
"""Returns the header that carries the tokens."""


def _session_cookie(tokens: Tokens) -> str:
    return f"cookie: DS={tokens.session}"


def _both_cookies(tokens: Tokens) -> str:
    return f"cookie: DS={tokens.session}; DSR={tokens.refresh}"


def _bearer(tokens: Tokens) -> str:
    return f"authorization: Bearer {tokens.session}"


def _auth0_bearer(tokens: Tokens) -> str:
    return f"authorization: Bearer {tokens.auth0}"


def _entra_bearer(tokens: Tokens) -> str:
    return f"authorization: Bearer {tokens.entra}"


@dataclass(frozen=True)
class Variant:
    """An app and the credentials that its requests carry.

    Attributes:
        name: The key in the results.
        label: The text in the table and the chart.
        group: What it belongs to.
        factory: The function that makes the app, as ``module:function``. The module imports the library.
        credentials: Returns the header with the token.
        is_public: Whether the page is served without a token.
        package: The distribution that does the work; None for FastAPI alone.
    """

    name: str
    label: str
    group: Group
    factory: str
    credentials: Credentials
    is_public: bool = False
    package: str | None = None

    def app(self, tokens: Tokens) -> ASGIApp:
        """Make the app.

        Raises:
            ImportError: The library is not installed, or does not work with the installed versions.
        """
        module, _, function = self.factory.partition(":")
        with catch_warnings(record=True):  # auth0-fastapi-api uses a module that Authlib has deprecated
            factory = getattr(import_module(f".{module}", __package__), function)
        return cast("ASGIApp", factory(tokens))


def _baseline(name: str, label: str, factory: str) -> Variant:
    group: Group = "without authentication"
    return Variant(name, label, group, f"baselines:{factory}", _session_cookie, is_public=True)


def _ours(name: str, label: str, factory: str, credentials: Credentials) -> Variant:
    is_public, package = factory == "public_page", "fastapi-descope"
    return Variant(name, label, "fastapi-descope", f"ours:{factory}", credentials, is_public, package)


def _peer(name: str, package: str, label: str, factory: str, credentials: Credentials) -> Variant:
    return Variant(name, label, "other libraries", factory, credentials, package=package)


ALL: Mapping[str, Variant] = {
    variant.name: variant
    for variant in (
        _baseline("no auth", "no authentication", "no_auth"),
        _baseline("no auth, again", "no authentication, again", "no_auth"),
        _baseline("no-op", "no-op dependency", "no_op"),
        _baseline("three no-ops", "three no-op dependencies", "three_no_ops"),
        _baseline("floor", "cookies remembered, not verified", "floor"),
        _ours("public page", "public page", "public_page", _session_cookie),
        _ours("session cookie", "CurrentUser, session cookie", "current_user", _session_cookie),
        _ours("both cookies", "CurrentUser, both cookies", "current_user", _both_cookies),
        _ours("user, tenant, role", "CurrentUser, CurrentTenant, require_roles", "with_role", _both_cookies),
        _ours("uncached", "CurrentUser, nothing remembered", "without_cache", _session_cookie),
        _peer("pyjwt", "pyjwt", "PyJWT, one fixed key", "pyjwt:with_fixed_key", _bearer),
        _peer("pyjwt, key client", "pyjwt", "PyJWT with its key client", "pyjwt:with_key_client", _bearer),
        _peer("joserfc", "joserfc", "joserfc, formerly authlib.jose", "authlib:joserfc", _bearer),
        _peer("auth0", "auth0-fastapi-api", "auth0-fastapi-api", "auth0:require_auth", _auth0_bearer),
        _peer("entra", "fastapi-azure-auth", "fastapi-azure-auth", "entra:single_tenant", _entra_bearer),
        _peer("sdk, async", "descope", "Descope's SDK, async", "descope_sdk:async_client", _session_cookie),
        _peer(
            "sdk, sync", "descope", "Descope's SDK, in a thread", "descope_sdk:sync_client", _session_cookie
        ),
    )
}
"""The variants by name, in the order of the table."""


BASE, CONTROL = "no auth", "no auth, again"
"""The route without authentication, twice: a difference between the two is noise."""

COMPARISONS = (
    (CONTROL, BASE),
    ("public page", BASE),
    ("floor", "no-op"),
    ("session cookie", "no-op"),
    ("both cookies", "no-op"),
    ("user, tenant, role", "three no-ops"),
    ("uncached", BASE),
    ("both cookies", "sdk, async"),
)
"""The pairs of variants whose ratios are reported."""
