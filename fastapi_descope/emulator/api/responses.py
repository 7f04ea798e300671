"""Response bodies of Descope's API with its exact field names (wire contract, sections 2 and 4)."""

from starlette.responses import JSONResponse, Response

from ..directory import SeedIdp, SeedTenant, SeedUser
from ..project import CookieSettings, Project
from ..tokens import IssuedTokens, LoginRecord

__all__ = [
    "empty_jwt_response",
    "history_json",
    "idp_json",
    "jwt_response",
    "logout_response",
    "tenants_json",
    "token_response",
    "user_json",
]

_METHODS = ("TOTP", "SAML", "SCIM", "OIDC", "webauthn", "password", "push")


def idp_json(idp: SeedIdp) -> dict[str, object]:
    """Return the ``idpResponse`` of a sign-in."""
    return {
        "samlResponse": idp.saml_response,
        "samlGeneratedUser": idp.saml_generated_user,
        "samlGeneratedRoles": idp.saml_generated_roles,
        "oidcResponse": idp.oidc_response,
        "oidcGeneratedUser": idp.oidc_generated_user,
        "oidcGeneratedRoles": idp.oidc_generated_roles,
        "idpGroups": list(idp.groups),
        "idpSAMLAttributes": dict(idp.saml_attributes),
        "idpOIDCClaims": dict(idp.oidc_claims),
    }


def user_json(user: SeedUser, project: Project) -> dict[str, object]:
    """Return the ResponseUser of a user. Roles are called ``roleNames`` here, but ``roles`` in JWTs."""
    given, _, family = user.name.partition(" ")
    account = user.account
    return {
        "loginIds": [user.login_id],
        "userId": user.user_id,
        "name": user.name,
        "givenName": user.given_name or given,
        "middleName": user.middle_name,
        "familyName": user.family_name or family,
        "email": user.email,
        "phone": user.phone,
        "verifiedEmail": _or_default(account.verified_email, default=bool(user.email)),
        "verifiedPhone": _or_default(account.verified_phone, default=bool(user.phone)),
        "roleNames": list(user.roles),
        "userTenants": [_membership_json(tenant, user) for tenant in project.tenants_of(user)],
        "status": user.status,
        "externalIds": list(account.external_ids),
        "picture": user.picture,
        "test": account.test,
        "customAttributes": dict(user.custom_attributes),
        "createdTime": account.created_time,
        **{method: method in user.methods for method in _METHODS},
        "OAuth": dict(account.oauth),
        "ssoAppIds": list(account.sso_app_ids),
        "editable": account.editable,
        "permissions": list(user.permissions),
        "consentExpiration": account.consent_expiration,
    }


def _or_default(value: bool | None, *, default: bool) -> bool:  # noqa: FBT001 - the value of a field
    return default if value is None else value


def _membership_json(tenant: SeedTenant, user: SeedUser) -> dict[str, object]:
    grants = user.grants_in(tenant.id)
    return {
        "tenantId": tenant.id,
        "tenantName": tenant.name,
        "roleNames": list(grants.roles),
        "permissions": list(grants.permissions),
    }


def jwt_response(
    issued: IssuedTokens,
    project: Project,
    *,
    now: float,
    with_user: bool,
) -> dict[str, object]:
    """Return the JWTResponse with both tokens.

    ``firstSeen`` is always present: an SDK takes its absence for true.

    Args:
        issued: The tokens, and the facts of the sign-in that the response repeats.
        project: The project.
        now: Epoch seconds.
        with_user: Whether ``user`` is the user object, or null.
    """
    login, sign_in = issued.user.login, issued.sign_in
    return empty_jwt_response() | {
        "sessionJwt": issued.session_jwt,
        "refreshJwt": issued.refresh_jwt,
        "cookieDomain": project.cookies.domain,
        "cookiePath": project.cookies.path,
        "cookieMaxAge": issued.refresh_expires_at - int(now),
        "cookieExpiration": issued.refresh_expires_at,
        "sessionExpiration": issued.session_expires_at,
        "nextRefreshSeconds": issued.next_refresh_seconds,
        "cookieName": project.cookies.refresh_name,
        "sessionCookieName": project.cookies.session_name,
        "sessionCookieDomain": project.cookies.session_domain,
        "user": user_json(issued.user, project) if with_user else None,
        "firstSeen": sign_in.first_seen,
        "idpResponse": None if sign_in.idp is None else idp_json(sign_in.idp),
        "tenantSSOID": sign_in.sso_id,
        "externalToken": login.external_token,
        "trustedDeviceJwt": issued.trusted_device_jwt,
        "claims": dict(login.claims),
    }


