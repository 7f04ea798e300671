"""A Descope to develop against: a second opinion on the wire contract, never laxer than the real one (EM-07).

It needs the extra ``emulator``. It imports nothing of the package it serves, which does not import it either
unless asked for it (EM-05). Never expose it: it signs in anybody without a password, which is why it only
listens on, and answers to, the loopback.

``project`` says what is emulated, ``seed`` reads that from a file, and ``guesses`` holds what nobody outside
Descope knows. Behind ``service``, the HTTP API is in four parts, whose routes' names are those of faults and
of the journal. What is not among them is not played, such as one-time passwords and the management API:

=====================  ========================================================================
``endpoints``          authorize, exchange, access_key, refresh, try_refresh, select, logout,
                       logout_all, me, my_tenants, history, validate, keys, license
``social``             oauth_authorize
``pending_sign_ins``   notp_start, notp_pending, enchanted_generate, enchanted_verify,
                       enchanted_pending
``oidc``               discovery, oidc_authorize, oidc_token, oidc_userinfo, oidc_revoke,
                       oidc_logout
=====================  ========================================================================
"""

try:
    from .assumptions import Assumptions
    from .clock import Clock
    from .directory import AccessKey, Grants, SeedTenant, SeedUser
    from .emulator import Emulator, JwtPair
    from .faults.queue import Faults
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
    "Journal",
    "JwtPair",
    "Project",
    "SeedTenant",
    "SeedUser",
    "SigningKey",
]
