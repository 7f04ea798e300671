"""The user object, what the identity provider sends, and the rest of a response with tokens (section 2.0)."""

from collections.abc import Callable, Coroutine
from dataclasses import replace

import httpx
import pytest

from fastapi_descope.emulator import (
    Assumptions,
    Emulator,
    Grants,
    Project,
    SeedAccount,
    SeedIdp,
    SeedLogin,
    SeedTenant,
    SeedUser,
)

pytestmark = pytest.mark.anyio

Call = Callable[..., Coroutine[None, None, httpx.Response]]
Make = Callable[..., Emulator]
Read = Callable[[Emulator, str], dict[str, object]]
GetCode = Callable[..., Coroutine[None, None, str]]

ADA = "ada@acme.example"
YEAR = 365 * 24 * 3600
IDP = SeedIdp(
    groups=("engineering", "on-call"),
    saml_attributes={"department": ["R&D"]},
    oidc_claims={"hd": "acme.example"},
    saml_response="<Response/>",
    saml_generated_user='{"name": "Ada"}',
    saml_generated_roles='["admin"]',
    oidc_response='{"id_token": "x"}',
    oidc_generated_user='{"name": "Augusta"}',
    oidc_generated_roles='["viewer"]',
)
IDP_JSON = {
    "samlResponse": "<Response/>",
    "samlGeneratedUser": '{"name": "Ada"}',
    "samlGeneratedRoles": '["admin"]',
    "oidcResponse": '{"id_token": "x"}',
    "oidcGeneratedUser": '{"name": "Augusta"}',
    "oidcGeneratedRoles": '["viewer"]',
    "idpGroups": ["engineering", "on-call"],
    "idpSAMLAttributes": {"department": ["R&D"]},
    "idpOIDCClaims": {"hd": "acme.example"},
}
NO_IDP_JSON: dict[str, object] = {
    **dict.fromkeys(IDP_JSON, ""),
    "idpGroups": [],
    "idpSAMLAttributes": {},
    "idpOIDCClaims": {},
}


def _project(assumptions: Assumptions | None = None, **user: object) -> Project:
    """Return a project with Acme and Ada, who has these fields."""
    tenants = (SeedTenant("acme", sso_ids=("okta",), default_sso_id="entra"), SeedTenant("globex"))
    memberships = {"acme": Grants(), "globex": Grants()}
    ada = SeedUser(ADA, "Ada Lovelace", memberships, **user)  # type: ignore[arg-type] # by keyword
    return Project(tenants=tenants, users=(ada,), assumptions=assumptions or Assumptions())


async def _exchange(call: Call, emulator: Emulator, code: str) -> dict[str, object]:
    response = await call(emulator, "POST", "/v1/auth/sso/exchange", json={"code": code})
    body: dict[str, object] = response.json()
    return body


@pytest.mark.parametrize(
    ("user", "field", "value"),
    [
        (SeedUser(ADA, "Ada King Lovelace"), "givenName", "Ada"),
        (SeedUser(ADA, "Ada King Lovelace"), "familyName", "King Lovelace"),
        (SeedUser(ADA, "Ada", given_name="Augusta"), "givenName", "Augusta"),
        (SeedUser(ADA, "Ada", middle_name="King"), "middleName", "King"),
        (SeedUser(ADA, "Ada", family_name="Byron"), "familyName", "Byron"),
        (SeedUser(ADA, account=SeedAccount(verified_email=False)), "verifiedEmail", False),
        (SeedUser(ADA, phone="+1", account=SeedAccount(verified_phone=False)), "verifiedPhone", False),
        (SeedUser(ADA, account=SeedAccount(verified_phone=True)), "verifiedPhone", True),
        (SeedUser(ADA, account=SeedAccount(external_ids=("7", "8"))), "externalIds", ["7", "8"]),
        (SeedUser(ADA, account=SeedAccount(created_time=1)), "createdTime", 1),
        (SeedUser(ADA, account=SeedAccount(test=True)), "test", True),
        (SeedUser(ADA, account=SeedAccount(editable=False)), "editable", False),
        (SeedUser(ADA, account=SeedAccount(consent_expiration=9)), "consentExpiration", 9),
        (SeedUser(ADA, account=SeedAccount(sso_app_ids=("SA2",))), "ssoAppIds", ["SA2"]),
        (SeedUser(ADA, account=SeedAccount(oauth={"google": True})), "OAuth", {"google": True}),
        (SeedUser(ADA, amr=("pwd",)), "SAML", False),
        (SeedUser(ADA, account=SeedAccount(methods=())), "SAML", False),
        (SeedUser(ADA, account=SeedAccount(methods=("SAML",))), "SAML", True),
        (SeedUser(ADA, account=SeedAccount(methods=("TOTP",))), "TOTP", True),
        (SeedUser(ADA, account=SeedAccount(methods=("SCIM",))), "SCIM", True),
        (SeedUser(ADA, account=SeedAccount(methods=("OIDC",))), "OIDC", True),
        (SeedUser(ADA, account=SeedAccount(methods=("webauthn",))), "webauthn", True),
        (SeedUser(ADA, account=SeedAccount(methods=("password",))), "password", True),
        (SeedUser(ADA, account=SeedAccount(methods=("push",))), "push", True),
    ],
)
async def test_the_seed_sets_the_user_object(
    call: Call, make: Make, user: SeedUser, field: str, value: object
) -> None:
    """The seed sets each field of the user object."""
    emulator = make(Project(users=(user,)))
    response = await call(emulator, "GET", "/v1/auth/me", token=emulator.issue(ADA).refresh_jwt)
    assert response.json()[field] == value


