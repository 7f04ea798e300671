"""A project whose responses have every field of Descope's API, each with a value that is not a default."""

from fastapi_descope.emulator import (
    Assumptions,
    CookieSettings,
    Grants,
    Project,
    SeedAccount,
    SeedIdp,
    SeedLogin,
    SeedTenant,
    SeedUser,
)

__all__ = ["FULL_PROJECT", "FULL_USER", "PHONE"]

PHONE = "+12025550143"

FULL_USER = SeedUser(
    "ada@acme.example",
    "Ada King Lovelace",
    {
        "acme": Grants(("admin",), ("reports.read", "reports.write")),
        "globex": Grants(("viewer",), ("reports.read",)),
    },
    roles=("support",),
    permissions=("tickets.read",),
    phone=PHONE,
    picture="https://images.example/ada.png",
    custom_attributes={"seat": 7, "teams": ["engines"]},
    given_name="Ada",
    middle_name="King",
    family_name="Lovelace",
    account=SeedAccount(
        verified_email=True,
        verified_phone=True,
        external_ids=("hr-4711",),
        created_time=1_685_930_000,
        test=True,
        consent_expiration=1_900_000_000,
        sso_app_ids=("SA2reports",),
        methods=("TOTP", "SAML", "SCIM", "OIDC", "webauthn", "password", "push"),
        oauth={"google": True, "github": False},
    ),
    idp=SeedIdp(
        groups=("engineering", "on-call"),
        saml_attributes={"department": ["R&D"]},
        oidc_claims={"hd": "acme.example"},
        saml_response="<Response/>",
        saml_generated_user='{"name": "Ada"}',
        saml_generated_roles='["admin"]',
        oidc_response='{"id_token": "e30"}',
        oidc_generated_user='{"name": "Augusta"}',
        oidc_generated_roles='["viewer"]',
    ),
    login=SeedLogin("from-another-vendor", trusted_device=True, claims={"plan": "gold"}),
)

FULL_PROJECT = Project(
    tenants=(
        SeedTenant("acme", "Acme Corp", ("acme.example",), ("acme-okta",), default_sso_id="acme-entra"),
        SeedTenant("globex", "Globex", ("globex.example",)),
    ),
    users=(FULL_USER,),
    inactivity_seconds=600,
    cookies=CookieSettings(session_domain="app.acme.example", domain="acme.example"),
    assumptions=Assumptions(select_repeats_sign_in=True),
)
"""Sign-ins, tenant switches and refreshes of Ada return every field. An nOTP returns no ``idpResponse``."""
