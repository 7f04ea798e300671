"""Single sign-on for FastAPI apps through Descope.

app = FastAPI()
descope = Descope(app)

@app.get("/me")
async def me(user: CurrentUser, tenant: CurrentTenant): ...
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._upstream.login_options import LoginOptions
    from ._web.dependencies import (
        CurrentSession,
        CurrentTenant,
        CurrentUser,
        OptionalSession,
        OptionalTenant,
        OptionalUser,
        current_session,
        current_tenant,
        current_user,
        get_auth_session,
        get_user_profile,
        optional_session,
        optional_tenant,
        optional_user,
        require_mfa,
        require_permissions,
        require_roles,
        require_step_up,
        require_tenant,
    )
    from ._web.middleware import DescopeMiddleware
    from ._web.starlette_auth import DescopeAuthBackend
    from .errors import (
        ConfigurationError,
        CrossSiteRequest,
        DescopeError,
        Forbidden,
        LoginRejected,
        MissingPermissions,
        MissingRoles,
        NotAuthenticated,
        NoTenant,
        SessionEnded,
        StepUpRequired,
        TenantMismatch,
        TokenError,
        UpstreamError,
        UpstreamUnavailable,
    )
    from .plugin import Descope
    from .session import AuthSession, Tenant, User, UserProfile
    from .settings import DescopeSettings

__all__ = [
    "AuthSession",
    "ConfigurationError",
    "CrossSiteRequest",
    "CurrentSession",
    "CurrentTenant",
    "CurrentUser",
    "Descope",
    "DescopeAuthBackend",
    "DescopeError",
    "DescopeMiddleware",
    "DescopeSettings",
    "Forbidden",
    "LoginOptions",
    "LoginRejected",
    "MissingPermissions",
    "MissingRoles",
    "NoTenant",
    "NotAuthenticated",
    "OptionalSession",
    "OptionalTenant",
    "OptionalUser",
    "SessionEnded",
    "StepUpRequired",
    "Tenant",
    "TenantMismatch",
    "TokenError",
    "UpstreamError",
    "UpstreamUnavailable",
    "User",
    "UserProfile",
    "current_session",
    "current_tenant",
    "current_user",
    "get_auth_session",
    "get_user_profile",
    "optional_session",
    "optional_tenant",
    "optional_user",
    "require_mfa",
    "require_permissions",
    "require_roles",
    "require_step_up",
    "require_tenant",
]

_HOMES = (
    ".errors",
    ".session",
    "._upstream.login_options",
    ".settings",
    ".plugin",
    "._web.starlette_auth",
    "._web.dependencies",
    "._web.middleware",
)
"""The modules that the names above are from."""

if not TYPE_CHECKING:  # pragma: no branch - it is there for type checkers, which would believe in any name

    def __getattr__(name: str) -> object:
        """Import a public name when it is first asked for (PEP 562).

        pytest imports this package at every start, because the package brings a plugin for it. A run that
        does not use the plugin is not to wait for FastAPI.
        """
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        modules = (import_module(home, __name__) for home in _HOMES)
        module = next(module for module in modules if name in module.__all__)
        return globals().setdefault(name, getattr(module, name))

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
