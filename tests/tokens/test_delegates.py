"""Access tokens of inbound apps: their kinds, issuers and audiences (CL-01, CL-02, CL-04, CL-05)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from fastapi_descope._tokens.claims import Key, TokenKind, TokenPolicy, verify
from fastapi_descope.callers import Delegate
from fastapi_descope.errors import TokenError, TokenExpired, TokenReason
from tests.helpers.tampering import NOW, POLICY, PROJECT, Forge

BASE = "https://api.descope.com/v1/apps"
APPS = replace(POLICY, app_issuers=frozenset({f"{BASE}/{PROJECT}", f"{BASE}/agentic/{PROJECT}"}))
BEARERS = (TokenKind.SESSION, TokenKind.DELEGATE)


def oauth(forge: Forge, **changes: object) -> dict[str, object]:
    """Return the claims of an access token as captured: no ``drn``, roles, tenants or ``dct``."""
    captured: dict[str, object] = {
        "drn": ...,
        "tenants": ...,
        "dct": ...,
        "aud": [PROJECT, "TPA2app"],
        "azp": "TPA2app",
        "scope": "openid reports:read",
        "token_type": "access_token",
    }
    return forge.claims(**{**captured, **changes})


class Bearers:
    """Verifies bearer tokens: sessions and the access tokens of inbound apps."""

    def __init__(self, forge: Forge, keys: Mapping[str, Key]) -> None:
        self._forge = forge
        self._keys = keys

    def kind(self, policy: TokenPolicy = APPS, now: float = NOW, **changes: object) -> TokenKind:
        """Return the kind of an access token with changed claims."""
        token = self._forge.token(oauth(self._forge, **changes))
        return verify(token, kinds=BEARERS, keys=self._keys, policy=policy, now=now)[0]

    def reason(self, policy: TokenPolicy = APPS, now: float = NOW, **changes: object) -> TokenReason:
        """Return why an access token with changed claims is refused."""
        with pytest.raises(TokenError) as caught:
            self.kind(policy, now, **changes)
        assert caught.value.__context__ is None
        return caught.value.reason


@pytest.fixture
def bearers(forge: Forge, key_pair: Mapping[str, Key]) -> Bearers:
    """Return the verifier of bearer tokens."""
    return Bearers(forge, key_pair)


def test_cl02_access_token_of_an_inbound_app_is_a_delegate_and_no_session(bearers: Bearers) -> None:
    """It has no ``drn``. Whether it has one is not documented, so both count."""
    assert bearers.kind() is TokenKind.DELEGATE
    assert bearers.kind(drn="DS") is TokenKind.DELEGATE
    assert bearers.kind(drn="DS", token_type=...) is TokenKind.DELEGATE


def test_cl02_token_of_the_app_itself_stays_a_session(bearers: Bearers) -> None:
    """A session token may have a scope and the project as its client (KD-10)."""
    assert bearers.kind(drn="DS", azp=PROJECT) is TokenKind.SESSION
    assert bearers.kind(drn="DS", azp=..., token_type=..., aud=...) is TokenKind.SESSION


@pytest.mark.parametrize("drn", ["DS", ...], ids=["with drn", "without drn"])
@pytest.mark.parametrize("azp", [PROJECT, "TPA2app"])
@pytest.mark.parametrize(
    "token_type", ["id_token", "refresh_token", "Access_Token", "", None, 1, ["access_token"]], ids=repr
)
def test_cl01_token_of_another_type_is_no_access_token(
    bearers: Bearers, drn: object, azp: str, token_type: object
) -> None:
    """OAuth refresh and ID tokens have the same claims otherwise: only the type tells them apart."""
    assert bearers.reason(drn=drn, azp=azp, token_type=token_type) is TokenReason.KIND


@pytest.mark.parametrize("token_type", ["access_token", "id_token"])
def test_cl01_refresh_token_may_have_no_other_type(
    forge: Forge, key_pair: Mapping[str, Key], token_type: str
) -> None:
    """The type and ``drn`` must not contradict each other."""
    token = forge.token(forge.claims(drn="DSR", token_type=token_type))
    with pytest.raises(TokenError) as caught:
        verify(token, kinds=(TokenKind.REFRESH,), keys=key_pair, policy=APPS, now=NOW)
    assert caught.value.reason is TokenReason.KIND


@pytest.mark.parametrize("drn", ["DSR", "DTD", "ds", None, 1, ["DS"]], ids=repr)
def test_cl01_token_with_another_drn_is_no_access_token(bearers: Bearers, drn: object) -> None:
    """A ``drn`` that is there has to be the one of session tokens."""
    assert bearers.reason(drn=drn) is TokenReason.KIND


def test_cl01_token_without_drn_and_type_is_of_no_kind(bearers: Bearers) -> None:
    """Nothing says that it is an access token."""
    assert bearers.reason(token_type=...) is TokenReason.KIND


@pytest.mark.parametrize(
    "issuer",
    [
        PROJECT,
        f"{BASE}/{PROJECT}",
        f"{BASE}/{PROJECT}/T2tenant",
        f"{BASE}/agentic/{PROJECT}/MS2server",
    ],
)
def test_cl04_all_issuer_forms_of_the_project_are_accepted(bearers: Bearers, issuer: str) -> None:
    """Which one a token has depends on how it was minted (wire contract 11.2)."""
    policy = replace(APPS, issuers=POLICY.issuers | {f"{BASE}/{PROJECT}"})
    assert bearers.kind(policy, iss=issuer) is TokenKind.DELEGATE


@pytest.mark.parametrize(
    "issuer",
    [
        f"{BASE}/{PROJECT}/",
        f"{BASE}/{PROJECT}/a/b",
        f"{BASE}/{PROJECT}/..",
        f"{BASE}/{PROJECT}/a b",
        f"{BASE}/{PROJECT}/{'a' * 129}",
        f"{BASE}/agentic/{PROJECT}/",
        f"{BASE}/agentic/{PROJECT}",
        f"{BASE}/agentic/P2other/MS2server",
        f"{BASE}/{PROJECT}x/T2tenant",
        f"https://api.descope.com.evil.example/v1/apps/{PROJECT}/T2tenant",
        f"http://api.descope.com/v1/apps/{PROJECT}/T2tenant",
        "T2tenant",
        "",
        None,
        [f"{BASE}/{PROJECT}/T2tenant"],
    ],
    ids=repr,
)
def test_cl04_other_issuers_are_refused(bearers: Bearers, issuer: object) -> None:
    """One path segment may follow, and nothing else."""
    assert bearers.reason(iss=issuer) is TokenReason.ISSUER


def test_cl04_session_tokens_have_none_of_the_further_issuers(bearers: Bearers) -> None:
    """Those are minted for applications."""
    issuer = f"{BASE}/{PROJECT}/T2tenant"
    assert bearers.reason(iss=issuer, drn="DS", azp=..., token_type=..., aud=...) is TokenReason.ISSUER


@pytest.mark.parametrize("aud", [[PROJECT, "TPA2app"], PROJECT, [PROJECT, "https://api.example"]], ids=repr)
def test_cl05_project_is_the_audience_by_default(bearers: Bearers, aud: object) -> None:
    """Whether it is the only one is a setting of the inbound app."""
    assert bearers.kind(aud=aud) is TokenKind.DELEGATE


@pytest.mark.parametrize(
    "aud", [..., None, "", [], "TPA2app", ["https://api.example"], [PROJECT, 1]], ids=repr
)
def test_cl05_token_for_another_audience_is_refused(bearers: Bearers, aud: object) -> None:
    """An access token without an audience is refused, unlike a session token."""
    assert bearers.reason(aud=aud) is TokenReason.AUDIENCE


def test_cl05_configured_resource_is_the_only_audience(bearers: Bearers) -> None:
    """A token for another API of the project does not count here (RFC 8707)."""
    policy = replace(APPS, resource="https://api.example")

    assert bearers.kind(policy, aud=["https://api.example"]) is TokenKind.DELEGATE
    assert bearers.reason(policy, aud=[PROJECT, "TPA2app"]) is TokenReason.AUDIENCE
    assert bearers.kind(policy, drn="DS", azp=..., token_type=..., aud=...) is TokenKind.SESSION


@pytest.mark.parametrize("azp", ["", None, 7, ["TPA2app"], "TPA2\napp", "T" * 1025], ids=repr)
def test_cl02_malformed_client_id_is_refused(bearers: Bearers, azp: object) -> None:
    """It goes into logs and hooks of the app."""
    assert bearers.reason(azp=azp) is TokenReason.CLIENT


@pytest.mark.parametrize("azp", ["TPA2app", "https://client.example.com/metadata.json", "T" * 1024], ids=len)
def test_cl02_client_id_may_be_an_address(bearers: Bearers, azp: str) -> None:
    """MCP clients can have the address of their metadata as their id."""
    assert bearers.kind(azp=azp) is TokenKind.DELEGATE


def test_cl02_expired_access_token_is_expired_and_of_no_other_kind(bearers: Bearers) -> None:
    """The client can tell that it needs a new one."""
    assert bearers.reason(now=NOW + 700) is TokenReason.EXPIRED
    assert bearers.reason(drn="DS", azp=..., token_type=..., aud=..., now=NOW + 700) is TokenReason.EXPIRED


def test_kd09_sender_constrained_access_token_is_refused(bearers: Bearers) -> None:
    """Nobody checks the proof of its key here."""
    assert bearers.reason(cnf={"jkt": "x"}) is TokenReason.SENDER_CONSTRAINED


def delegate(forge: Forge, **changes: object) -> Delegate:
    """Return the delegate of changed claims."""
    claims: Mapping[str, Any] = oauth(forge, **changes)
    return Delegate.from_claims(claims)


@pytest.mark.parametrize(
    ("scope", "scopes"),
    [
        ("openid reports:read", ["openid", "reports:read"]),
        ("a  b ", ["a", "b"]),
        (("a", "b", 1, ""), ["a", "b"]),
        ("", list[str]()),
        (None, list[str]()),
        ({"a": 1}, list[str]()),
        ("a,b", ["a,b"]),
        ("a\tb", ["a\tb"]),
    ],
    ids=["text", "two spaces", "list", "empty", "null", "object", "comma", "tab"],
)
def test_cl03_scopes_are_separated_by_spaces(forge: Forge, scope: object, scopes: list[str]) -> None:
    """Anything that is neither text nor a list grants nothing."""
    assert sorted(delegate(forge, scope=scope).scopes) == scopes


def test_delegate_has_the_user_and_the_application(forge: Forge) -> None:
    """Roles are those of the user, and are not in the token by default."""
    found = delegate(forge)

    assert (found.client_id, found.user_id, found.subject) == ("TPA2app", "U2forge", "U2forge")
    assert (found.tenant, found.tenant_id, dict(found.tenants)) == (None, None, {})
    assert (found.issued_at, found.expires_at) == (NOW, NOW + 600)


@pytest.mark.parametrize("changes", [{"sub": "TPA2app"}, {"sub": "TPA3", "client_id": "TPA3"}], ids=repr)
def test_application_that_acts_for_itself_has_no_user(forge: Forge, changes: Mapping[str, object]) -> None:
    """The subject of client credentials is the client."""
    found = delegate(forge, **changes)

    assert found.user_id is None
    assert found.subject == changes["sub"]


def test_tn01_tenant_of_a_delegate_is_the_one_in_its_token(forge: Forge) -> None:
    """An inbound app can be configured to add the user's tenants."""
    found = delegate(forge, dct="T1", tenants={"T1": {"roles": ("admin",)}})

    assert found.tenant_id == "T1"
    assert found.tenant is not None
    assert found.tenant.roles == ("admin",)


def test_expired_token_of_a_delegate_names_its_subject(forge: Forge, key_pair: Mapping[str, Key]) -> None:
    """As for a session."""
    with pytest.raises(TokenExpired) as caught:
        verify(forge.token(oauth(forge)), kinds=BEARERS, keys=key_pair, policy=APPS, now=NOW + 700)
    assert caught.value.subject == "U2forge"
