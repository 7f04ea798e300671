"""The values that Descope's answers hold: a login URL, a user, tenant names and an age."""

import json
from collections.abc import Mapping

import pytest

from fastapi_descope._upstream.responses import (
    ApiResponse,
    parse_login_url,
    parse_max_age,
    parse_profile,
    parse_tenant_names,
)
from fastapi_descope.errors import InvalidUpstreamResponse
from fastapi_descope.session import Tenant, UserProfile


def json_response(value: object) -> ApiResponse:
    """A 200 whose body is ``value`` as JSON."""
    return ApiResponse(200, json.dumps(value).encode())


class TestLoginUrl:
    """The answer to a login start is sent to a browser, so its form is checked (CB-11)."""

    @pytest.mark.parametrize(
        "url",
        [
            "https://api.descope.com/oauth2/v1/authorize?state=a%20b#frag",
            "https://idp.customer.example:8443/saml?SAMLRequest=abc%3D",
            "HTTPS://IDP.EXAMPLE/",
            "https://[2001:db8::1]/",
            "http://localhost:8000/signin/x",
            "http://127.0.0.1:1/",
            "http://127.9.9.9/",
            "http://[::1]:8000/",
            "https://idp.example/" + "a" * (8192 - 20),
        ],
    )
    def test_a_web_url_is_returned_as_it_came(self, url: str) -> None:
        """Any host over https may be an identity provider; http is for loopback."""
        assert parse_login_url(json_response({"url": url})) == url

    @pytest.mark.parametrize(
        "url",
        [
            None,
            "",
            0,
            1,
            True,
            [],
            ["https://idp.example/"],
            {},
            "/signin",
            "//evil.example/",
            "idp.example",
            "https:",
            "https://",
            "https:///evil.example",
            "https:evil.example",
            "https://:443/",
            "https://?x",
            "http://idp.example/",
            "http://127.0.0.1.evil.example/",
            "http://localhost.evil.example/",
            "http://0.0.0.0/",
            "http://10.0.0.1/",
            "http://[::2]/",
            "javascript:alert(1)",
            "data:text/html,x",
            "ftp://idp.example/",
            "wss://idp.example/",
            "https://user@idp.example/",
            "https://user:secret@idp.example/",
            "https://@idp.example/",
            "https:\\\\idp.example\\",
            "https://idp.example\\@evil.example/",
            "https://idp.example/\r\nSet-Cookie: a=b",
            "https://idp.example/\t",
            "https://idp.example/\x00",
            "https://idp.example/\x7f",
            " https://idp.example/",
            "https://idp.example/a b",
            "https://idp.example/é",
            "https://ïdp.example/",
            "http\u017f://idp.example/",
            "https://idp.example/\u212a",
            "https://idp.example:port/",
            "https://idp.example:99999/",
            "https://[::1/",
            "https://idp.example/" + "a" * (8193 - 20),
        ],
    )
    def test_cb11_anything_else_is_nonsense(self, url: object) -> None:
        """No browser is sent to what is not plainly a web address."""
        with pytest.raises(InvalidUpstreamResponse) as caught:
            parse_login_url(json_response({"url": url}))
        assert caught.value.reason == "login_url"