async def test_an_sso_sign_in_returns_what_the_identity_provider_sent(
    call: Call, make: Make, get_code: GetCode
) -> None:
    """The response to the exchange has the ``idpResponse`` of the seed."""
    emulator = make(_project(idp=IDP))
    assert (await _exchange(call, emulator, await get_code(emulator)))["idpResponse"] == IDP_JSON


async def test_a_social_sign_in_returns_nothing_of_the_sso_provider(
    call: Call, make: Make, confirm: Call
) -> None:
    """The fields of ``idpResponse`` are empty after a sign-in that did not use the tenant's provider."""
    emulator = make(_project(idp=IDP))
    query = {"provider": "google", "redirectURL": "http://localhost:8000/callback"}
    started = await call(emulator, "POST", "/v1/auth/oauth/authorize", params=query)
    redirect = await confirm(emulator, started.json()["url"], ADA)
    code = httpx.URL(redirect.headers["location"]).params["code"]
    body = await _exchange(call, emulator, code)
    assert (body["idpResponse"], body["tenantSSOID"]) == (NO_IDP_JSON, "")


@pytest.mark.parametrize(("requested", "returned"), [({}, "entra"), ({"ssoId": "okta"}, "okta")])
async def test_the_sso_configuration_is_returned(
    call: Call, make: Make, get_code: GetCode, requested: dict[str, str], returned: str
) -> None:
    """``tenantSSOID`` is the requested configuration, or the tenant's default one."""
    emulator = make(_project())
    body = await _exchange(call, emulator, await get_code(emulator, **requested))
    assert body["tenantSSOID"] == returned


async def test_the_default_sso_configuration_can_be_requested(
    call: Call, make: Make, get_code: GetCode
) -> None:
    """The id of the default configuration is a valid ``ssoId``."""
    emulator = make(_project())
    body = await _exchange(call, emulator, await get_code(emulator, ssoId="entra"))
    assert body["tenantSSOID"] == "entra"


@pytest.mark.parametrize("path", ["exchange", "refresh", "try-refresh", "tenant/select", "notp"])
async def test_every_response_with_tokens_has_the_same_further_fields(
    call: Call, make: Make, get_code: GetCode, confirm: Call, read: Read, path: str
) -> None:
    """``externalToken``, ``claims`` and ``trustedDeviceJwt`` are in each of them."""
    emulator = make(_project(login=SeedLogin("theirs", trusted_device=True, claims={"plan": "gold"})))
    if path == "exchange":
        body = await _exchange(call, emulator, await get_code(emulator))
    elif path == "notp":
        started = (await call(emulator, "POST", "/v1/auth/notp/whatsapp/signin")).json()
        await confirm(emulator, started["redirectUrl"], ADA)
        reference = {"pendingRef": started["pendingRef"]}
        body = (await call(emulator, "POST", "/v1/auth/notp/pending-session", json=reference)).json()
    else:
        token = emulator.issue(ADA).refresh_jwt
        body = (await call(emulator, "POST", f"/v1/auth/{path}", token=token, json={"tenant": "acme"})).json()
    assert (body["externalToken"], body["claims"]) == ("theirs", {"plan": "gold"})
    device = read(emulator, str(body["trustedDeviceJwt"]))
    assert device["drn"] == "DTD"
    assert device["exp"] == int(emulator.clock()) + YEAR


async def test_a_trusted_device_token_is_neither_a_session_nor_a_refresh_token(
    call: Call, make: Make, get_code: GetCode
) -> None:
    """The emulator refuses it where it expects one of them."""
    emulator = make(_project(login=SeedLogin(trusted_device=True)))
    body = await _exchange(call, emulator, await get_code(emulator))
    device = str(body["trustedDeviceJwt"])
    for path in ("/v1/auth/validate", "/v1/auth/refresh"):
        response = await call(emulator, "POST", path, token=device)
        assert (response.status_code, response.json()["errorCode"]) == (401, "E061005")


@pytest.mark.parametrize("repeats", [False, True])
async def test_a_tenant_switch_may_repeat_the_facts_of_the_sign_in(
    call: Call, make: Make, get_code: GetCode, *, repeats: bool
) -> None:
    """``firstSeen``, ``idpResponse`` and ``tenantSSOID``: Descope's response is unknown."""
    emulator = make(_project(Assumptions(select_repeats_sign_in=repeats), idp=IDP))
    token = str((await _exchange(call, emulator, await get_code(emulator)))["refreshJwt"])
    emulator.project = emulator.project.with_user(replace(emulator.project.users[0], idp=SeedIdp()))
    response = await call(emulator, "POST", "/v1/auth/tenant/select", token=token, json={"tenant": "globex"})
    body = response.json()
    facts = (body["firstSeen"], body["idpResponse"], body["tenantSSOID"])
    assert facts == ((True, IDP_JSON, "entra") if repeats else (False, None, ""))
