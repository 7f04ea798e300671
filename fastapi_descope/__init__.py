"""Single sign-on for FastAPI apps through Descope.

app = FastAPI()
descope = Descope(app)

@app.get("/me")
async def me(user: CurrentUser, tenant: CurrentTenant): ...
"""

from importlib import import_module, metadata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._upstream.login_options import LoginOptions
    from ._web.callers import (
        CallerGuard,
        CurrentCaller,
        CurrentDelegate,
        CurrentMachine,
        current_caller,
        current_delegate,
        current_machine,
        get_caller,
    )
    from ._web.dependencies import (
        CurrentSession,
        CurrentTenant,
        CurrentUser,
        OptionalSession,
        OptionalTenant,
        OptionalUser,
        current_claims,
        current_session,
        current_tenant,
        current_user,
        get_auth_session,
        get_login,
        get_user_profile,
        optional_session,
        optional_tenant,
        optional_user,
    )
    from ._web.middleware import DescopeMiddleware
    from ._web.public_endpoints import public
    from ._web.requirements import (
        Requirement,
        deny_impersonated,
        require_any_permission,
        require_any_role,
        require_mfa,
        require_permissions,
        require_roles,
        require_step_up,
        require_tenant,
    )
    from ._web.scopes import Scope
    from ._web.starlette_auth import DescopeAuthBackend
    from .callers import Caller, Delegate, Machine
    from .errors import (
        BadRequest,
        CircuitOpen,
        ClaimsInvalid,
        ConfigurationError,
        ConflictingCookies,
        CrossSiteRequest,
        DelegateRequired,
        DescopeError,
        Forbidden,
        ImpersonationDenied,
        InvalidAccessKey,
        InvalidUpstreamResponse,
        LoginLoop,
        LoginRejected,
        MachineRequired,
        MissingPermissions,
        MissingRoles,
        MissingScopes,
        NotAuthenticated,
        NoTenant,
        ProjectCookiesRenamed,
        RateLimited,
        SenderConstrained,
        SessionCheckFailed,
        SessionEnded,
        SessionRequired,
        SessionTooLarge,
        StepUpRequired,
        TenantMismatch,
        TokenError,
        TokenExpired,
        TokenReason,
        TooManyAttempts,
        UnsupportedAuthScheme,
        UpstreamError,
        UpstreamRejected,
        UpstreamUnavailable,
    )
    from .login import IdpResponse, Login, ProjectCookies
    from .page_texts import PageTexts
    from .pages import Page
    from .plugin import Descope
    from .profile import TenantMembership, UserProfile
    from .session import AuthSession, Tenant, User, tenant_id_var
    from .settings import DescopeSettings

    __version__: str

__all__ = [
    "AuthSession",
    "BadRequest",
    "Caller",
    "CallerGuard",
    "CircuitOpen",
    "ClaimsInvalid",
    "ConfigurationError",
    "ConflictingCookies",
    "CrossSiteRequest",
    "CurrentCaller",
    "CurrentDelegate",
    "CurrentMachine",
    "CurrentSession",
    "CurrentTenant",
    "CurrentUser",
    "Delegate",
    "DelegateRequired",
    "Descope",
    "DescopeAuthBackend",
    "DescopeError",
    "DescopeMiddleware",
    "DescopeSettings",
    "Forbidden",
    "IdpResponse",
    "ImpersonationDenied",
    "InvalidAccessKey",
    "InvalidUpstreamResponse",
    "Login",
    "LoginLoop",
    "LoginOptions",
    "LoginRejected",
    "Machine",
    "MachineRequired",
    "MissingPermissions",
    "MissingRoles",
    "MissingScopes",
    "NoTenant",
    "NotAuthenticated",
    "OptionalSession",
    "OptionalTenant",
    "OptionalUser",
    "Page",
    "PageTexts",
    "ProjectCookies",
    "ProjectCookiesRenamed",
    "RateLimited",
    "Requirement",
    "Scope",
    "SenderConstrained",
    "SessionCheckFailed",
    "SessionEnded",
    "SessionRequired",
    "SessionTooLarge",
    "StepUpRequired",
    "Tenant",
    "TenantMembership",
    "TenantMismatch",
    "TokenError",
    "TokenExpired",
    "TokenReason",
    "TooManyAttempts",
    "UnsupportedAuthScheme",
    "UpstreamError",
    "UpstreamRejected",
    "UpstreamUnavailable",
    "User",
    "UserProfile",
    "__version__",
    "current_caller",
    "current_claims",
    "current_delegate",
    "current_machine",
    "current_session",
    "current_tenant",
    "current_user",
    "deny_impersonated",
    "get_auth_session",
    "get_caller",
    "get_login",
    "get_user_profile",
    "optional_session",
    "optional_tenant",
    "optional_user",
    "public",
    "require_any_permission",
    "require_any_role",
    "require_mfa",
    "require_permissions",
    "require_roles",
    "require_step_up",
    "require_tenant",
    "tenant_id_var",
]

_MODULES = (
    ".errors",
    "._web.parameter_guard",
    "._upstream.login_options",
    ".settings",
    ".plugin",
    "._web.callers",
    "._web.dependencies",
    "._web.requirements",
    "._web.middleware",
    "._web.public_endpoints",
    "._web.scopes",
    "._web.starlette_auth",
    ".session",
    ".callers",
    ".page_texts",
    ".pages",
)
"""The modules that provide the public names, in the order in which they are searched.

The values of ``session``, ``profile`` and ``login`` come from ``parameter_guard``, so that importing one also
installs the guard.
"""

if not TYPE_CHECKING:  # pragma: no branch - hidden from type checkers, which would accept any name

    def __getattr__(name: str) -> object:
        """Import a public name on first access (PEP 562).

        pytest imports this package at every start, because of its plugin. A test run that does not use the
        plugin must not pay for importing FastAPI.
        """
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        if name == "__version__":
            return globals().setdefault(name, metadata.version("fastapi-descope"))
        modules = (import_module(module, __name__) for module in _MODULES)
        module = next(module for module in modules if name in module.__all__)
        return globals().setdefault(name, getattr(module, name))

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
