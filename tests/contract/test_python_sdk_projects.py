"""Descope's published Python SDK against projects with other options, and against failures."""

# The SDK is typed with bare dicts; these tests check their content.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false

from collections.abc import Callable

import httpx
import pytest
from descope import AccessKeyLoginOptions, AuthException, LoginOptions, RateLimitException
from jwt import InvalidAudienceError

from fastapi_descope.emulator import DEFAULT_PROJECT_ID, Project, SeedUser
from tests.contract.conftest import TENANT_KEY, Connect, Serve
from tests.contract.python_sdk import ADA, CALLBACK, error_of, resolve, sign_in
from tests.contract.wire_record import pages
from tests.contract.wire_shapes import values_at
from tests.helpers.full_project import FULL_PROJECT

pytestmark = [pytest.mark.anyio, pytest.mark.sdk("python")]

TOKEN_FORMS = (
    Project(),
    Project(issuer="url"),
    Project(issuer="app"),
    Project(issuer="agentic"),
    Project(audience=DEFAULT_PROJECT_ID),
    Project(audience=("another", DEFAULT_PROJECT_ID)),
    Project(override_subject=True),
    Project(session_jti=True),
)


async def test_every_field_of_the_user_object(serve: Serve, connect: Connect) -> None:
    """The SDK returns the user object as it is: after a login, for the profile and after a tenant switch."""
    _, base_url = serve(FULL_PROJECT)
    client = connect(base_url)
    response = await sign_in(client)
    user, refresh = response["user"], response["refreshSessionToken"]["jwt"]
    recorded = pages()["tenant-select"]["POST /v1/auth/tenant/select"].response
    named = [path for path in recorded if path.startswith("user.")]
    assert [path for path in named if not values_at({"user": user}, path)] == []
    assert (user["middleName"], user["externalIds"], user["OAuth"]) == (
        "King",
        ["hr-4711"],
        {"google": True, "github": False},
    )
    assert user == await resolve(client.me(refresh))
    assert user == (await resolve(client.select_tenant("globex", refresh)))["user"]


async def test_cookie_fields(serve: Serve, connect: Connect) -> None:
    """The SDK returns what the project says about the refresh cookie."""
    _, base_url = serve(FULL_PROJECT)
    data = (await sign_in(connect(base_url)))["cookieData"]
    assert (data["domain"], data["path"]) == ("acme.example", "/")
    assert 0 < data["maxAge"] <= 28 * 24 * 3600 < data["exp"]


async def test_rotation_and_reuse(serve: Serve, connect: Connect) -> None:
    """The SDK returns the rotated token. Reuse of the old one ends the token family."""
    emulator, base_url = serve(Project(rotate_refresh=True))
    client = connect(base_url)
    old = emulator.issue(ADA).refresh_jwt
    new = (await resolve(client.refresh_session(old)))["refreshSessionToken"]["jwt"]
    assert new != old
    for token in (old, new):
        with pytest.raises(AuthException) as caught:
            await resolve(client.refresh_session(token))
        assert error_of(caught) == (400, "E064006")


async def test_key_rotation(serve: Serve, connect: Connect) -> None:
    """The SDK fetches the new key for an unknown kid, and does not verify with a removed key."""
    emulator, base_url = serve()
    client = connect(base_url)
    old = emulator.issue(ADA).session_jwt
    await resolve(client.validate_session(old))
    emulator.rotate_keys(keep_old=False)
    await resolve(client.validate_session(emulator.issue(ADA).session_jwt))
    with pytest.raises(AuthException, match="Public key not found"):
        await resolve(client.validate_session(old))


async def test_a_valid_session_is_not_refreshed(serve: Serve, connect: Connect) -> None:
    """``validate_and_refresh_session`` keeps a valid session."""
    emulator, base_url = serve()
    pair = emulator.issue(ADA)
    kept = await resolve(connect(base_url).validate_and_refresh_session(pair.session_jwt, pair.refresh_jwt))
    assert kept["sessionToken"]["jwt"] == pair.session_jwt
    assert emulator.requests.count("refresh") == 0


async def test_an_expired_session_is_refreshed(serve: Serve, connect: Connect) -> None:
    """The SDK refreshes an expired session token and accepts the new one."""
    emulator, base_url = serve()
    client = connect(base_url)
    pair = emulator.issue(ADA, session_seconds=-60)
    with pytest.raises(AuthException, match="expired"):
        await resolve(client.validate_session(pair.session_jwt))
    renewed = await resolve(client.validate_and_refresh_session(pair.session_jwt, pair.refresh_jwt))
    assert (await resolve(client.validate_session(renewed["sessionToken"]["jwt"])))["sub"] == SeedUser(
        ADA
    ).user_id
    assert emulator.requests.count("refresh") == 1


