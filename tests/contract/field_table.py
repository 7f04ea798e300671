"""The table of Descope's fields and the places where a FastAPI developer reaches them.

``python -m tests.contract.field_table`` signs in to an app, and prints the table with the values that it
found, as Markdown.
"""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import cast

from .field_journey import Observation, run_journey
from .wire_record import pages

__all__ = ["NAMED", "ROWS", "Row", "agree", "as_markdown"]

AUTHORIZE = "POST /v1/auth/sso/authorize"
EXCHANGE = "POST /v1/auth/sso/exchange"
SELECT = "POST /v1/auth/tenant/select"
NOTP = "POST /v1/auth/notp/pending-session"

ENDPOINTS = {
    AUTHORIZE: "GET /login/sso",
    EXCHANGE: "GET /callback",
    SELECT: "POST /tenant/select",
    NOTP: "POST /login/notp/session",
}
"""The route of the app that calls each endpoint."""

REQUESTS = {
    AUTHORIZE: {
        "bearer.project_id": "DESCOPE_PROJECT_ID",
        "query.tenant": "GET /login/sso?tenant=",
        "query.redirectURL": "DESCOPE_PUBLIC_URL",
        "query.prompt": "GET /login/sso?prompt=",
        "query.ssoId": "GET /login/sso?sso_id=",
        "query.loginHint": "GET /login/sso?login_hint=",
        "query.forceAuthn": "GET /login/sso?force_authn=",
        "body.stepup": "GET /login/sso?step_up=true",
        "body.mfa": "GET /login/sso?mfa=true",
        "body.customClaims": "LoginOptions.custom_claims",
        "body.pkceChallenge": "LoginOptions.pkce_challenge",
        "body.revokeOtherSessions": "LoginOptions.revoke_other_sessions",
        "body.revokeOtherSessionsTypes": "LoginOptions.revoke_other_sessions_types",
        "body.ssoAppId": "LoginOptions.sso_app_id",
        "body.templateId": "LoginOptions.template_id",
        "body.templateOptions": "LoginOptions.template_options",
        "body.locale": "LoginOptions.locale",
    },
    EXCHANGE: {"bearer.project_id": "DESCOPE_PROJECT_ID", "body.code": "GET /callback?code="},
    SELECT: {
        "bearer.project_id": "DESCOPE_PROJECT_ID",
        "bearer.refresh_jwt": "refresh cookie of the request",
        "body.tenant": "POST /tenant/select tenant=",
    },
    NOTP: {"bearer.project_id": "DESCOPE_PROJECT_ID", "body.pendingRef": "POST /login/notp/session state="},
}
"""Where a developer, or the browser, sets each field of a request."""

USER = {
    "loginIds": "login_ids",
    "userId": "user_id",
    "name": "name",
    "email": "email",
    "phone": "phone",
    "verifiedEmail": "verified_email",
    "verifiedPhone": "verified_phone",
    "roleNames": "roles",
    "userTenants": "tenants",
    "userTenants[].tenantId": "tenants[].id",
    "userTenants[].roleNames": "tenants[].roles",
    "userTenants[].tenantName": "tenants[].name",
    "userTenants[].permissions": "tenants[].permissions",
    "status": "status",
    "externalIds": "external_ids",
    "picture": "picture",
    "test": "is_test",
    "customAttributes": "custom_attributes",
    "createdTime": "created_at",
    "TOTP": "totp",
    "SAML": "saml",
    "OAuth": "oauth",
    "webauthn": "webauthn",
    "password": "password",
    "ssoAppIds": "sso_app_ids",
    "givenName": "given_name",
    "middleName": "middle_name",
    "familyName": "family_name",
    "editable": "editable",
    "SCIM": "scim",
    "push": "push",
    "permissions": "permissions",
    "OIDC": "oidc",
    "consentExpiration": "consent_expiration",
}
"""The user object, and the attributes of ``UserProfile``."""

