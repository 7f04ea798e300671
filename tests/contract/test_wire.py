"""What Descope's wire promises, endpoint by endpoint, asked of the record and of the emulator alike.

The record (``recorded/``) is what is known of Descope. That the same tests and the same shapes hold for
both is what keeps the emulator from answering more, or less, or otherwise than Descope.
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
    Emulated,
    Recorded,
    Switchboard,
    claims_of,
    in_process,
    switchboard,
)
from tests.contract.wire_record import exchanges, refusals, shapes, with_tokens
from tests.contract.wire_shapes import complaints

pytestmark = pytest.mark.anyio

FOUR_WEEKS = 28 * 24 * 3600


def _epoch(text: object) -> float:
    """What RFC 3339 text stands for."""
    assert isinstance(text, str)
    return datetime.fromisoformat(text).timestamp()


def _number(claims: Mapping[str, object], name: str) -> int:
    value = claims[name]
    assert isinstance(value, int)
    return value


class WireContract:
    """The promises. A subclass says with its fixture ``descope`` who has to keep them."""

    @pytest.mark.parametrize("name", exchanges())
    async def test_em07_status_and_shape(self, descope: ContractTarget, name: str) -> None:
        """The recorded status, or one of its class where nobody knows it; JSON; no field too many or few.

        EM-07.
        """
        response = exchanges()[name].answer
        reply = await descope.ask(name)
        if response.status_is in {"measured", "documented"}:
            assert reply.status == response.status
        assert reply.status // 100 == response.status // 100
        assert reply.headers["content-type"].partition(";")[0] == "application/json"
        assert complaints(response.shape, reply.body, shapes()) == []

    @pytest.mark.parametrize("name", refusals())
    async def test_refusals_have_a_code(self, descope: ContractTarget, name: str) -> None:
        """Descope's own, wherever a source names it (section 6); without one Go takes it for garbage."""
        response = exchanges()[name].answer
        reply = await descope.ask(name)
        if response.code_is != "unknown":
            assert reply.fields["errorCode"] == cast("Claims", response.body)["errorCode"]
        assert reply.fields["errorDescription"] != ""
        assert reply.cookies == []

    async def test_a_rate_limit_says_when_to_come_back(self, descope: ContractTarget) -> None:
        """In whole seconds: SDKs read nothing else (section 6)."""
        assert (await descope.ask("exchange while rate limited")).headers["retry-after"] == "7"

    @pytest.mark.parametrize("name", with_tokens())
    async def test_tokens(self, descope: ContractTarget, name: str) -> None:
        """Each is RS256 with a key id, knows its kind, and holds no claim that the record does not know."""
        reply = await descope.ask(name)
        for field, shape, kind in (
            ("sessionJwt", "SessionClaims", "DS"),
            ("refreshJwt", "RefreshClaims", "DSR"),
        ):
            token = reply.fields.get(field) or ""
            assert isinstance(token, str)
            if token:
                header = jwt.get_unverified_header(token)
                assert complaints("Header", header, shapes()) == []
                assert (header["alg"], header.get("typ")) == ("RS256", "JWT")
                assert complaints(shape, claims_of(token), shapes()) == []
                assert claims_of(token)["drn"] == kind

    @pytest.mark.parametrize("name", with_tokens())
    async def test_times(self, descope: ContractTarget, name: str) -> None:
        """Numbers in the JWT but for ``rexp``; the answer tells both ends once more, in epoch seconds."""
        reply = await descope.ask(name)
        session = reply.session
        refresh_ends = _epoch(session["rexp"])
        assert _number(session, "iat") < _number(session, "exp") <= refresh_ends
        assert reply.fields["sessionExpiration"] == session["exp"]
        assert reply.fields["cookieExpiration"] == refresh_ends
        if reply.fields.get("refreshJwt"):
            assert reply.refresh["exp"] == refresh_ends

    async def test_start(self, descope: ContractTarget) -> None:
        """The address to send the browser to, and nothing else (section 2.1)."""
        assert (await descope.ask("start")).fields.keys() == {"url"}

    async def test_exchange(self, descope: ContractTarget) -> None:
        """A session of ten minutes and a refresh token of four weeks, for the same user (section 3.5)."""
        reply = await descope.ask("exchange")
        session, refresh = reply.session, reply.refresh
        assert _number(session, "exp") - _number(session, "iat") == 600
        assert _number(refresh, "exp") - _number(refresh, "iat") == FOUR_WEEKS
        assert reply.fields["cookieMaxAge"] == FOUR_WEEKS
        assert session["sub"] == refresh["sub"] == cast("Claims", reply.fields["user"])["userId"]
        assert session["amr"] == ["fed"]
        assert reply.fields["firstSeen"] is True

    async def test_roles_have_two_names(self, descope: ContractTarget) -> None:
        """``roleNames`` in the user object, ``roles`` in the token (section 2.0)."""
        reply = await descope.ask("exchange")
        (tenant, *_) = cast("list[Claims]", cast("Claims", reply.fields["user"])["userTenants"])
        held = cast("dict[str, Claims]", reply.session["tenants"])[str(tenant["tenantId"])]
        assert held["roles"] == tenant["roleNames"] == ["admin"]
        assert "roles" not in tenant
        assert "roleNames" not in held

    async def test_step_up_is_the_sessions_alone(self, descope: ContractTarget) -> None:
        """The refresh token never has ``su``, so it is gone with the next refresh (section 5)."""
        reply = await descope.ask("exchange after a step-up")
        assert reply.session["su"] is True
        assert "su" not in reply.refresh
        assert "su" not in (await descope.ask("refresh after a step-up")).session

    async def test_mfa_is_a_method(self, descope: ContractTarget) -> None:
        """One more in ``amr``, behind the ones before (section 3.2)."""
        assert (await descope.ask("exchange after MFA")).session["amr"] == ["fed", "mfa"]

    async def test_custom_claims_are_set_apart(self, descope: ContractTarget) -> None:
        """Whatever a client asks to have in its token is under ``nsec`` (section 3.2)."""
        session = (await descope.ask("exchange after custom claims")).session
        assert session["nsec"] == {"plan": "gold"}
        assert "plan" not in session

    async def test_refresh(self, descope: ContractTarget) -> None:
        """A new session in the same tenant; no user is promised, and no new refresh token (section 2.5)."""
        reply = await descope.ask("refresh")
        assert reply.session["dct"] == "acme"
        assert reply.fields.get("refreshJwt") in {None, "", reply.given["refresh"]}
        assert reply.fields["firstSeen"] is False
        assert reply.fields["nextRefreshSeconds"] == 0

    async def test_rotation(self, descope: ContractTarget) -> None:
        """With it each refresh brings another refresh token, which ends when the first would (section 5)."""
        reply = await descope.ask("refresh with rotation")
        old = claims_of(reply.given["refresh"])
        assert reply.fields["refreshJwt"] not in {"", reply.given["refresh"]}
        assert (reply.refresh["sub"], reply.refresh["exp"]) == (old["sub"], old["exp"])

    async def test_inactivity(self, descope: ContractTarget) -> None:
        """Where it ends sessions, the answer says how soon to come back (section 5.4)."""
        reply = await descope.ask("refresh where inactivity counts")
        assert 0 < _number(reply.fields, "nextRefreshSeconds") < 720

    async def test_try_refresh(self, descope: ContractTarget) -> None:
        """No user, no first login; and without a session nothing, not an error (section 2.6)."""
        assert (await descope.ask("try-refresh")).session["drn"] == "DS"
        assert (await descope.ask("try-refresh without a session")).body == {}

    async def test_select(self, descope: ContractTarget) -> None:
        """The tenant is in both new tokens: an old refresh token would bring the old one back (2.7)."""
        reply = await descope.ask("select")
        assert reply.session["dct"] == reply.refresh["dct"] == "globex"
        assert reply.fields["refreshJwt"] != reply.given["refresh"]

    async def test_logout(self, descope: ContractTarget) -> None:
        """Empty tokens, and cookies that are over, so that callers drop theirs (section 2.8)."""
        reply = await descope.ask("logout")
        assert (reply.fields["sessionJwt"], reply.fields["refreshJwt"]) == ("", "")
        assert [line.partition("=")[0] for line in reply.cookies] == ["DS", "DSR"]
        for line in reply.cookies:
            pair, *attributes = line.lower().split("; ")
            assert pair.partition("=")[2].strip('"') == ""
            assert {"max-age=0", "path=/", "httponly"} <= set(attributes)

    async def test_me(self, descope: ContractTarget) -> None:
        """The user object itself, in no wrapper (section 2.9)."""
        assert (await descope.ask("me")).fields["loginIds"] == ["ada@acme.example"]

    async def test_my_tenants(self, descope: ContractTarget) -> None:
        """Those asked for (section 2.10)."""
        tenants = cast("list[Claims]", (await descope.ask("my tenants")).fields["tenants"])
        assert [tenant["id"] for tenant in tenants] == ["acme"]

    async def test_history(self, descope: ContractTarget) -> None:
        """A bare array, not an object that holds one (section 2.11)."""
        (visit,) = cast("list[Claims]", (await descope.ask("history")).body)
        assert visit["selectedTenant"] == "acme"

    async def test_validate(self, descope: ContractTarget) -> None:
        """The claims at the root, and their times as text, unlike in the token (section 2.12)."""
        claims = (await descope.ask("validate")).fields
        assert claims["drn"] == "DS"
        assert _epoch(claims["exp"]) - _epoch(claims["iat"]) == 600
        assert _epoch(claims["rexp"]) - _epoch(claims["iat"]) == FOUR_WEEKS

    async def test_keys(self, descope: ContractTarget) -> None:
        """RSA keys for RS256 with the usual exponent; version 1 has no object around them (2.13)."""
        wrapped = cast("list[Claims]", (await descope.ask("keys")).fields["keys"])
        for key in (*wrapped, *cast("list[Claims]", (await descope.ask("keys, version 1")).body)):
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
        """The bare project id, or a URL that ends in it (section 3.2)."""
        reply = await descope.ask(name)
        issuer = httpx.URL(str(reply.session["iss"]))
        assert bool(issuer.host) == (path is not None)
        assert issuer.path == (path or "{project}").format(project=reply.given["project"])

    async def test_audience(self, descope: ContractTarget) -> None:
        """None as a rule; the project's id where the project says so (section 3.2)."""
        assert "aud" not in (await descope.ask("refresh")).session
        reply = await descope.ask("an audience")
        assert reply.session["aud"] == reply.given["project"]
        assert cast("list[str]", (await descope.ask("several audiences")).session["aud"])[1:] == ["reports"]

    async def test_an_agents_issuer(self, descope: ContractTarget) -> None:
        """The project's id is last but one, then (section 3.2)."""
        reply = await descope.ask("issuer of an agent")
        assert str(reply.session["iss"]).split("/")[-2] == reply.given["project"]

    async def test_another_subject(self, descope: ContractTarget) -> None:
        """A template may put anything into ``sub``; the user's id is in ``dsub`` then (section 3.2)."""
        session = (await descope.ask("another subject")).session
        assert session["sub"] == "ada@acme.example"
        assert session["dsub"] == claims_of((await descope.ask("refresh")).given["refresh"])["sub"]

    async def test_session_ids(self, descope: ContractTarget) -> None:
        """Session tokens have one if the template says so, and not otherwise (section 3.2)."""
        assert "jti" in (await descope.ask("a numbered session")).session
        assert "jti" not in (await descope.ask("refresh")).session

    async def test_lists_may_be_null(self, descope: ContractTarget) -> None:
        """Where nothing is held, if the template says so (section 3.4)."""
        session = (await descope.ask("empty lists as null")).session
        assert (session["roles"], session["permissions"]) == (None, None)
        assert cast("dict[str, Claims]", session["tenants"])["acme"]["roles"] == ["admin"]

    async def test_both_tokens_in_cookies(self, descope: ContractTarget) -> None:
        """Each in its own, out of reach of scripts, and empty in the body (section 4)."""
        reply = await descope.ask("exchange with both tokens in cookies")
        assert (reply.fields["sessionJwt"], reply.fields["refreshJwt"]) == ("", "")
        for line, kind in zip(reply.cookies, ("DS", "DSR"), strict=True):
            name, _, rest = line.partition("=")
            token, *attributes = rest.split("; ")
            assert name == kind == claims_of(token)["drn"]
            assert {"httponly", "secure", "path=/", "samesite=none"} <= set(map(str.lower, attributes))

    async def test_the_refresh_token_in_a_cookie(self, descope: ContractTarget) -> None:
        """The session token stays in the body; a rotated refresh token comes as a cookie (section 4)."""
        reply = await descope.ask("refresh with the refresh token in a cookie")
        (line,) = reply.cookies
        assert reply.fields["refreshJwt"] == ""
        assert reply.session["drn"] == "DS"
        assert claims_of(line.partition("=")[2].partition(";")[0])["drn"] == "DSR"

    @pytest.mark.parametrize(
        ("name", "method"),
        [("social exchange", "oauth"), ("nOTP confirmed", "whatsapp"), ("enchanted link's session", "email")],
    )
    async def test_other_ways_to_sign_in(self, descope: ContractTarget, name: str, method: str) -> None:
        """``amr`` says which it was, and no tenant is chosen by them (sections 2.4, 2.16 and 3.2)."""
        session = (await descope.ask(name)).session
        assert session["amr"] == [method]
        assert "dct" not in session

    async def test_access_keys(self, descope: ContractTarget) -> None:
        """A session for the key itself: no user, no refresh token (section 2.15)."""
        response = (await descope.ask("access key")).fields
        claims = claims_of(response["sessionJwt"])
        assert complaints("SessionClaims", claims, shapes()) == []
        assert (claims["sub"], claims["drn"]) == (response["keyId"], "DS")
        assert response["expiration"] == claims["exp"]

    async def test_discovery(self, descope: ContractTarget) -> None:
        """The issuer is where the document was found, of the project or of an app (section 2.14)."""
        project = (await descope.ask("discovery")).fields
        app = (await descope.ask("discovery of a federated app")).fields
        assert str(app["issuer"]) == f"{project['issuer']}/reports"
        assert str(project["jwks_uri"]) == f"{project['issuer']}/.well-known/jwks.json"
        assert "RS256" in cast("list[str]", project["id_token_signing_alg_values_supported"])

    async def test_authorization_schemas(self, descope: ContractTarget) -> None:
        """What is held in tenants is under their ids, or at the top for the current one, or nowhere (3.4)."""
        by_tenant = (await descope.ask("refresh")).session
        flat = (await descope.ask("the current tenant only")).session
        bare = (await descope.ask("no authorization claims")).session
        assert cast("dict[str, Claims]", by_tenant["tenants"])["acme"]["roles"] == flat["roles"] == ["admin"]
        assert flat["dct"] == "acme"
        assert "tenants" not in flat
        assert not {"tenants", "roles", "permissions"} & bare.keys()