def empty_jwt_response() -> dict[str, object]:
    """Return the JWTResponse without tokens, which is the response to a logout (section 2.8)."""
    return {
        "sessionJwt": "",
        "refreshJwt": "",
        "cookieDomain": "",
        "cookiePath": "/",
        "cookieMaxAge": 0,
        "cookieExpiration": 0,
        "sessionExpiration": 0,
        "nextRefreshSeconds": 0,
        "cookieName": "",
        "sessionCookieName": "",
        "sessionCookieDomain": "",
        "user": None,
        "firstSeen": False,
        "idpResponse": None,
        "tenantSSOID": "",
        "externalToken": "",
        "trustedDeviceJwt": "",
        "claims": {},
    }


def tenants_json(tenants: tuple[SeedTenant, ...]) -> dict[str, object]:
    """Return the body of ``/me/tenants``."""
    return {"tenants": [_tenant_json(tenant) for tenant in tenants]}


def _tenant_json(tenant: SeedTenant) -> dict[str, object]:
    return {"id": tenant.id, "name": tenant.name, "customAttributes": dict(tenant.custom_attributes)}


def history_json(records: tuple[LoginRecord, ...]) -> list[dict[str, object]]:
    """Return the body of ``/me/history``, a bare array."""
    return [_record_json(record) for record in records]


def _record_json(record: LoginRecord) -> dict[str, object]:
    location: dict[str, object] = {"city": "", "country": "", "ip": "127.0.0.1"}
    tenant = {} if record.tenant is None else {"selectedTenant": record.tenant}
    return {"userId": record.user_id, "loginTime": record.at} | location | tenant


def token_response(body: dict[str, object], project: Project, *, now: float) -> Response:
    """Return a JWTResponse with its tokens in the body or in cookies, as the project is configured.

    A token in a cookie is empty in the body. Each cookie expires with its token; how long Descope's session
    cookie lasts is unknown.
    """
    places = {"sessionJwt": project.session_token_in, "refreshJwt": project.refresh_token_in}
    expiries = {"sessionJwt": body["sessionExpiration"], "refreshJwt": body["cookieExpiration"]}
    in_cookies = {name: body[name] for name, place in places.items() if place == "cookie" and body[name]}
    response = JSONResponse(body | dict.fromkeys(in_cookies, ""))
    for name, token in in_cookies.items():
        seconds = int(str(expiries[name])) - int(now)
        _set_cookie(response, project.cookies, str(token), seconds, is_session=name == "sessionJwt")
    return response


def logout_response(project: Project) -> Response:
    """Return the response to a logout, which clears both cookies (section 2.8)."""
    response = JSONResponse(empty_jwt_response())
    for is_session in (True, False):
        _set_cookie(response, project.cookies, "", 0, is_session=is_session)
    return response


def _set_cookie(
    response: Response, settings: CookieSettings, value: str, seconds: int, *, is_session: bool
) -> None:
    domain = settings.session_domain if is_session else settings.domain
    response.set_cookie(
        settings.session_name if is_session else settings.refresh_name,
        value,
        max_age=seconds,
        path=settings.path,
        domain=domain or None,
        secure=True,
        httponly=True,
        samesite=settings.same_site,
    )