IDP_RESPONSE = {
    "samlResponse": "saml_response",
    "samlGeneratedUser": "saml_generated_user",
    "samlGeneratedRoles": "saml_generated_roles",
    "oidcResponse": "oidc_response",
    "oidcGeneratedUser": "oidc_generated_user",
    "oidcGeneratedRoles": "oidc_generated_roles",
    "idpGroups": "groups",
    "idpSAMLAttributes": "saml_attributes",
    "idpOIDCClaims": "oidc_claims",
}
"""``idpResponse``, and the attributes of ``IdpResponse``."""

TOKEN_RESPONSE = {
    "sessionJwt": "session cookie",
    "refreshJwt": "refresh cookie",
    "cookieDomain": "login.project_cookies.refresh_domain",
    "cookiePath": "login.project_cookies.path",
    "cookieMaxAge": "login.project_cookies.max_age",
    "cookieExpiration": "login.project_cookies.expires_at",
    "cookieName": "login.project_cookies.refresh_name",
    "sessionCookieName": "login.project_cookies.session_name",
    "sessionCookieDomain": "login.project_cookies.session_domain",
    "sessionExpiration": "login.session.expires_at",
    "nextRefreshSeconds": "session cookie; Max-Age",
    "firstSeen": "login.first_seen",
    "externalToken": "login.external_token",
    "claims": "login.claims",
    "tenantSSOID": "login.tenant_sso_id",
    "trustedDeviceJwt": "login.trusted_device_jwt",
    "user": "login.user",
    **{f"user.{name}": f"login.user.{attribute}" for name, attribute in USER.items()},
    "idpResponse": "login.idp",
    **{f"idpResponse.{name}": f"login.idp.{attribute}" for name, attribute in IDP_RESPONSE.items()},
}
"""A response with tokens. ``login`` is the argument of ``on_login``, and ``get_login(request)`` elsewhere."""

RESPONSES = {
    AUTHORIZE: {"url": "redirect of GET /login/sso"},
    EXCHANGE: TOKEN_RESPONSE,
    SELECT: TOKEN_RESPONSE,
    NOTP: {
        name: api
        for name, api in TOKEN_RESPONSE.items()
        if not name.startswith("idpResponse") and name not in {"tenantSSOID", "firstSeen"}
    },
}
"""Where a developer reaches each field of a response.

No identity provider takes part in an nOTP, and it is not the first login of the journey.
"""

_MAX_VALUE = 40
_JWT_START = "eyJ"
_RANDOM = {"body.code", "body.pendingRef"}


_NAMES = {
    page: {
        (endpoint, direction, name)
        for endpoint, named in endpoints.items()
        for direction, names in (
            ("endpoint", ("",)),
            ("request", named.request),
            ("response", named.response),
        )
        for name in names
    }
    for page, endpoints in pages().items()
}
NAMED = frozenset[tuple[str, str, str]]().union(*_NAMES.values())
"""Everything that the pages name: endpoint, direction and wire name."""


@dataclass(frozen=True, slots=True)
class Row:
    """One field of one endpoint, or the endpoint itself.

    Attributes:
        endpoint: The endpoint.
        direction: ``endpoint``, ``request`` or ``response``.
        wire: The path of the field in the request or response.
        api: Where the developer reaches it. ``[]`` stands for the members of a collection.
    """

    endpoint: str
    direction: str
    wire: str
    api: str

    def __str__(self) -> str:
        return f"{self.endpoint.partition('/v1/auth/')[2]} {self.direction} {self.wire}".strip()

    @property
    def pages(self) -> tuple[str, ...]:
        """The documentation pages that name it."""
        return tuple(
            page for page, names in _NAMES.items() if (self.endpoint, self.direction, self.wire) in names
        )

    def on_the_wire(self, seen: Observation) -> list[object]:
        """Return the values of the field in the call."""
        if self.direction == "request":
            return [seen.wire.request.get(self.wire)]
        return _values_at(seen.wire.response, self.wire)

    def in_the_app(self, seen: Observation) -> list[object]:
        """Return the values that the developer reaches."""
        place = next(name for name in seen.app if f"{self.api}.".startswith(f"{name}."))
        return _values_at(seen.app[place], self.api[len(place) + 1 :])


