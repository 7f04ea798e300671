"""Descope's published Python SDK, unmodified, against the emulator command.

That Descope's own client accepts the emulator's responses is our best evidence that the emulator behaves as
Descope does. Each test runs with the synchronous and with the asynchronous client.
"""

# The SDK is typed with bare dicts; these tests check their content.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from typing import Any

import pytest
from descope import AccessKeyLoginOptions, AuthException, LoginOptions
from jwt import InvalidSignatureError

from fastapi_descope.emulator import DEFAULT_PROJECT_ID, SeedUser
from tests.contract.conftest import Client, Connect, Serve
from tests.contract.python_sdk import ADA, CALLBACK, error_of, resolve, sign_in, submit_sign_in_page

pytestmark = [pytest.mark.anyio, pytest.mark.sdk("python")]

GRACE = "grace@acme.example"
ACCESS_KEY = "emulator-access-key"


@pytest.fixture
def client(connect: Connect, typed_emulator: str) -> Client:
    """A client of the emulator that the command runs."""
    return connect(typed_emulator)


async def test_sign_in(client: Client) -> None:
    """An SSO login gives a session in the tenant of that SSO."""
    started = await resolve(
        client.sso.start(
            "acme", CALLBACK, prompt="login", sso_id="acme-okta", login_hint=ADA, force_authn=True
        )
    )
    callback = submit_sign_in_page(started["url"], ADA)
    assert callback.params["state"] == "xyz"
    response = await resolve(client.sso.exchange_token(callback.params["code"]))
    assert response["projectId"] == DEFAULT_PROJECT_ID
    assert response["userId"] == response["user"]["userId"] == SeedUser(ADA).user_id
    assert response["user"]["loginIds"] == [ADA]
    assert response["sessionToken"]["drn"] == "DS"
    assert response["refreshSessionToken"]["drn"] == "DSR"
    assert response["cookieData"]["path"] == "/"
    assert (await resolve(client.validate_session(response["sessionToken"]["jwt"])))["dct"] == "acme"


async def test_first_seen(connect: Connect, serve: Serve) -> None:
    """``firstSeen`` is sent with every login: without it, the SDK would assume a first login."""
    client = connect(serve()[1])
    assert (await sign_in(client))["firstSeen"] is True
    assert (await sign_in(client))["firstSeen"] is False


async def test_tenant_by_email(client: Client) -> None:
    """An e-mail address selects the tenant of its domain."""
    assert (await sign_in(client, tenant=GRACE, login_id=GRACE))["sessionToken"]["dct"] == "acme"


async def test_saml_names(client: Client) -> None:
    """The older names of the SSO calls work too."""
    started = await resolve(client.saml.start("acme", CALLBACK))
    callback = submit_sign_in_page(started["url"], ADA)
    response = await resolve(client.saml.exchange_token(callback.params["code"]))
    assert response["sessionToken"]["dct"] == "acme"


async def test_social_sign_in(client: Client) -> None:
    """A social login gives a session without a tenant."""
    started = await resolve(client.oauth.start("google", CALLBACK))
    callback = submit_sign_in_page(started["url"], ADA)
    response = await resolve(client.oauth.exchange_token(callback.params["code"]))
    assert response["userId"] == SeedUser(ADA).user_id
    assert response["sessionToken"]["amr"] == ["oauth"]
    assert "dct" not in response["sessionToken"]


async def test_refusal_on_the_page(client: Client) -> None:
    """A refused login redirects with an error and without a code."""
    callback = submit_sign_in_page((await resolve(client.sso.start("acme", CALLBACK)))["url"], None)
    assert callback.params["err"] == callback.params["error"] == "access_denied"
    assert "code" not in callback.params


async def test_roles_and_permissions(client: Client) -> None:
    """The SDK's role checks work: all requested roles must be held, in the given tenant."""
    claims = (await sign_in(client))["sessionToken"]
    assert client.validate_tenant_roles(claims, "acme", ["admin"])
    assert not client.validate_tenant_roles(claims, "acme", ["admin", "owner"])
    assert not client.validate_tenant_roles(claims, "globex", ["admin"])
    assert not client.validate_tenant_roles(claims, "umbrella", [])
    assert client.validate_tenant_permissions(claims, "globex", ["reports.read"])
    assert not client.validate_tenant_permissions(claims, "globex", ["reports.write"])
    assert client.get_matched_tenant_roles(claims, "acme", ["owner", "admin"]) == ["admin"]
    assert client.get_matched_tenant_permissions(claims, "globex", ["users.manage", "reports.read"]) == [
        "reports.read"
    ]
    assert not client.validate_roles(claims, ["admin"])
    assert client.get_matched_permissions(claims, ["reports.read"]) == []