class TestRecord(WireContract):
    """The record keeps the promises itself, or they would be no promises of Descope's."""

    @pytest.fixture
    def descope(self) -> ContractTarget:
        """What was written down."""
        return Recorded()


class TestEmulator(WireContract):
    """The emulator in this process."""

    @pytest.fixture
    def descope(self) -> ContractTarget:
        """Over ASGI."""
        return Emulated(in_process)

    @pytest.mark.parametrize(
        ("name", "number"),
        [(name, number) for name, each in exchanges().items() for number in range(1, len(each.sends))],
    )
    async def test_however_it_is_asked(self, descope: ContractTarget, name: str, number: int) -> None:
        """What another SDK sends, or another wrong token, has an answer of the same kind."""
        first, other = await descope.ask(name), await descope.ask(name, number)
        shape = exchanges()[name].answer.shape
        assert (other.status, other.headers["content-type"]) == (first.status, first.headers["content-type"])
        assert complaints(shape, other.body, shapes()) == []
        if shape == "Error":
            assert other.fields["errorCode"] == first.fields["errorCode"]


class TestEmulatorOnASocket(WireContract):
    """The emulator as SDKs reach it."""

    @pytest.fixture(scope="class")
    @staticmethod
    def switchboard() -> Iterator[Switchboard]:
        """One server for the emulators of all these tests."""
        with switchboard() as board:
            yield board

    @pytest.fixture
    def descope(self, switchboard: Switchboard) -> ContractTarget:
        """Over HTTP."""
        return Emulated(switchboard.connected)
