"""The published Python SDK, unmodified, against the emulator as a developer starts it.

What Descope's own client takes for an answer is the best evidence at hand that the emulator speaks as
Descope does. Each journey is made by the synchronous and by the asynchronous client.
"""

# The SDK is typed with bare dicts: what is in them is what these tests are about.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from typing import Any

import pytest
from descope import AccessKeyLoginOptions, AuthException, LoginOptions

from fastapi_descope.emulator import DEFAULT_PROJECT_ID, SeedUser
from tests.contract.conftest import Client, Connect, Serve
from tests.contract.python_sdk import ADA, CALLBACK, error_of, sign_in, told
from tests.helpers.sign_in_page import choose

pytestmark = [pytest.mark.anyio, pytest.mark.sdk("python")]

GRACE = "grace@acme.example"
ACCESS_KEY = "emulator-access-key"


@pytest.fixture
def client(connect: Connect, typed_emulator: str) -> Client:
    """A client of the emulator that was started by its command."""
    return connect(typed_emulator)


async def test_sign_in(client: Client) -> None:
    """From the start of SSO to a session with the tenant it went through."""
    started = await told(
        client.sso.start(
            "acme", CALLBACK, prompt="login", sso_id="acme-okta", login_hint=ADA, force_authn=True
        )
    )
    back = choose(started["url"], ADA)
    assert back.params["state"] == "xyz"
    response = await told(client.sso.exchange_token(back.params["code"]))
    assert response["projectId"] == DEFAULT_PROJECT_ID
    assert response["userId"] == response["user"]["userId"] == SeedUser(ADA).user_id
    assert response["user"]["loginIds"] == [ADA]
    assert response["sessionToken"]["drn"] == "DS"
    assert response["refreshSessionToken"]["drn"] == "DSR"
    assert response["cookieData"]["path"] == "/"
    assert (await told(client.validate_session(response["sessionToken"]["jwt"])))["dct"] == "acme"


async def test_first_seen(connect: Connect, serve: Serve) -> None:
    """The first sign-in is told from the second, of which the SDK would think otherwise by itself."""
    client = connect(serve()[1])
    assert (await sign_in(client))["firstSeen"] is True
    assert (await sign_in(client))["firstSeen"] is False


async def test_tenant_by_email(client: Client) -> None:
    """An e-mail address leads to the tenant of its domain."""
    assert (await sign_in(client, tenant=GRACE, login_id=GRACE))["sessionToken"]["dct"] == "acme"


async def test_saml_names(client: Client) -> None:
    """The older names of the same calls work alike."""
    started = await told(client.saml.start("acme", CALLBACK))
    back = choose(started["url"], ADA)
    response = await told(client.saml.exchange_token(back.params["code"]))
    assert response["sessionToken"]["dct"] == "acme"


async def test_social_sign_in(client: Client) -> None:
    """A social provider signs in to the project, and to no tenant."""
    started = await told(client.oauth.start("google", CALLBACK))
    response = await told(client.oauth.exchange_token(choose(started["url"], ADA).params["code"]))
    assert response["userId"] == SeedUser(ADA).user_id
    assert response["sessionToken"]["amr"] == ["oauth"]
    assert "dct" not in response["sessionToken"]


async def test_refusal_on_the_page(client: Client) -> None:
    """Who refuses brings back no code."""
    back = choose((await told(client.sso.start("acme", CALLBACK)))["url"], None)
    assert back.params["err"] == back.params["error"] == "access_denied"
    assert "code" not in back.params


async def test_roles_and_permissions(client: Client) -> None:
    """The SDK's own questions about a session: all of what is asked for must be held, in that tenant."""
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
    """A refresh keeps user, tenant and refresh token, and brings another session JWT."""
    signed_in = await sign_in(client)
    refresh = signed_in["refreshSessionToken"]["jwt"]
    renewed = await told(client.refresh_session(refresh))
    assert renewed["refreshSessionToken"]["jwt"] == refresh
    assert renewed["sessionToken"]["sub"] == SeedUser(ADA).user_id
    assert (await told(client.validate_session(renewed["sessionToken"]["jwt"])))["dct"] == "acme"


async def test_switch(client: Client) -> None:
    """Another tenant is in both new tokens, and stays through refreshes."""
    refresh = (await sign_in(client))["refreshSessionToken"]["jwt"]
    switched = await told(client.select_tenant("globex", refresh))
    assert switched["sessionToken"]["dct"] == switched["refreshSessionToken"]["dct"] == "globex"
    renewed = await told(client.refresh_session(switched["refreshSessionToken"]["jwt"]))
    assert renewed["sessionToken"]["dct"] == "globex"


async def test_no_switch_to_a_foreign_tenant(client: Client) -> None:
    """Whoever is not a member is refused."""
    refresh = (await sign_in(client))["refreshSessionToken"]["jwt"]
    with pytest.raises(AuthException) as caught:
        await told(client.select_tenant("umbrella", refresh))
    assert error_of(caught) == (403, "E011004")


async def test_who_she_is(client: Client) -> None:
    """The user, her tenants by either question, and her sign-ins, newest first."""
    refresh = (await sign_in(client))["refreshSessionToken"]["jwt"]
    me = await told(client.me(refresh))
    assert (me["loginIds"], me["userId"], me["name"]) == ([ADA], SeedUser(ADA).user_id, "Ada Lovelace")
    assert {one["tenantId"]: one["roleNames"] for one in me["userTenants"]} == {
        "acme": ["admin"],
        "globex": ["viewer"],
    }
    current = await told(client.my_tenants(refresh, dct=True))
    assert [(one["id"], one["name"]) for one in current["tenants"]] == [("acme", "Acme Corp")]
    asked = await told(client.my_tenants(refresh, ids=["globex", "umbrella"]))
    assert [one["id"] for one in asked["tenants"]] == ["globex"]
    history: list[dict[str, Any]] = await told(client.history(refresh))
    assert history[0]["userId"] == SeedUser(ADA).user_id
    assert history[0]["selectedTenant"] == "acme"
    assert history[0]["loginTime"] >= history[-1]["loginTime"] > 0