async def test_refresh(client: Client) -> None:
    """A refresh returns a new session JWT with the same user, tenant and refresh token."""
    signed_in = await sign_in(client)
    refresh = signed_in["refreshSessionToken"]["jwt"]
    renewed = await resolve(client.refresh_session(refresh))
    assert renewed["refreshSessionToken"]["jwt"] == refresh
    assert renewed["sessionToken"]["sub"] == SeedUser(ADA).user_id
    assert (await resolve(client.validate_session(renewed["sessionToken"]["jwt"])))["dct"] == "acme"


async def test_tenant_switch(client: Client) -> None:
    """Both new tokens name the new tenant, which refreshes keep."""
    refresh = (await sign_in(client))["refreshSessionToken"]["jwt"]
    switched = await resolve(client.select_tenant("globex", refresh))
    assert switched["sessionToken"]["dct"] == switched["refreshSessionToken"]["dct"] == "globex"
    renewed = await resolve(client.refresh_session(switched["refreshSessionToken"]["jwt"]))
    assert renewed["sessionToken"]["dct"] == "globex"


async def test_switch_to_a_tenant_without_membership(client: Client) -> None:
    """A user who is not a member is refused."""
    refresh = (await sign_in(client))["refreshSessionToken"]["jwt"]
    with pytest.raises(AuthException) as caught:
        await resolve(client.select_tenant("umbrella", refresh))
    assert error_of(caught) == (403, "E011004")


async def test_profile_tenants_and_history(client: Client) -> None:
    """The user, the tenants by current tenant and by id, and the logins, newest first."""
    refresh = (await sign_in(client))["refreshSessionToken"]["jwt"]
    me = await resolve(client.me(refresh))
    assert (me["loginIds"], me["userId"], me["name"]) == ([ADA], SeedUser(ADA).user_id, "Ada Lovelace")
    assert {one["tenantId"]: one["roleNames"] for one in me["userTenants"]} == {
        "acme": ["admin"],
        "globex": ["viewer"],
    }
    current = await resolve(client.my_tenants(refresh, dct=True))
    assert [(one["id"], one["name"]) for one in current["tenants"]] == [("acme", "Acme Corp")]
    by_id = await resolve(client.my_tenants(refresh, ids=["globex", "umbrella"]))
    assert [one["id"] for one in by_id["tenants"]] == ["globex"]
    history: list[dict[str, Any]] = await resolve(client.history(refresh))
    assert history[0]["userId"] == SeedUser(ADA).user_id
    assert history[0]["selectedTenant"] == "acme"
    assert history[0]["loginTime"] >= history[-1]["loginTime"] > 0


async def test_logout(client: Client) -> None:
    """After a logout the refresh token is refused; the session JWT stays valid until it expires."""
    signed_in = await sign_in(client)
    session, refresh = (signed_in[name]["jwt"] for name in ("sessionToken", "refreshSessionToken"))
    await resolve(client.logout(refresh))
    for call in (client.refresh_session, client.me, client.history):
        with pytest.raises(AuthException) as caught:
            await resolve(call(refresh))
        assert error_of(caught) == (401, "E064001")
    assert (await resolve(client.validate_session(session)))["dct"] == "acme"


async def test_logout_everywhere(client: Client) -> None:
    """Logging out everywhere also ends the user's other session."""
    first, second = [(await sign_in(client))["refreshSessionToken"]["jwt"] for _ in range(2)]
    await resolve(client.logout_all(first))
    with pytest.raises(AuthException) as caught:
        await resolve(client.me(second))
    assert error_of(caught) == (401, "E064001")


async def test_step_up(client: Client) -> None:
    """A step-up marks only the session token. Custom claims from a client are nested in ``nsec``."""
    refresh = (await sign_in(client))["refreshSessionToken"]["jwt"]
    options = LoginOptions(stepup=True, custom_claims={"plan": "gold"})
    response = await sign_in(client, login_options=options, refresh_token=refresh)
    assert response["sessionToken"]["su"] is True
    assert response["sessionToken"]["nsec"] == {"plan": "gold"}
    assert "su" not in response["refreshSessionToken"]
    renewed = await resolve(client.refresh_session(response["refreshSessionToken"]["jwt"]))
    assert "su" not in renewed["sessionToken"]


