"""Single sign-on for FastAPI apps through Descope.

app = FastAPI()
descope = Descope(app)

@app.get("/me")
async def me(user: CurrentUser, tenant: CurrentTenant): ...
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .core.login_options import LoginOptions
    from .core.session import Session, Tenant, User, UserProfile
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
    from .settings import DescopeSettings
    from .web.authentication_backend import DescopeAuthBackend
    from .web.dependencies import (
        CurrentSession,
        CurrentTenant,
        CurrentUser,
        OptionalSession,
        OptionalTenant,
        OptionalUser,
        current_session,
        current_tenant,
        current_user,
        get_profile,
        get_session,
        optional_session,
        optional_tenant,
        optional_user,
        require_mfa,
        require_permissions,
        require_roles,
        require_step_up,
        require_tenant,
    )
    from .web.middleware import DescopeMiddleware

__all__ = [
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
    "Session",
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
    "get_profile",
    "get_session",
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
    ".core.session",
    ".core.login_options",
    ".settings",
    ".plugin",
    ".web.authentication_backend",
    ".web.dependencies",
    ".web.middleware",
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
