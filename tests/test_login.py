"""``Login``: what Descope sends with the tokens of a login, whatever it sends."""

import json
from collections.abc import Mapping
from dataclasses import FrozenInstanceError, fields, replace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastapi_descope._upstream.responses import ApiResponse, parse_tokens
from fastapi_descope.login import IdpResponse, Login, ProjectCookies
from fastapi_descope.profile import UserProfile
from fastapi_descope.session import AuthSession
from tests.test_profile import FULL, FULL_JSON

SESSION = AuthSession.from_claims({"sub": "U1", "iat": 1, "exp": 2})
BARE = Login(SESSION, UserProfile("U1"))
CANARY = "canary@acme.example"

IDP_JSON: Mapping[str, object] = {
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
COOKIES_JSON: Mapping[str, object] = {
    "cookieName": "__Host-refresh",
    "sessionCookieName": "session",
    "cookieDomain": "acme.example",
    "sessionCookieDomain": "app.acme.example",
    "cookiePath": "/app",
    "cookieMaxAge": 2_419_200,
    "cookieExpiration": 1_802_419_200,
}
TOKENS: Mapping[str, object] = {"sessionJwt": "a.b.c", "refreshJwt": "d.e.f"}
FULL_RESPONSE: Mapping[str, object] = {
    **TOKENS,
    **COOKIES_JSON,
    "user": FULL_JSON,
    "firstSeen": True,
    "idpResponse": IDP_JSON,
    "sessionExpiration": 1_800_000_600,
    "externalToken": "from-another-vendor",
    "claims": {"plan": {"tier": ["gold"]}},
    "tenantSSOID": "acme-okta",
    "trustedDeviceJwt": "g.h.i",
    "nextRefreshSeconds": 90,
}
"""A token response with every field of the documentation."""


def read(response: Mapping[str, object]) -> Login:
    """Return the login of a response, after it was sent as JSON."""
    tokens = parse_tokens(ApiResponse(200, json.dumps(response).encode()))
    return Login.from_response(SESSION, tokens.fields)


def test_every_field_of_a_token_response_is_parsed() -> None:
    """Each part has values other than its defaults, so that none can be forgotten."""
    login = read(FULL_RESPONSE)

    assert login.session is SESSION
    assert login.user == FULL
    assert login.first_seen
    assert login.idp == IdpResponse(
        groups=("engineering", "on-call"),
        saml_attributes={"department": ("R&D",)},
        oidc_claims={"hd": "acme.example"},
        saml_response="<Response/>",
        saml_generated_user='{"name": "Ada"}',
        saml_generated_roles='["admin"]',
        oidc_response='{"id_token": "x"}',
        oidc_generated_user='{"name": "Augusta"}',
        oidc_generated_roles='["viewer"]',
    )
    assert login.external_token == "from-another-vendor"
    assert login.tenant_sso_id == "acme-okta"
    assert login.trusted_device_jwt == "g.h.i"
    assert login.claims == {"plan": {"tier": ("gold",)}}
    assert login.project_cookies == ProjectCookies(
        session_name="session",
        refresh_name="__Host-refresh",
        session_domain="app.acme.example",
        refresh_domain="acme.example",
        path="/app",
        max_age=2_419_200,
        expires_at=1_802_419_200,
    )
    for value, default in (
        (login, BARE),
        (login.idp, IdpResponse()),
        (login.project_cookies, ProjectCookies()),
    ):
        unset = [
            each.name for each in fields(value) if getattr(value, each.name) == getattr(default, each.name)
        ]
        assert unset in ([], ["session"])


@pytest.mark.parametrize(
    "response",
    [
        {},
        dict.fromkeys(FULL_RESPONSE),
        {"idpResponse": dict.fromkeys(IDP_JSON), "user": {}},
        {"externalToken": "", "tenantSSOID": "", "trustedDeviceJwt": "", "cookieName": "", "cookiePath": ""},
        {"user": {"name": "Ada"}, "idpResponse": [], "claims": "x", "firstSeen": 1},
    ],
)
def test_a_login_without_further_fields_has_the_user_id_alone(response: Mapping[str, object]) -> None:
    """Hooks need no check for None of the user or of the identity provider's response."""
    assert read(response) == BARE


def test_artefacts_of_the_documentation_count_as_absent() -> None:
    """One page shows the SAML attributes as ``false``; the groups of the same object are parsed."""
    login = read({"idpResponse": {"idpSAMLAttributes": False, "idpOIDCClaims": {}, "idpGroups": ["staff"]}})

    assert login.idp == IdpResponse(groups=("staff",))


def test_a_malformed_field_of_the_user_or_of_the_idp_affects_no_other_field() -> None:
    """Half a surrogate pair, which cannot be sent on, makes one field absent and not the whole object."""
    login = read(
        {"user": {**FULL_JSON, "name": "\ud800"}, "idpResponse": {**IDP_JSON, "idpGroups": ["\ud800"]}}
    )

    assert login.user == replace(FULL, name=None)
    assert login.idp == replace(IdpResponse.from_json(IDP_JSON), groups=())


@pytest.mark.parametrize("value", [1, "true", "false", [], {}, None])
def test_first_seen_must_be_exactly_true(value: object) -> None:
    """An app may create a user because of it."""
    assert read({"firstSeen": value}).first_seen is False


@pytest.mark.parametrize("groups", ["admins", ["admins", 1], {"admins": True}, [["admins"]], True])
def test_malformed_groups_are_no_groups(groups: object) -> None:
    """An app may map them to roles, so a string is never a list."""
    assert read({"idpResponse": {"idpGroups": groups}}).idp.groups == ()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("cookieName", name) for name in ("a b", "a;b", "a=b", "é", "a\n", "n" * 65, 1, ["DSR"])],
        *[("sessionCookieName", name) for name in ("a\r\nSet-Cookie: x", "a,b", "\x00")],
        *[("cookieDomain", domain) for domain in ("x.com; Path=/evil", "a b", "x" * 254, 1)],
        *[("sessionCookieDomain", domain) for domain in ("com\n", "é.example")],
        *[("cookiePath", path) for path in ("evil", "/a;Domain=b", "/a\n", "/é", "/" * 257)],
        *[("cookieMaxAge", seconds) for seconds in (0, -1, True, "60", 1.5)],
        *[("cookieExpiration", time) for time in (0, -1, True, "60", 10**30)],
    ],
)
def test_malformed_cookie_settings_count_as_absent(field: str, value: object) -> None:
    """They reach log lines, so they contain nothing that a cookie could not."""
    assert read({field: value}).project_cookies == ProjectCookies()