async def test_second_factor(client: Client) -> None:
    """A second factor is added to ``amr``."""
    refresh = (await sign_in(client))["refreshSessionToken"]["jwt"]
    response = await sign_in(client, login_options=LoginOptions(mfa=True), refresh_token=refresh)
    assert set(response["sessionToken"]["amr"]) == {"fed", "mfa"}


async def test_revoking_other_sessions(client: Client) -> None:
    """A login can end the user's earlier sessions."""
    before = (await sign_in(client, login_id=GRACE))["refreshSessionToken"]["jwt"]
    await sign_in(client, login_id=GRACE, login_options=LoginOptions(revoke_other_sessions=True))
    with pytest.raises(AuthException) as caught:
        await resolve(client.refresh_session(before))
    assert error_of(caught) == (401, "E064001")


async def test_access_key(client: Client) -> None:
    """An access key gives a session with the key's roles and without a refresh token."""
    options = AccessKeyLoginOptions(custom_claims={"job": "nightly"})
    response = await resolve(client.exchange_access_key(ACCESS_KEY, login_options=options))
    claims = await resolve(client.validate_session(response["sessionToken"]["jwt"]))
    assert response["keyId"] == claims["sub"] == "K2EMULATORnightlyReports0001"
    assert client.validate_roles(claims, ["reporter"])
    assert client.validate_permissions(claims, ["reports.read"])
    assert claims["nsec"] == {"job": "nightly"}
    assert "refreshSessionToken" not in response


async def test_wrong_access_key(client: Client) -> None:
    """An unknown access key is refused with its error code."""
    with pytest.raises(AuthException) as caught:
        await resolve(client.exchange_access_key("nonsense"))
    assert error_of(caught) == (401, "E062803")


async def test_enchanted_link_is_pending(client: Client) -> None:
    """A link that was not clicked yet is refused with the error code on which SDKs keep polling."""
    with pytest.raises(AuthException) as caught:
        await resolve(client.enchantedlink.get_session("not-clicked-yet"))
    assert error_of(caught) == (401, "E062503")


@pytest.mark.parametrize(
    ("tenant", "callback", "sso_id", "code"),
    [
        ("umbrella", CALLBACK, None, "E011004"),
        ("acme", "", None, "E011002"),
        ("acme", "https://evil.example/callback", None, "E011004"),
        ("acme", CALLBACK, "acme-none", "E011004"),
    ],
)
async def test_sign_in_that_cannot_start(
    client: Client, tenant: str, callback: str, sso_id: str | None, code: str
) -> None:
    """With an unknown tenant, no redirect URL, one that is not approved, or an unknown SSO configuration."""
    with pytest.raises(AuthException) as caught:
        await resolve(client.sso.start(tenant, callback, sso_id=sso_id))
    assert error_of(caught) == (400, code)


async def test_a_code_works_once(client: Client) -> None:
    """The second exchange of a code is refused, as is an unknown code."""
    callback = submit_sign_in_page((await resolve(client.sso.start("acme", CALLBACK)))["url"], ADA)
    await resolve(client.sso.exchange_token(callback.params["code"]))
    for code in (callback.params["code"], "nonsense"):
        with pytest.raises(AuthException) as caught:
            await resolve(client.sso.exchange_token(code))
        assert error_of(caught) == (400, "E061301")


async def test_base_url_with_a_slash(connect: Connect, typed_emulator: str) -> None:
    """The SDK keeps the trailing slash, so its paths start with two slashes."""
    client = connect(f"{typed_emulator}/")
    response = await sign_in(client)
    assert (await resolve(client.validate_session(response["sessionToken"]["jwt"])))["dct"] == "acme"


async def test_tampered_tokens(client: Client) -> None:
    """A token with a changed signature does not verify with the published keys."""
    session: str = (await sign_in(client))["sessionToken"]["jwt"]
    header, payload, signature = session.split(".")
    flipped = "A" if signature[9] != "A" else "B"
    with pytest.raises(InvalidSignatureError, match="Signature verification failed"):
        await resolve(client.validate_session(f"{header}.{payload}.{signature[:9]}{flipped}{signature[10:]}"))