async def test_token_forms(serve: Serve, connect: Connect) -> None:
    """The SDK accepts every form of issuer, audience and subject."""
    emulator, base_url = serve()
    client = connect(base_url)
    for project in TOKEN_FORMS:
        emulator.project = project
        claims = await resolve(client.validate_session(emulator.issue(ADA).session_jwt))
        assert claims["userId"] == SeedUser(ADA).user_id
        if project.issuer != "agentic":  # the SDK reads the last segment of a URL as the project id
            assert claims["projectId"] == DEFAULT_PROJECT_ID


async def test_a_required_audience(serve: Serve, connect: Connect) -> None:
    """The SDK checks the audience that the application requires."""
    emulator, base_url = serve(Project(audience="notes-api"))
    client = connect(base_url)
    session = emulator.issue(ADA).session_jwt
    assert (await resolve(client.validate_session(session, "notes-api")))["aud"] == "notes-api"
    with pytest.raises(InvalidAudienceError, match="Audience doesn't match"):
        await resolve(client.validate_session(session, "another-api"))


async def test_tenant_only_schema(serve: Serve, connect: Connect) -> None:
    """Without a ``tenants`` claim, roles are top-level claims, which the SDK reads only without a tenant."""
    _, base_url = serve(Project(auth_schema="tenantOnly"))
    client = connect(base_url)
    claims = (await sign_in(client))["sessionToken"]
    assert "tenants" not in claims or claims["tenants"] == {}
    assert client.validate_roles(claims, ["admin"])
    assert not client.validate_tenant_roles(claims, "acme", ["admin"])


async def test_inactivity(serve: Serve, connect: Connect) -> None:
    """A refresh after too long an inactivity is refused, although the refresh token has not expired."""
    emulator, base_url = serve(Project(inactivity_seconds=600))
    client = connect(base_url)
    refresh = emulator.issue(ADA).refresh_jwt
    emulator.clock.advance(-601)
    idle = emulator.issue(ADA).refresh_jwt
    emulator.clock.advance(601)
    assert (await resolve(client.refresh_session(refresh)))["sessionToken"]["sub"] == SeedUser(ADA).user_id
    with pytest.raises(AuthException) as caught:
        await resolve(client.refresh_session(idle))
    assert error_of(caught) == (401, "E061005")


async def test_refresh_token_in_a_cookie(serve: Serve, connect: Connect) -> None:
    """The SDK reads the refresh token from Set-Cookie if no body has it, and sends it as a bearer."""
    _, base_url = serve(Project(refresh_token_in="cookie"))
    client = connect(base_url)
    response = await sign_in(client)
    refresh = response["refreshSessionToken"]["jwt"]
    assert response["refreshSessionToken"]["drn"] == "DSR"
    switched = await resolve(client.select_tenant("globex", refresh))
    moved = switched["refreshSessionToken"]["jwt"]
    assert (await resolve(client.refresh_session(moved)))["sessionToken"]["dct"] == "globex"
    await resolve(client.logout(moved))
    with pytest.raises(AuthException) as caught:
        await resolve(client.refresh_session(moved))
    assert error_of(caught) == (401, "E064001")


async def test_both_tokens_in_cookies(serve: Serve, connect: Connect) -> None:
    """A known gap of the SDK: it reads the refresh token from its cookie, but not the session token."""
    _, base_url = serve(Project(session_token_in="cookie", refresh_token_in="cookie"))
    client = connect(base_url)
    response = await sign_in(client)
    assert "sessionToken" not in response
    renewed = await resolve(client.refresh_session(response["refreshSessionToken"]["jwt"]))
    assert "sessionToken" not in renewed
    assert renewed["refreshSessionToken"]["drn"] == "DSR"


async def test_management_keys(serve: Serve, connect: Connect) -> None:
    """If the project requires a management key, calls with the right key succeed and others fail."""
    emulator, base_url = serve(Project(auth_management_key="for-auth"))
    keyed = connect(base_url, auth_key="for-auth")
    refresh = (await sign_in(keyed))["refreshSessionToken"]["jwt"]
    assert (await resolve(keyed.me(refresh)))["loginIds"] == [ADA]
    response = await resolve(keyed.exchange_access_key("emulator-access-key"))
    assert response["sessionToken"]["sub"] == response["keyId"]
    for client in (connect(base_url), connect(base_url, auth_key="another")):
        with pytest.raises(AuthException) as caught:
            await resolve(client.me(refresh))
        assert error_of(caught) == (401, "E011003")
    assert emulator.requests.count("license") == 0


async def test_enchanted_link(serve: Serve, connect: Connect) -> None:
    """Polling gets an error code until the link is followed, then the session."""
    _, base_url = serve(Project(management_key="for-management"))
    client = connect(base_url, management_key="for-management")
    made = await resolve(client.mgmt.user.generate_enchanted_link_for_test_user(ADA, CALLBACK))
    with pytest.raises(AuthException) as caught:
        await resolve(client.enchantedlink.get_session(made["pendingRef"]))
    assert error_of(caught) == (401, "E062503")
    await resolve(client.enchantedlink.verify(httpx.URL(made["link"]).params["t"]))
    response = await resolve(client.enchantedlink.get_session(made["pendingRef"]))
    claims = await resolve(client.validate_session(response["sessionToken"]["jwt"]))
    assert claims["sub"] == response["userId"] == SeedUser(ADA).user_id