def canaries(value: object) -> object:
    """Return ``value`` with each text replaced by an e-mail address."""
    if isinstance(value, Mapping):
        return {name: canaries(member) for name, member in cast("Mapping[str, object]", value).items()}
    if isinstance(value, list):
        return [canaries(item) for item in cast("list[object]", value)]
    return CANARY if isinstance(value, str) else value


def test_lg06_repr_of_a_login_shows_no_secret_and_no_personal_data() -> None:
    """A login in a log line shows the session, the user id and the SSO configuration."""
    user = {**cast("dict[str, object]", canaries(FULL_JSON)), "userId": "U1"}
    everywhere = cast("dict[str, object]", canaries(FULL_RESPONSE))
    login = read({**everywhere, "user": user, "tenantSSOID": "acme-okta", "sessionJwt": "a.b.c"})

    assert login.external_token == login.trusted_device_jwt == CANARY
    assert login.user.email == login.idp.saml_response == CANARY
    assert CANARY not in repr((login, login.idp, login.user))
    assert "acme-okta" in repr(login)


def test_a_login_cannot_be_changed_at_any_depth() -> None:
    """Several hooks get the same object."""
    login = read(FULL_RESPONSE)

    with pytest.raises(FrozenInstanceError):
        login.first_seen = False  # type: ignore[misc] # that this is an error is the promise
    for mapping in (login.claims, login.claims["plan"], login.idp.saml_attributes, login.idp.oidc_claims):
        with pytest.raises(TypeError):
            mapping["other"] = 1  # type: ignore[index] # that this is an error is the promise


texts = st.text() | st.sampled_from(["\ud800", CANARY, ""])
json_values: st.SearchStrategy[object] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
)


def mutated(sample: object) -> st.SearchStrategy[object]:
    """Return values like ``sample``, in which any member at any depth can be absent or any JSON value."""
    members: st.SearchStrategy[object] = st.just(sample)
    if isinstance(sample, Mapping):
        fields_of = cast("Mapping[str, object]", sample)
        optional = {name: mutated(member) for name, member in fields_of.items()}
        members = st.fixed_dictionaries({}, optional=optional)
    elif isinstance(sample, list):
        items = [mutated(item) for item in cast("list[object]", sample)]
        members = st.lists(st.one_of(items), max_size=3)
    return members | json_values


@given(extra=mutated({name: value for name, value in FULL_RESPONSE.items() if name not in TOKENS}))
def test_no_field_of_a_response_makes_its_tokens_unusable(extra: object) -> None:
    """Whatever is wrong with other fields, the tokens are parsed, and the values can be sent as JSON."""
    others = cast("dict[str, object]", extra) if isinstance(extra, dict) else {}
    body = json.dumps({**others, **TOKENS}).encode()

    tokens = parse_tokens(ApiResponse(200, body))
    login = Login.from_response(SESSION, tokens.fields)

    assert (tokens.session_jwt, tokens.refresh_jwt) == ("a.b.c", "d.e.f")
    assert CANARY not in repr((tokens, login, login.idp, login.user))
    json.dumps(
        [login.claims, login.idp.saml_attributes, login.user.custom_attributes], allow_nan=False
    ).encode()
