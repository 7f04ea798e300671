"""A Descope emulator for development and tests: an ASGI app, no stricter and no laxer than the wire contract.

It needs the extra ``emulator``. Never expose it to a network: it signs in any user without a password, so
it listens on loopback addresses only and rejects other ``Host`` headers.

``Project`` configures the emulated project, ``seed.load`` reads one from a file, ``Assumptions`` holds the
behaviour of Descope that is not documented, and ``Emulator`` is the app.

Each route has the name of an endpoint, which ``Faults`` and ``Journal`` use. Endpoints that are not in this
table, such as one-time passwords and most of the management API, are not implemented and return 404:

=====================  ==========================================================================
module                 endpoints
=====================  ==========================================================================
``api.auth``           authorize, oauth_authorize, exchange, access_key, refresh, try_refresh,
                       select, logout, logout_all, me, my_tenants, history, validate, keys,
                       license
``api.pending``        notp_start, notp_pending, enchanted_generate, enchanted_verify,
                       enchanted_pending
``api.oidc``           discovery, oidc_authorize, oidc_token, oidc_userinfo, oidc_revoke,
                       oidc_logout
``api.impersonation``  impersonate, stop_impersonation
``pages.sign_in``      signin
=====================  ==========================================================================
"""

# The emulator checks what the package sends, so it shares no code with it (EM-05, EM-07). import-linter
# enforces both directions.
try:
    from .assumptions import Assumptions
    from .clock import Clock
    from .directory import AccessKey, Grants, SeedAccount, SeedIdp, SeedLogin, SeedTenant, SeedUser
    from .emulator import Emulator, JwtPair
    from .faults.queue import Faults
    from .inbound_apps import InboundApp, McpServer
    from .journal import Call, Journal
    from .project import DEFAULT_PROJECT_ID, CookieSettings, Project
    from .signing import SigningKey
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        f"fastapi_descope.emulator needs {missing.name}: pip install 'fastapi-descope[emulator]'",
        name=missing.name,
    ) from None

__all__ = [
    "DEFAULT_PROJECT_ID",
    "AccessKey",
    "Assumptions",
    "Call",
    "Clock",
    "CookieSettings",
    "Emulator",
    "Faults",
    "Grants",
    "InboundApp",
    "Journal",
    "JwtPair",
    "McpServer",
    "Project",
    "SeedAccount",
    "SeedIdp",
    "SeedLogin",
    "SeedTenant",
    "SeedUser",
    "SigningKey",
]
