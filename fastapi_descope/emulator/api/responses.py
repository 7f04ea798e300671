"""The JSON that Descope answers with (wire contract, section 2). Names and spelling are exact."""

from starlette.responses import JSONResponse, Response

from ..directory import SeedTenant, SeedUser
from ..project import CookieSettings, Project
from ..tokens import IssuedTokens, LoginRecord

__all__ = [
    "NO_IDP_DETAILS",
    "empty_jwt_response",
    "history_json",
    "jwt_response",
    "logout_response",
    "tenants_json",
    "token_response",
    "user_json",
]

_CREATED = 1_700_000_000  # every seed user was created then: a fixed answer, told from a real one at once

NO_IDP_DETAILS: dict[str, object] = {
    "samlResponse": "",
    "samlGeneratedUser": "",
    "samlGeneratedRoles": "",
    "oidcResponse": "",
    "oidcGeneratedUser": "",
    "oidcGeneratedRoles": "",
    "idpGroups": [],
    "idpSAMLAttributes": {},
    "idpOIDCClaims": {},
}


def user_json(user: SeedUser, project: Project) -> dict[str, object]:
    """ResponseUser: roles are ``roleNames`` here, and ``roles`` in the JWT."""
    given, _, family = user.name.partition(" ")
    return {
        "loginIds": [user.login_id],
        "userId": user.user_id,
        "name": user.name,
        "givenName": given,
        "middleName": "",
        "familyName": family,
        "email": user.email,
        "phone": user.phone,
        "verifiedEmail": bool(user.email),
        "verifiedPhone": bool(user.phone),
        "roleNames": list(user.roles),
        "userTenants": [
            {
                "tenantId": tenant.id,
                "tenantName": tenant.name,
                "roleNames": list(user.tenants[tenant.id].roles),
                "permissions": list(user.tenants[tenant.id].permissions),
            }
            for tenant in project.tenants_of(user)
        ],
        "status": user.status,
        "externalIds": [],
        "picture": user.picture,
        "test": False,
        "customAttributes": dict(user.custom_attributes),
        "createdTime": _CREATED,
        "TOTP": False,
        "SAML": "fed" in user.amr,
        "SCIM": False,
        "OIDC": False,
        "webauthn": False,
        "password": False,
        "push": False,
        "OAuth": {},
        "ssoAppIds": [],
        "editable": True,
        "permissions": list(user.permissions),
        "consentExpiration": 0,
    }


def jwt_response(
    minted: IssuedTokens,
    project: Project,
    *,
    now: float,
    user: dict[str, object] | None = None,
    idp: dict[str, object] | None = None,
) -> dict[str, object]:
    """JWTResponse, both tokens in it. ``firstSeen`` is always there: an SDK takes its absence for true."""
    return empty_jwt_response() | {
        "sessionJwt": minted.session_jwt,
        "refreshJwt": minted.refresh_jwt,
        "cookieDomain": project.cookies.domain,
        "cookiePath": project.cookies.path,
        "cookieMaxAge": minted.refresh_expires_at - int(now),
        "cookieExpiration": minted.refresh_expires_at,
        "sessionExpiration": minted.session_expires_at,
        "nextRefreshSeconds": minted.next_refresh_seconds,
        "cookieName": project.cookies.refresh_name,
        "sessionCookieName": project.cookies.session_name,
        "sessionCookieDomain": project.cookies.session_domain,
        "user": user,
        "firstSeen": minted.first_seen,
        "idpResponse": idp,
        "tenantSSOID": minted.sso_id,
    }


def empty_jwt_response() -> dict[str, object]:
    """JWTResponse with nothing in it: what a logout answers (section 2.8)."""
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
    """The answer of ``/me/tenants``."""
    return {"tenants": [_tenant_json(tenant) for tenant in tenants]}


def _tenant_json(tenant: SeedTenant) -> dict[str, object]:
    return {"id": tenant.id, "name": tenant.name, "customAttributes": dict(tenant.custom_attributes)}


def history_json(visits: tuple[LoginRecord, ...]) -> list[dict[str, object]]:
    """The answer of ``/me/history``: a bare array."""
    return [_visit_json(visit) for visit in visits]


def _visit_json(visit: LoginRecord) -> dict[str, object]:
    place: dict[str, object] = {"city": "", "country": "", "ip": "127.0.0.1"}
    tenant = {} if visit.tenant is None else {"selectedTenant": visit.tenant}
    return {"userId": visit.user_id, "loginTime": visit.at} | place | tenant


def token_response(answer: dict[str, object], project: Project, *, now: float) -> Response:
    """A JWTResponse as the project sends it: a token that goes into a cookie is empty in the body.

    Each cookie lives as long as its token; how long Descope's session cookie does is unknown.
    """
    places = {"sessionJwt": project.session_token_in, "refreshJwt": project.refresh_token_in}
    ends = {"sessionJwt": answer["sessionExpiration"], "refreshJwt": answer["cookieExpiration"]}
    moved = {name: answer[name] for name, place in places.items() if place == "cookie" and answer[name]}
    response = JSONResponse(answer | dict.fromkeys(moved, ""))
    for name, token in moved.items():
        seconds = int(str(ends[name])) - int(now)
        _set(response, project.cookies, str(token), seconds, is_session=name == "sessionJwt")
    return response


def logout_response(project: Project) -> Response:
    """The answer to a logout: JWTResponse with nothing in it, and both cookies cleared (section 2.8)."""
    response = JSONResponse(empty_jwt_response())
    for is_session in (True, False):
        _set(response, project.cookies, "", 0, is_session=is_session)
    return response


def _set(response: Response, plan: CookieSettings, value: str, seconds: int, *, is_session: bool) -> None:
    domain = plan.session_domain if is_session else plan.domain
    response.set_cookie(
        plan.session_name if is_session else plan.refresh_name,
        value,
        max_age=seconds,
        path=plan.path,
        domain=domain or None,
        secure=True,
        httponly=True,
        samesite=plan.same_site,
    )
