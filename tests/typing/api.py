"""Usage of the public API, checked by mypy and pyright and never run."""

from collections.abc import Mapping
from typing import Annotated, assert_type

import httpx
from fastapi import Depends, FastAPI, WebSocket
from starlette.requests import Request
from starlette.testclient import TestClient

from fastapi_descope import (
    AuthSession,
    CurrentSession,
    CurrentTenant,
    CurrentUser,
    Descope,
    DescopeMiddleware,
    DescopeSettings,
    Forbidden,
    Login,
    LoginOptions,
    OptionalSession,
    OptionalTenant,
    OptionalUser,
    ProjectCookiesRenamed,
    Tenant,
    TenantMembership,
    User,
    UserProfile,
    deny_impersonated,
    get_auth_session,
    get_login,
    get_user_profile,
    public,
    require_any_permission,
    require_any_role,
    require_mfa,
    require_permissions,
    require_roles,
    require_step_up,
    require_tenant,
)
from fastapi_descope.emulator import SeedIdp, SeedUser
from fastapi_descope.events import Event, SignedIn
from fastapi_descope.testing import TestHarness

app = FastAPI()
descope = Descope(app)
Descope(app, settings=DescopeSettings(), prefix="/auth")
Descope(app, protect=True, public_paths=["/health", "/static/*"])
descope.install(app, protect=True, public_paths={"/health"})
explicit = Descope(
    settings=DescopeSettings(
        project_id="P2example", public_url="https://app.example.com", trusted_origins=["https://x.example"]
    ),
    clock=lambda: 0.0,
    transport=httpx.MockTransport(lambda request: httpx.Response(200)),
)
app.include_router(explicit.router, prefix="/auth")
app.add_middleware(DescopeMiddleware, descope=explicit, protect=True, public_paths=["/health"])


@app.get("/me")
async def me(user: CurrentUser, tenant: CurrentTenant, session: CurrentSession) -> dict[str, object]:
    assert_type(user, User)
    assert_type(tenant, Tenant)
    assert_type(session, AuthSession)
    assert_type(tenant.roles, tuple[str, ...])
    assert_type(session.expires_at, int)
    assert_type(user.email, str | None)
    return {"user": user.id, "tenant": tenant.id, "roles": tenant.roles}


@app.get("/about")
@public
async def about(name: str) -> int:
    return len(name)


@public
class Page:
    async def __call__(self) -> str:
        return "page"


async def call_public_endpoints() -> None:
    assert_type(await about("x"), int)
    assert_type(Page(), Page)


@app.get("/maybe")
async def maybe(user: OptionalUser, tenant: OptionalTenant, session: OptionalSession) -> None:
    assert_type(user, User | None)
    assert_type(tenant, Tenant | None)
    assert_type(session, AuthSession | None)


@app.get("/admin", dependencies=[Depends(require_roles("admin")), Depends(require_mfa())])
async def admin(
    session: Annotated[AuthSession, Depends(require_permissions("reports.read"))],
    recent: Annotated[AuthSession, Depends(require_step_up(max_age=300))],
    here: Annotated[AuthSession, Depends(require_tenant("tenant_id"))],
    editor: Annotated[AuthSession, Depends(require_any_role("admin", "editor", project=True))],
    reader: Annotated[AuthSession, Depends(require_any_permission("reports.read", "reports.write"))],
    own: Annotated[AuthSession, Depends(deny_impersonated())],
) -> None:
    assert_type(session, AuthSession)
    assert_type(recent, AuthSession)
    assert_type(here, AuthSession)
    assert_type(editor, AuthSession)
    assert_type(reader, AuthSession)
    assert_type(own.actor, str | None)


def in_a_test(harness: TestHarness) -> None:
    lin = SeedUser("lin@acme.example", idp=SeedIdp(groups=("engineering",)))
    assert_type(harness.sign_in(lin, roles=["admin"]), TestClient)
    assert_type(harness.sign_in("ada@acme.example"), TestClient)
    assert_type(harness.sign_in("ada@acme.example", actor="sue@support.example"), TestClient)
    assert_type(harness.sign_in_async(lin), httpx.AsyncClient)


@app.websocket("/feed")
async def feed(socket: WebSocket, user: CurrentUser) -> None:
    assert_type(user, User)
    assert_type(await get_auth_session(socket), AuthSession | None)


@descope.on_login
async def provision(request: Request, login: Login) -> None:
    assert_type(login.session, AuthSession)
    assert_type(login.user, UserProfile)
    assert_type(login.user.tenants["acme"].name, str | None)
    assert_type(login.user.custom_attributes, Mapping[str, object])
    assert_type(login.user.oauth, Mapping[str, bool])
    assert_type(login.user.created_at, int | None)
    assert_type(login.first_seen, bool)
    assert_type(login.idp.groups, tuple[str, ...])
    assert_type(login.idp.saml_attributes, Mapping[str, object])
    assert_type(login.external_token, str | None)
    assert_type(login.claims, Mapping[str, object])
    assert_type(login.project_cookies.max_age, int | None)
    assert_type(get_login(request), Login | None)
    assert_type(await get_auth_session(request), AuthSession | None)
    assert_type(await get_user_profile(request), UserProfile)


@descope.on_session
async def admit(session: AuthSession) -> None:
    if session.claims.get("suspended"):
        raise Forbidden("Your account is suspended.")


@descope.on_logout
async def forget(request: Request, session: AuthSession) -> None:
    assert_type(session.tenant_id, str | None)


@descope.on_tenant_switch
async def remember(request: Request, session: AuthSession) -> None:
    assert_type(session.tenant, Tenant | None)


@descope.on_event
def audit(event: Event) -> None:
    if isinstance(event, SignedIn):
        assert_type(event.user_id, str)


audit(SignedIn("U1", None, first_seen=True))
audit(SignedIn("U1", None, first_seen=True, actor_id="U2"))
UserProfile(
    user_id="U1", verified_email=True, totp=True, tenants={"acme": TenantMembership("acme", name="Acme")}
)
UserProfile(user_id="U1", verified_email="true")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
UserProfile("U1").name = "Eve"  # type: ignore[misc] # pyright: ignore[reportAttributeAccessIssue]


@descope.login_options
async def strict(request: Request) -> LoginOptions | None:
    return LoginOptions(revoke_other_sessions=True) if request.url.path else None


assert_type(ProjectCookiesRenamed({}).variables, Mapping[str, str])