class TestProfile:
    """The user object is shown, never trusted: wrong shapes count as absent."""

    def test_a_full_user_is_read(self) -> None:
        """Every field that the value has is filled, under Descope's own names."""
        user = {
            "userId": "U1",
            "loginIds": ["ada@acme.example", "ada"],
            "name": "Ada Lovelace",
            "givenName": "Ada",
            "familyName": "Lovelace",
            "email": "ada@acme.example",
            "verifiedEmail": True,
            "phone": "+4930123",
            "verifiedPhone": True,
            "picture": "https://acme.example/ada.png",
            "userTenants": [
                {
                    "tenantId": "acme",
                    "tenantName": "Acme Corp",
                    "roleNames": ["admin"],
                    "permissions": ["read"],
                },
                {"tenantId": "globex"},
            ],
            "customAttributes": {"plan": "gold"},
            "TOTP": True,
        }
        assert parse_profile(json_response(user)) == UserProfile(
            user_id="U1",
            login_ids=("ada@acme.example", "ada"),
            name="Ada Lovelace",
            given_name="Ada",
            family_name="Lovelace",
            email="ada@acme.example",
            verified_email=True,
            phone="+4930123",
            verified_phone=True,
            picture="https://acme.example/ada.png",
            tenants={"acme": Tenant("acme", ("admin",), ("read",)), "globex": Tenant("globex")},
            tenant_names={"acme": "Acme Corp", "globex": "globex"},
            custom_attributes={"plan": "gold"},
        )

    @pytest.mark.parametrize("value", [None, "admin", 1, True, {"a": 1}, [1, None, ["admin"]], [], "", 0])
    def test_wrong_types_count_as_absent(self, value: object) -> None:
        """Only the user id is needed; a string is never a list, and truthy is never True."""
        user: dict[str, object] = {"userId": "U1", "verifiedEmail": 1, "verifiedPhone": "true"}
        user |= dict.fromkeys(("loginIds", "userTenants"), value)
        if not isinstance(value, str):
            user |= dict.fromkeys(("name", "givenName", "familyName", "email", "phone", "picture"), value)
        if not isinstance(value, dict):
            user["customAttributes"] = value
        assert parse_profile(json_response(user)) == UserProfile("U1")

    @pytest.mark.parametrize("entry", [{}, {"tenantId": ""}, {"tenantId": 1}, "acme", None, ["acme"]])
    def test_a_membership_without_an_id_is_skipped(self, entry: object) -> None:
        """One odd entry hides no other."""
        profile = parse_profile(json_response({"userId": "U1", "userTenants": [entry, {"tenantId": "acme"}]}))
        assert dict(profile.tenants) == {"acme": Tenant("acme")}

    @pytest.mark.parametrize("user", [{}, {"userId": ""}, {"userId": 1}, {"user": {"userId": "U1"}}])
    def test_no_user_id_is_nonsense(self, user: Mapping[str, object]) -> None:
        """A profile of nobody is not an answer; a wrapped one is not this endpoint's."""
        with pytest.raises(InvalidUpstreamResponse) as caught:
            parse_profile(json_response(user))
        assert caught.value.reason == "profile"

    def test_a_profile_is_read_only(self) -> None:
        """What one request was told, no other can change."""
        profile = parse_profile(json_response({"userId": "U1", "customAttributes": {"plan": "gold"}}))
        for mapping in (profile.tenants, profile.tenant_names, profile.custom_attributes):
            assert not hasattr(mapping, "__setitem__")


class TestTenantNames:
    """The tenants of a user, for a menu."""

    def test_names_by_id(self) -> None:
        """Ids are the keys; a tenant without a usable name is called by its id."""
        tenants = [{"id": "acme", "name": "Acme Corp"}, {"id": "globex"}, {"id": "initech", "name": 1}]
        assert dict(parse_tenant_names(json_response({"tenants": tenants}))) == {
            "acme": "Acme Corp",
            "globex": "globex",
            "initech": "initech",
        }

    @pytest.mark.parametrize(
        "response", [{}, {"tenants": None}, {"tenants": []}, {"tenants": [{}, 1, {"id": 2}]}]
    )
    def test_no_tenant_is_an_empty_mapping(self, response: Mapping[str, object]) -> None:
        """An absent list is an empty one, as gateways leave out what is empty."""
        assert dict(parse_tenant_names(json_response(response))) == {}

    @pytest.mark.parametrize("value", ["acme", 1, True, {"acme": {}}])
    def test_another_shape_is_nonsense(self, value: object) -> None:
        """What is not a list is not this endpoint's answer."""
        with pytest.raises(InvalidUpstreamResponse) as caught:
            parse_tenant_names(json_response({"tenants": value}))
        assert caught.value.reason == "tenants"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("max-age=300", 300),
        ("public, max-age=300", 300),
        ("public,MAX-AGE = 300 , immutable", 300),
        ('max-age="300"', 300),
        ("max-age=0", 0),
        ("max-age=999999999", 999999999),
        ("max-age=9999999999", None),
        ("s-maxage=300", None),
        ("x-max-age=300", None),
        ("max-age=-1", None),
        ("max-age=x", None),
        ("no-store", None),
        ("", None),
    ],
)
def test_max_age_is_read_from_cache_control(header: str, seconds: int | None) -> None:
    """The directive itself, in any spelling that HTTP allows; an absurd number is none."""
    assert parse_max_age(ApiResponse(200, b"", cache_control=header)) == seconds
