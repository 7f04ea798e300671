"""The values in Descope's responses: a login URL, a user, tenant names and an age."""

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
from fastapi_descope.profile import TenantMembership, UserProfile


def json_response(value: object) -> ApiResponse:
    """Return a 200 with ``value`` as JSON."""
    return ApiResponse(200, json.dumps(value).encode())


class TestLoginUrl:
    """A browser is redirected to the URL, so its form is checked (CB-11)."""

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
    def test_web_url_is_returned_unchanged(self, url: str) -> None:
        """Any https host may be an identity provider; http is for loopback."""
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
    def test_cb11_any_other_login_url_is_an_invalid_response(self, url: object) -> None:
        """No browser is redirected to it."""
        with pytest.raises(InvalidUpstreamResponse) as caught:
            parse_login_url(json_response({"url": url}))
        assert caught.value.reason == "login_url"


class TestProfile:
    """The user object is display data: a field of the wrong type counts as absent."""

    def test_the_profile_is_parsed_from_the_whole_body(self) -> None:
        """The body is the user object itself. Fields of the wrong type count as absent."""
        user = {"userId": "U1", "name": "Ada", "TOTP": True, "email": 1}
        assert parse_profile(json_response(user)) == UserProfile("U1", name="Ada", totp=True)

    @pytest.mark.parametrize("entry", [{}, {"tenantId": ""}, {"tenantId": 1}, "acme", None, ["acme"]])
    def test_membership_without_an_id_is_skipped(self, entry: object) -> None:
        """The other memberships are parsed."""
        profile = parse_profile(json_response({"userId": "U1", "userTenants": [entry, {"tenantId": "acme"}]}))
        assert dict(profile.tenants) == {"acme": TenantMembership("acme")}

    @pytest.mark.parametrize("user", [{}, {"userId": ""}, {"userId": 1}, {"user": {"userId": "U1"}}])
    def test_user_without_an_id_is_an_invalid_response(self, user: Mapping[str, object]) -> None:
        """A nested user object is no response of this endpoint."""
        with pytest.raises(InvalidUpstreamResponse) as caught:
            parse_profile(json_response(user))
        assert caught.value.reason == "profile"


class TestTenantNames:
    """The names of a user's tenants."""

    def test_tenant_names_are_parsed_by_id(self) -> None:
        """A tenant without a valid name has its id as name."""
        tenants = [{"id": "acme", "name": "Acme Corp"}, {"id": "globex"}, {"id": "initech", "name": 1}]
        assert dict(parse_tenant_names(json_response({"tenants": tenants}))) == {
            "acme": "Acme Corp",
            "globex": "globex",
            "initech": "initech",
        }

    @pytest.mark.parametrize(
        "response", [{}, {"tenants": None}, {"tenants": []}, {"tenants": [{}, 1, {"id": 2}]}]
    )
    def test_absent_tenants_are_an_empty_mapping(self, response: Mapping[str, object]) -> None:
        """Gateways omit empty lists."""
        assert dict(parse_tenant_names(json_response(response))) == {}

    @pytest.mark.parametrize("value", ["acme", 1, True, {"acme": {}}])
    def test_tenants_that_are_not_a_list_are_an_invalid_response(self, value: object) -> None:
        """Only a list or null is valid."""
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
def test_max_age_is_parsed_from_cache_control(header: str, seconds: int | None) -> None:
    """HTTP allows several spellings. An absurd number counts as absent."""
    assert parse_max_age(ApiResponse(200, b"", cache_control=header)) == seconds