async def test_impersonation(serve: Serve, connect: Connect) -> None:
    """Support staff act as a user, with the session that the SDK refreshes to, and stop."""
    sue = SeedUser("sue@support.example", permissions=("Impersonate",))
    _, base_url = serve(Project(management_key="for-management", users=(sue, SeedUser(ADA))))
    client = connect(base_url, management_key="for-management")

    token = await resolve(client.mgmt.jwt.impersonate(sue.user_id, ADA, validate_consent=False))
    response = await resolve(client.refresh_session(token))
    claims = await resolve(client.validate_session(response["sessionToken"]["jwt"]))
    assert (claims["sub"], claims["act"]) == (SeedUser(ADA).user_id, {"sub": sue.user_id})

    own = await resolve(client.mgmt.jwt.stop_impersonation(token))
    response = await resolve(client.refresh_session(own))
    assert response["userId"] == sue.user_id
    with pytest.raises(AuthException) as caught:
        await resolve(client.mgmt.jwt.impersonate(sue.user_id, ADA, validate_consent=True))
    assert error_of(caught) == (401, "E060000")


async def test_access_key_of_a_tenant(serve: Serve, connect: Connect) -> None:
    """An access key gives a session in the requested tenant, if the key has access to it."""
    _, base_url = serve(Project(access_keys=(TENANT_KEY,)))
    client = connect(base_url)
    options = AccessKeyLoginOptions(selected_tenant="acme")
    response = await resolve(client.exchange_access_key(TENANT_KEY.secret, login_options=options))
    claims = await resolve(client.validate_session(response["sessionToken"]["jwt"]))
    assert claims["dct"] == "acme"
    assert client.validate_tenant_roles(claims, "acme", ["viewer"])
    options = AccessKeyLoginOptions(selected_tenant="globex")
    with pytest.raises(AuthException) as caught:
        await resolve(client.exchange_access_key(TENANT_KEY.secret, login_options=options))
    assert error_of(caught) == (403, "E011004")


async def test_license(serve: Serve, connect: Connect) -> None:
    """With a management key the SDK reads the license tier before its first management call."""
    emulator, base_url = serve(Project(management_key="for-management"))
    client = connect(base_url, management_key="for-management")
    with pytest.raises(AuthException) as caught:
        await resolve(client.mgmt.user.load(ADA))
    assert error_of(caught) == (404, "E011001")  # the emulator supports no other part of the management API
    assert [call.status for call in emulator.requests.for_endpoint("license")] == [200]


async def test_rate_limit(serve: Serve, connect: Connect) -> None:
    """The SDK recognises a rate limit of any call and reads Retry-After."""
    emulator, base_url = serve()
    client = connect(base_url)
    refresh = emulator.issue(ADA).refresh_jwt
    calls: dict[str, Callable[[], object]] = {
        "authorize": lambda: client.sso.start("acme", CALLBACK),
        "refresh": lambda: client.refresh_session(refresh),
        "me": lambda: client.me(refresh),
        "select": lambda: client.select_tenant("acme", refresh),
        "logout": lambda: client.logout(refresh),
    }
    for endpoint, call in calls.items():
        emulator.faults.add(endpoint, status=429, retry_after=7)
        with pytest.raises(RateLimitException) as caught:
            await resolve(call())
        assert str(caught.value.status_code) == "E130429"
        assert caught.value.rate_limit_parameters == {"Retry-After": 7}
        await resolve(call())


async def test_outage(serve: Serve, connect: Connect) -> None:
    """The SDK reports the status of a failure, and works after it."""
    emulator, base_url = serve()
    client = connect(base_url)
    refresh = emulator.issue(ADA).refresh_jwt
    emulator.faults.add("refresh", status=500)
    with pytest.raises(AuthException) as caught:
        await resolve(client.refresh_session(refresh))
    assert caught.value.status_code == 500
    assert (await resolve(client.refresh_session(refresh)))["sessionToken"]["sub"] == SeedUser(ADA).user_id


async def test_step_up_of_another_user(serve: Serve, connect: Connect) -> None:
    """A step-up in a tenant without membership is refused when it starts."""
    emulator, base_url = serve()
    refresh = emulator.issue("grace@acme.example").refresh_jwt
    with pytest.raises(AuthException) as caught:
        await sign_in(
            connect(base_url),
            tenant="globex",
            login_options=LoginOptions(stepup=True),
            refresh_token=refresh,
        )
    assert error_of(caught) == (403, "E011004")


async def test_removed_user(serve: Serve, connect: Connect) -> None:
    """A refresh for a removed user is refused with its own error code."""
    emulator, base_url = serve()
    refresh = emulator.issue(ADA).refresh_jwt
    emulator.project = Project(users=())
    with pytest.raises(AuthException) as caught:
        await resolve(connect(base_url).refresh_session(refresh))
    assert error_of(caught) == (400, "E062108")
