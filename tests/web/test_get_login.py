"""``get_login`` and the ``Login`` of hooks: everything that Descope sends with the tokens, without a call."""

import pytest
from starlette.middleware.base import RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response

from fastapi_descope import (
    AuthSession,
    IdpResponse,
    Login,
    LoginRejected,
    TenantMembership,
    UserProfile,
    get_login,
    get_user_profile,
)
from fastapi_descope.emulator import Project
from tests.helpers.app_harness import AppHarness, EnvFactory
from tests.helpers.full_project import FULL_PROJECT, PHONE

pytestmark = pytest.mark.anyio

ADA = UserProfile(
    user_id="U22a1322415fff1b1aceaebe7855",
    login_ids=("ada@acme.example",),
    name="Ada King Lovelace",
    given_name="Ada",
    middle_name="King",
    family_name="Lovelace",
    email="ada@acme.example",
    verified_email=True,
    phone=PHONE,
    verified_phone=True,
    picture="https://images.example/ada.png",
    roles=("support",),
    permissions=("tickets.read",),
    tenants={
        "acme": TenantMembership("acme", "Acme Corp", ("admin",), ("reports.read", "reports.write")),
        "globex": TenantMembership("globex", "Globex", ("viewer",), ("reports.read",)),
    },
    status="enabled",
    is_test=True,
    editable=True,
    custom_attributes={"seat": 7, "teams": ("engines",)},
    created_at=1_685_930_000,
    consent_expiration=1_900_000_000,
    external_ids=("hr-4711",),
    sso_app_ids=("SA2reports",),
    totp=True,
    saml=True,
    oidc=True,
    scim=True,
    oauth={"google": True, "github": False},
    webauthn=True,
    password=True,
    push=True,
)
IDP = IdpResponse(
    groups=("engineering", "on-call"),
    saml_attributes={"department": ("R&D",)},
    oidc_claims={"hd": "acme.example"},
    saml_response="<Response/>",
    saml_generated_user='{"name": "Ada"}',
    saml_generated_roles='["admin"]',
    oidc_response='{"id_token": "e30"}',
    oidc_generated_user='{"name": "Augusta"}',
    oidc_generated_roles='["viewer"]',
)


def _record_logins(env: AppHarness) -> list[tuple[Login, Login | None]]:
    """Register a login hook that records its login, and the one of the request."""
    logins: list[tuple[Login, Login | None]] = []

    @env.descope.on_login
    async def record(request: Request, login: Login) -> None:
        logins.append((login, get_login(request)))

    return logins


async def test_login_hook_gets_everything_that_descope_sends(make_env: EnvFactory) -> None:
    """All fields come with the exchange of the code, and cost no further call."""
    env = make_env(project=FULL_PROJECT)
    logins = _record_logins(env)

    await env.signed_in_browser()

    ((login, same),) = logins
    assert login is same
    assert (login.session.user.id, login.session.tenant_id) == (ADA.user_id, "acme")
    assert login.user == ADA
    assert login.idp == IDP
    assert login.first_seen
    assert login.external_token == "from-another-vendor"
    assert login.tenant_sso_id == "acme-entra"
    assert (login.trusted_device_jwt or "").startswith("eyJ")
    assert login.claims == {"plan": "gold"}
    assert login.project_cookies.session_domain == "app.acme.example"
    assert (env.calls("exchange"), env.calls("me"), env.calls("my_tenants")) == (1, 0, 0)


async def test_first_seen_is_true_once(make_env: EnvFactory) -> None:
    """The hook knows it before the user is signed in."""
    env = make_env()
    logins = _record_logins(env)

    for _ in range(2):
        await env.signed_in_browser()

    assert [login.first_seen for login, _ in logins] == [True, False]


async def test_tenant_switch_hook_gets_what_came_with_the_switch(make_env: EnvFactory) -> None:
    """The session is that of the new tenant, and the user object costs no call."""
    env = make_env(project=FULL_PROJECT)
    browser = await env.signed_in_browser()
    seen: list[tuple[Login | None, UserProfile]] = []

    @env.descope.on_tenant_switch
    async def record(request: Request, session: AuthSession) -> None:
        seen.append((get_login(request), await get_user_profile(request)))

    assert (await browser.post("/tenant/select", {"tenant": "globex"})).status_code == 200

    ((login, profile),) = seen
    assert login is not None
    assert login.session.tenant_id == "globex"
    assert (login.user, profile) == (ADA, ADA)
    assert login.idp == IDP
    assert env.calls("me") == 0


async def test_there_is_no_login_outside_its_hooks(make_env: EnvFactory) -> None:
    """Neither in a handler of a signed-in user, nor after a hook has rejected the login."""
    env = make_env(project=Project(template_email=False))
    seen: list[Login | None] = []

    @env.app.get("/login-of")
    async def login_of(request: Request) -> None:
        seen.append(get_login(request))

    @env.app.middleware("http")
    async def look(request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        seen.append(get_login(request))
        return response

    browser = await env.signed_in_browser()
    await browser.get("/login-of")

    @env.descope.on_login
    async def reject(request: Request, login: Login) -> None:
        raise LoginRejected

    assert (await env.browser().sign_in()).status_code == 400
    assert set(seen) == {None}