async def test_logout(client: Client) -> None:
    """After a logout only the session JWT is left, until it expires."""
    signed_in = await sign_in(client)
    session, refresh = (signed_in[name]["jwt"] for name in ("sessionToken", "refreshSessionToken"))
    await told(client.logout(refresh))
    for question in (client.refresh_session, client.me, client.history):
        with pytest.raises(AuthException) as caught:
            await told(question(refresh))
        assert error_of(caught) == (401, "E064001")
    assert (await told(client.validate_session(session)))["dct"] == "acme"


async def test_logout_everywhere(client: Client) -> None:
    """Logging out everywhere ends the other session too."""
    first, second = [(await sign_in(client))["refreshSessionToken"]["jwt"] for _ in range(2)]
    await told(client.logout_all(first))
    with pytest.raises(AuthException) as caught:
        await told(client.me(second))
    assert error_of(caught) == (401, "E064001")


async def test_step_up(client: Client) -> None:
    """A step-up marks the session alone; custom claims of the client are nested."""
    refresh = (await sign_in(client))["refreshSessionToken"]["jwt"]
    options = LoginOptions(stepup=True, custom_claims={"plan": "gold"})
    response = await sign_in(client, login_options=options, refresh_token=refresh)
    assert response["sessionToken"]["su"] is True
    assert response["sessionToken"]["nsec"] == {"plan": "gold"}
    assert "su" not in response["refreshSessionToken"]
    renewed = await told(client.refresh_session(response["refreshSessionToken"]["jwt"]))
    assert "su" not in renewed["sessionToken"]


async def test_second_factor(client: Client) -> None:
    """A second factor is added to the ways in which she proved who she is."""
    refresh = (await sign_in(client))["refreshSessionToken"]["jwt"]
    response = await sign_in(client, login_options=LoginOptions(mfa=True), refresh_token=refresh)
    assert set(response["sessionToken"]["amr"]) == {"fed", "mfa"}


async def test_revoking_other_sessions(client: Client) -> None:
    """A login can end the sessions that the user had before."""
    before = (await sign_in(client, login_id=GRACE))["refreshSessionToken"]["jwt"]
    await sign_in(client, login_id=GRACE, login_options=LoginOptions(revoke_other_sessions=True))
    with pytest.raises(AuthException) as caught:
        await told(client.refresh_session(before))
    assert error_of(caught) == (401, "E064001")


async def test_access_key(client: Client) -> None:
    """A machine gets a session of its own, with its roles, and nothing to refresh it with."""
    options = AccessKeyLoginOptions(custom_claims={"job": "nightly"})
    response = await told(client.exchange_access_key(ACCESS_KEY, login_options=options))
    claims = await told(client.validate_session(response["sessionToken"]["jwt"]))
    assert response["keyId"] == claims["sub"] == "K2EMULATORnightlyReports0001"
    assert client.validate_roles(claims, ["reporter"])
    assert client.validate_permissions(claims, ["reports.read"])
    assert claims["nsec"] == {"job": "nightly"}
    assert "refreshSessionToken" not in response


async def test_wrong_access_key(client: Client) -> None:
    """A key that nobody made is refused by its own code."""
    with pytest.raises(AuthException) as caught:
        await told(client.exchange_access_key("nonsense"))
    assert error_of(caught) == (401, "E062803")


async def test_enchanted_link_is_pending(client: Client) -> None:
    """A link that nobody has clicked yet is refused with the code that SDKs poll on."""
    with pytest.raises(AuthException) as caught:
        await told(client.enchantedlink.get_session("nobody-clicked-this"))
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
    """An unknown tenant, no place to return to, one that is not approved, an unknown configuration."""
    with pytest.raises(AuthException) as caught:
        await told(client.sso.start(tenant, callback, sso_id=sso_id))
    assert error_of(caught) == (400, code)


async def test_a_code_works_once(client: Client) -> None:
    """The second exchange of a code is refused, as is one of a code that never was."""
    back = choose((await told(client.sso.start("acme", CALLBACK)))["url"], ADA)
    await told(client.sso.exchange_token(back.params["code"]))
    for code in (back.params["code"], "nonsense"):
        with pytest.raises(AuthException) as caught:
            await told(client.sso.exchange_token(code))
        assert error_of(caught) == (400, "E061301")


async def test_base_url_with_a_slash(connect: Connect, typed_emulator: str) -> None:
    """The SDK does not strip the slash at the end, so its paths begin with two."""
    client = connect(f"{typed_emulator}/")
    response = await sign_in(client)
    assert (await told(client.validate_session(response["sessionToken"]["jwt"])))["dct"] == "acme"


async def test_tampered_tokens(client: Client) -> None:
    """The published keys verify what was signed and nothing else."""
    session: str = (await sign_in(client))["sessionToken"]["jwt"]
    head, body, seal = session.split(".")
    flipped = "A" if seal[9] != "A" else "B"
    with pytest.raises(Exception, match="Signature verification failed"):
        await told(client.validate_session(f"{head}.{body}.{seal[:9]}{flipped}{seal[10:]}"))
