"""The wire contract, endpoint by endpoint, tested against the record and against the emulator.

The record (``recorded/``) holds what is known of Descope. The same tests run against both, so the emulator
sends neither more nor less than Descope.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import cast

import httpx
import pytest
from jose import jwt

from tests.contract.contract_targets import (
    Claims,
    ContractTarget,
    EmulatorServer,
    EmulatorTarget,
    RecordTarget,
    claims_of,
    emulator_server,
    in_process,
)
from tests.contract.wire_record import error_exchanges, exchanges, exchanges_with_tokens, pages, shapes
from tests.contract.wire_shapes import shape_errors, values_at

pytestmark = pytest.mark.anyio

FOUR_WEEKS = 28 * 24 * 3600
FULL_EXCHANGES = {
    "POST /v1/auth/sso/authorize": "start",
    "POST /v1/auth/sso/exchange": "exchange with every field",
    "POST /v1/auth/tenant/select": "select with every field",
    "POST /v1/auth/notp/pending-session": "nOTP with every field",
}
"""For each endpoint of the documentation pages, the exchange whose response has all of its fields."""


def _epoch(text: object) -> float:
    """Return the epoch seconds of RFC 3339 text."""
    assert isinstance(text, str)
    return datetime.fromisoformat(text).timestamp()


def _number(claims: Mapping[str, object], name: str) -> int:
    value = claims[name]
    assert isinstance(value, int)
    return value


class WireContract:
    """The tests of the contract. The fixture ``descope`` of a subclass is the target."""

    @pytest.mark.parametrize("name", exchanges())
    async def test_em07_status_and_shape(self, descope: ContractTarget, name: str) -> None:
        """The status is as recorded (of the same class if unknown), and the body has the recorded shape.

        EM-07.
        """
        recorded = exchanges()[name].response
        response = await descope.call(name)
        if recorded.status_certainty in {"measured", "documented"}:
            assert response.status == recorded.status
        assert response.status // 100 == recorded.status // 100
        assert response.headers["content-type"].partition(";")[0] == "application/json"
        assert shape_errors(recorded.shape, response.body, shapes()) == []

    @pytest.mark.parametrize("name", error_exchanges())
    async def test_errors_have_a_code(self, descope: ContractTarget, name: str) -> None:
        """It is Descope's code if a source names it (section 6). The Go SDK needs one."""
        recorded = exchanges()[name].response
        response = await descope.call(name)
        if recorded.code_certainty != "unknown":
            assert response.fields["errorCode"] == cast("Claims", recorded.body)["errorCode"]
        assert response.fields["errorDescription"] != ""
        assert response.cookies == []

    async def test_a_rate_limit_has_retry_after(self, descope: ContractTarget) -> None:
        """In whole seconds: SDKs parse no other format (section 6)."""
        assert (await descope.call("exchange while rate limited")).headers["retry-after"] == "7"

    @pytest.mark.parametrize("name", exchanges_with_tokens())
    async def test_tokens(self, descope: ContractTarget, name: str) -> None:
        """Each is signed with RS256, has a key id and its ``drn``, and has only recorded claims."""
        response = await descope.call(name)
        for field, shape, kind in (
            ("sessionJwt", "SessionClaims", "DS"),
            ("refreshJwt", "RefreshClaims", "DSR"),
        ):
            token = response.fields.get(field) or ""
            assert isinstance(token, str)
            if token:
                header = jwt.get_unverified_header(token)
                assert shape_errors("Header", header, shapes()) == []
                assert (header["alg"], header.get("typ")) == ("RS256", "JWT")
                assert shape_errors(shape, claims_of(token), shapes()) == []
                assert claims_of(token)["drn"] == kind

    @pytest.mark.parametrize("name", exchanges_with_tokens())
    async def test_times(self, descope: ContractTarget, name: str) -> None:
        """They are numbers in the JWT except ``rexp``. The body repeats both expiries in epoch seconds."""
        response = await descope.call(name)
        session = response.session
        refresh_ends = _epoch(session["rexp"])
        assert _number(session, "iat") < _number(session, "exp") <= refresh_ends
        assert response.fields["sessionExpiration"] == session["exp"]
        assert response.fields["cookieExpiration"] == refresh_ends
        if response.fields.get("refreshJwt"):
            assert response.refresh["exp"] == refresh_ends

    @pytest.mark.parametrize(
        ("page", "endpoint"),
        [(page, endpoint) for page, endpoints in pages().items() for endpoint in endpoints],
    )
    async def test_every_response_field_of_the_pages(
        self, descope: ContractTarget, page: str, endpoint: str
    ) -> None:
        """Each field that a documentation page names is in a response, with a value."""
        body = (await descope.call(FULL_EXCHANGES[endpoint])).body
        assert [path for path in pages()[page][endpoint].response if not values_at(body, path)] == []

    async def test_a_trusted_device_has_its_own_kind_of_token(self, descope: ContractTarget) -> None:
        """Its ``drn`` is that of neither a session token nor a refresh token (section 3.2)."""
        for name in ("exchange with every field", "select with every field", "nOTP with every field"):
            claims = claims_of((await descope.call(name)).fields["trustedDeviceJwt"])
            assert claims["drn"] == "DTD"

    async def test_start(self, descope: ContractTarget) -> None:
        """The body has the URL to redirect to and nothing else (section 2.1)."""
        assert (await descope.call("start")).fields.keys() == {"url"}

    async def test_exchange(self, descope: ContractTarget) -> None:
        """The session lasts ten minutes, the refresh token four weeks, for the same user (section 3.5)."""
        response = await descope.call("exchange")
        session, refresh = response.session, response.refresh
        assert _number(session, "exp") - _number(session, "iat") == 600
        assert _number(refresh, "exp") - _number(refresh, "iat") == FOUR_WEEKS
        assert response.fields["cookieMaxAge"] == FOUR_WEEKS
        assert session["sub"] == refresh["sub"] == cast("Claims", response.fields["user"])["userId"]
        assert session["amr"] == ["fed"]
        assert response.fields["firstSeen"] is True

    async def test_roles_have_two_names(self, descope: ContractTarget) -> None:
        """``roleNames`` in the user object, ``roles`` in the token (section 2.0)."""
        response = await descope.call("exchange")
        (tenant, *_) = cast("list[Claims]", cast("Claims", response.fields["user"])["userTenants"])
        grants = cast("dict[str, Claims]", response.session["tenants"])[str(tenant["tenantId"])]
        assert grants["roles"] == tenant["roleNames"] == ["admin"]
        assert "roles" not in tenant
        assert "roleNames" not in grants

    async def test_step_up_marks_only_the_session_token(self, descope: ContractTarget) -> None:
        """The refresh token never has ``su``, so the next refresh removes it (section 5)."""
        response = await descope.call("exchange after a step-up")
        assert response.session["su"] is True
        assert "su" not in response.refresh
        assert "su" not in (await descope.call("refresh after a step-up")).session

    async def test_mfa_is_added_to_amr(self, descope: ContractTarget) -> None:
        """After the methods before it (section 3.2)."""
        assert (await descope.call("exchange after MFA")).session["amr"] == ["fed", "mfa"]

    async def test_custom_claims_are_nested(self, descope: ContractTarget) -> None:
        """Claims that a client requests are under ``nsec`` (section 3.2)."""
        session = (await descope.call("exchange after custom claims")).session
        assert session["nsec"] == {"plan": "gold"}
        assert "plan" not in session

    async def test_refresh(self, descope: ContractTarget) -> None:
        """It returns a session in the same tenant. User and refresh token may be absent (section 2.5)."""
        response = await descope.call("refresh")
        assert response.session["dct"] == "acme"
        assert response.fields.get("refreshJwt") in {None, "", response.placeholders["refresh"]}
        assert response.fields["firstSeen"] is False
        assert response.fields["nextRefreshSeconds"] == 0

    async def test_rotation(self, descope: ContractTarget) -> None:
        """Each refresh returns a new refresh token with the expiry of the first (section 5)."""
        response = await descope.call("refresh with rotation")
        old = claims_of(response.placeholders["refresh"])
        assert response.fields["refreshJwt"] not in {"", response.placeholders["refresh"]}
        assert (response.refresh["sub"], response.refresh["exp"]) == (old["sub"], old["exp"])

    async def test_inactivity(self, descope: ContractTarget) -> None:
        """If inactivity ends sessions, the response names the time of the next refresh (section 5.4)."""
        response = await descope.call("refresh where inactivity counts")
        assert 0 < _number(response.fields, "nextRefreshSeconds") < 720

    async def test_try_refresh(self, descope: ContractTarget) -> None:
        """Without a session it returns an empty object, not an error (section 2.6)."""
        assert (await descope.call("try-refresh")).session["drn"] == "DS"
        assert (await descope.call("try-refresh without a session")).body == {}

    async def test_select(self, descope: ContractTarget) -> None:
        """Both new tokens name the tenant; the old refresh token would restore the old one (section 2.7)."""
        response = await descope.call("select")
        assert response.session["dct"] == response.refresh["dct"] == "globex"
        assert response.fields["refreshJwt"] != response.placeholders["refresh"]

    async def test_logout(self, descope: ContractTarget) -> None:
        """It returns empty tokens and expired cookies, so that clients drop theirs (section 2.8)."""
        response = await descope.call("logout")
        assert (response.fields["sessionJwt"], response.fields["refreshJwt"]) == ("", "")
        assert [line.partition("=")[0] for line in response.cookies] == ["DS", "DSR"]
        for line in response.cookies:
            pair, *attributes = line.lower().split("; ")
            assert pair.partition("=")[2].strip('"') == ""
            assert {"max-age=0", "path=/", "httponly"} <= set(attributes)

    async def test_me(self, descope: ContractTarget) -> None:
        """The body is the user object itself (section 2.9)."""
        assert (await descope.call("me")).fields["loginIds"] == ["ada@acme.example"]

    async def test_my_tenants(self, descope: ContractTarget) -> None:
        """It returns the requested tenants (section 2.10)."""
        tenants = cast("list[Claims]", (await descope.call("my tenants")).fields["tenants"])
        assert [tenant["id"] for tenant in tenants] == ["acme"]

    async def test_history(self, descope: ContractTarget) -> None:
        """The body is an array, not an object with one (section 2.11)."""
        (login,) = cast("list[Claims]", (await descope.call("history")).body)
        assert login["selectedTenant"] == "acme"

    async def test_validate(self, descope: ContractTarget) -> None:
        """The body has the claims at its root, with times as text, unlike the token (section 2.12)."""
        claims = (await descope.call("validate")).fields
        assert claims["drn"] == "DS"
        assert _epoch(claims["exp"]) - _epoch(claims["iat"]) == 600
        assert _epoch(claims["rexp"]) - _epoch(claims["iat"]) == FOUR_WEEKS

    async def test_keys(self, descope: ContractTarget) -> None:
        """They are RSA keys for RS256. Version 1 returns a bare array (section 2.13)."""
        keys = cast("list[Claims]", (await descope.call("keys")).fields["keys"])
        for key in (*keys, *cast("list[Claims]", (await descope.call("keys, version 1")).body)):
            assert (key["kty"], key["alg"], key["e"], key["use"]) == ("RSA", "RS256", "AQAB", "sig")

    @pytest.mark.parametrize(
        ("name", "path"),
        [
            ("refresh", None),
            ("issuer as a URL", "/{project}"),
            ("issuer as an app's URL", "/v1/apps/{project}"),
        ],
    )
    async def test_issuers(self, descope: ContractTarget, name: str, path: str | None) -> None:
        """The issuer is the project id, or a URL that ends with it (section 3.2)."""
        response = await descope.call(name)
        issuer = httpx.URL(str(response.session["iss"]))
        assert bool(issuer.host) == (path is not None)
        assert issuer.path == (path or "{project}").format(project=response.placeholders["project"])

    async def test_audience(self, descope: ContractTarget) -> None:
        """There is none by default; a project may set its id or others (section 3.2)."""
        assert "aud" not in (await descope.call("refresh")).session
        response = await descope.call("an audience")
        assert response.session["aud"] == response.placeholders["project"]
        assert cast("list[str]", (await descope.call("several audiences")).session["aud"])[1:] == ["reports"]

    async def test_an_agents_issuer(self, descope: ContractTarget) -> None:
        """The project id is the last but one segment (section 3.2)."""
        response = await descope.call("issuer of an agent")
        assert str(response.session["iss"]).split("/")[-2] == response.placeholders["project"]

    async def test_another_subject(self, descope: ContractTarget) -> None:
        """A JWT template may set any ``sub``. The user id is then in ``dsub`` (section 3.2)."""
        session = (await descope.call("another subject")).session
        assert session["sub"] == "ada@acme.example"
        assert session["dsub"] == claims_of((await descope.call("refresh")).placeholders["refresh"])["sub"]

    async def test_session_ids(self, descope: ContractTarget) -> None:
        """Session tokens have a ``jti`` only if the JWT template adds it (section 3.2)."""
        assert "jti" in (await descope.call("a numbered session")).session
        assert "jti" not in (await descope.call("refresh")).session

    async def test_lists_may_be_null(self, descope: ContractTarget) -> None:
        """Empty lists are null if the JWT template says so (section 3.4)."""
        session = (await descope.call("empty lists as null")).session
        assert (session["roles"], session["permissions"]) == (None, None)
        assert cast("dict[str, Claims]", session["tenants"])["acme"]["roles"] == ["admin"]

    async def test_both_tokens_in_cookies(self, descope: ContractTarget) -> None:
        """Each token has an HttpOnly cookie and is empty in the body (section 4)."""
        response = await descope.call("exchange with both tokens in cookies")
        assert (response.fields["sessionJwt"], response.fields["refreshJwt"]) == ("", "")
        for line, kind in zip(response.cookies, ("DS", "DSR"), strict=True):
            name, _, rest = line.partition("=")
            token, *attributes = rest.split("; ")
            assert name == kind == claims_of(token)["drn"]
            assert {"httponly", "secure", "path=/", "samesite=none"} <= set(map(str.lower, attributes))

    async def test_the_refresh_token_in_a_cookie(self, descope: ContractTarget) -> None:
        """The session token is in the body, the rotated refresh token in a cookie (section 4)."""
        response = await descope.call("refresh with the refresh token in a cookie")
        (line,) = response.cookies
        assert response.fields["refreshJwt"] == ""
        assert response.session["drn"] == "DS"
        assert claims_of(line.partition("=")[2].partition(";")[0])["drn"] == "DSR"

    @pytest.mark.parametrize(
        ("name", "method"),
        [("social exchange", "oauth"), ("nOTP confirmed", "whatsapp"), ("enchanted link's session", "email")],
    )
    async def test_other_methods(self, descope: ContractTarget, name: str, method: str) -> None:
        """``amr`` names the method, and no tenant is selected (sections 2.4, 2.16 and 3.2)."""
        session = (await descope.call(name)).session
        assert session["amr"] == [method]
        assert "dct" not in session

    async def test_access_keys(self, descope: ContractTarget) -> None:
        """The session is that of the key, without user and refresh token (section 2.15)."""
        fields = (await descope.call("access key")).fields
        claims = claims_of(fields["sessionJwt"])
        assert shape_errors("SessionClaims", claims, shapes()) == []
        assert (claims["sub"], claims["drn"]) == (fields["keyId"], "DS")
        assert fields["expiration"] == claims["exp"]

    async def test_discovery(self, descope: ContractTarget) -> None:
        """The issuer is the URL of the document, of the project or of an app (section 2.14)."""
        project = (await descope.call("discovery")).fields
        app = (await descope.call("discovery of a federated app")).fields
        assert str(app["issuer"]) == f"{project['issuer']}/reports"
        assert str(project["jwks_uri"]) == f"{project['issuer']}/.well-known/jwks.json"
        assert "RS256" in cast("list[str]", project["id_token_signing_alg_values_supported"])

    async def test_authorization_schemas(self, descope: ContractTarget) -> None:
        """Roles are under tenant ids, or at the top for the current tenant, or absent (section 3.4)."""
        by_tenant = (await descope.call("refresh")).session
        flat = (await descope.call("the current tenant only")).session
        bare = (await descope.call("no authorization claims")).session
        assert cast("dict[str, Claims]", by_tenant["tenants"])["acme"]["roles"] == flat["roles"] == ["admin"]
        assert flat["dct"] == "acme"
        assert "tenants" not in flat
        assert not {"tenants", "roles", "permissions"} & bare.keys()