def _rows() -> Iterator[Row]:
    for endpoint, route in ENDPOINTS.items():
        yield Row(endpoint, "endpoint", "", route)
        for name, api in REQUESTS[endpoint].items():
            yield Row(endpoint, "request", name, api)
        for name, api in RESPONSES[endpoint].items():
            yield Row(endpoint, "response", name, api)


ROWS = tuple(_rows())


def agree(wire: list[object], app: list[object]) -> bool:
    """Return whether both sides have the same values, and the values of the wire are not empty or false."""
    return all(wire) and len(wire) == len(app) > 0 and all(map(_is_same, wire, app))


def as_markdown(seen: Mapping[str, Observation]) -> str:
    """Return the table, with one line for the fields that several endpoints share."""
    lines = ["| | wire name | endpoints | named by pages | FastAPI | value |", "|---|---|---|---|---|---|"]
    merged: dict[tuple[str, str, str], list[Row]] = {}
    for row in ROWS:
        merged.setdefault((row.direction, row.wire or row.endpoint, row.api), []).append(row)
    for (direction, wire, api), rows in merged.items():
        endpoints = ", ".join(row.endpoint.rpartition("/")[2] for row in rows)
        named_by = ", ".join(dict.fromkeys(page for row in rows for page in row.pages)) or "wire contract"
        value = _shortened(wire, rows[0].in_the_app(seen[rows[0].endpoint])[0])
        lines.append(f"| {direction} | `{wire}` | {endpoints} | {named_by} | `{api}` | {value} |")
    return "\n".join(lines) + "\n"


def _values_at(root: object, path: str) -> list[object]:
    """Return the values at a path through mappings, objects and, with ``[]``, collections."""
    if not path:
        return [root]
    name, _, rest = path.partition(".")
    value = _member(root, name.removesuffix("[]"))
    members = _members(value) if name.endswith("[]") else [value]
    return [each for member in members for each in _values_at(member, rest)]


def _member(root: object, name: str) -> object:
    return cast("Mapping[str, object]", root).get(name) if isinstance(root, Mapping) else getattr(root, name)


def _members(value: object) -> list[object]:
    collection = cast("Mapping[str, object] | list[object]", value)
    return list(collection.values()) if isinstance(collection, Mapping) else list(collection)


def _is_same(wire: object, app: object) -> bool:
    """Return whether a value of the wire and one of the app are the same.

    An object is the same as an instance of a dataclass that has an attribute for each of its fields. The
    fields have rows of their own.
    """
    if is_dataclass(app):
        return isinstance(wire, dict) and len(fields(app)) == len(cast("dict[str, object]", wire))
    if isinstance(wire, list) and isinstance(app, Mapping):
        return all(map(_is_same, cast("list[object]", wire), _members(cast("object", app))))
    return wire == _as_json(app)


def _as_json(value: object) -> object:
    """Return a frozen JSON value with dicts and lists."""
    match value:
        case Mapping():
            return {name: _as_json(each) for name, each in cast("Mapping[str, object]", value).items()}
        case tuple():
            return [_as_json(each) for each in cast("tuple[object, ...]", value)]
        case _:
            return value


def _shortened(wire: str, value: object) -> str:
    """Return a value for the table. The values of tokens and codes differ in every run."""
    if isinstance(value, str) and value.startswith(_JWT_START):
        return "a JWT"
    if wire in _RANDOM:
        return "a random text"
    text = type(value).__name__ if is_dataclass(value) else str(_as_json(value))
    text = text if len(text) <= _MAX_VALUE else f"{text[: _MAX_VALUE - 1]}…"
    return f"`{text}`"


if __name__ == "__main__":
    print(as_markdown(asyncio.run(run_journey())), end="")  # noqa: T201 - the output of the command
