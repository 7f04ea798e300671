"""Single sign-on for FastAPI apps through Descope.

app = FastAPI()
descope = Descope(app)

@app.get("/me")
async def me(user: CurrentUser, tenant: CurrentTenant): ...
"""

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