class TestRecord(WireContract):
    """The record itself. It shows that the tests state what is known of Descope."""

    @pytest.fixture
    def descope(self) -> ContractTarget:
        """Return the record."""
        return RecordTarget()


class TestEmulator(WireContract):
    """The emulator in this process."""

    @pytest.fixture
    def descope(self) -> ContractTarget:
        """Return the emulator, reached through ASGI."""
        return EmulatorTarget(in_process)

    @pytest.mark.parametrize(
        ("name", "variant"),
        [(name, variant) for name, each in exchanges().items() for variant in range(1, len(each.requests))],
    )
    async def test_every_variant_of_a_request(self, descope: ContractTarget, name: str, variant: int) -> None:
        """Requests of other SDKs, or with other wrong tokens, get the same kind of response."""
        first, other = await descope.call(name), await descope.call(name, variant)
        shape = exchanges()[name].response.shape
        assert (other.status, other.headers["content-type"]) == (first.status, first.headers["content-type"])
        assert shape_errors(shape, other.body, shapes()) == []
        if shape == "Error":
            assert other.fields["errorCode"] == first.fields["errorCode"]


class TestEmulatorOnASocket(WireContract):
    """The emulator on a socket, as SDKs reach it."""

    @pytest.fixture(scope="class")
    @staticmethod
    def switchboard() -> Iterator[EmulatorServer]:
        """Run one server for the emulators of all these tests."""
        with emulator_server() as board:
            yield board

    @pytest.fixture
    def descope(self, switchboard: EmulatorServer) -> ContractTarget:
        """Return the emulator, reached through HTTP."""
        return EmulatorTarget(switchboard.connect)
