"""The published Python SDK, unmodified, against the emulator on a real socket.

What Descope's own client takes for an answer is the best evidence at hand that the emulator speaks as
Descope does.
"""

# The SDK is typed with bare dicts: what is in them is what these tests are about.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx
import pytest
from descope import (
    AuthException,
    DescopeClient,
    DescopeClientAsync,
    LoginOptions,
    RateLimitException,
)

from fastapi_descope.emulator import DEFAULT_PROJECT_ID, Emulator, Project, User
from fastapi_descope.emulator.server import running

ADA = "ada@acme.example"
CALLBACK = "http://localhost:8000/callback?state=xyz"

Serve = Callable[..., tuple[Emulator, str]]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts an emulator with a project; the value is the emulator and its base URL."""
    with ExitStack() as stack:

        def start(project: Project | None = None) -> tuple[Emulator, str]:
            emulator = Emulator(project)
            return emulator, stack.enter_context(running(emulator))

        yield start


def _choose(page_url: str, user: str | None) -> httpx.URL:
    """Press a user's button on the sign-in page, or refuse; the value is where the browser is sent."""
    with httpx.Client() as browser:
        page = browser.get(page_url)
        token = re.search(r'name="form_token" value="([^"]+)"', page.text)
        assert token is not None
        choice = {"refuse": "yes"} if user is None else {"user": User(user).user_id}
        answer = browser.post(page_url, data={"form_token": token[1]} | choice)
    assert answer.status_code == 303
    return httpx.URL(answer.headers["location"])


def _code(caught: pytest.ExceptionInfo[AuthException]) -> tuple[object, object]:
    """HTTP status and Descope's error code of what the SDK raised."""
    error = caught.value
    return error.status_code, json.loads(str(error.error_message))["errorCode"]


def _signed_in(client: DescopeClient) -> tuple[str, str]:
    """Sign Ada in through the tenant "acme"; the values are her session and refresh JWT."""
    back = _choose(client.sso.start(tenant="acme", return_url=CALLBACK)["url"], ADA)
    answer = client.sso.exchange_token(back.params["code"])
    return answer["sessionToken"]["jwt"], answer["refreshSessionToken"]["jwt"]


def test_sign_in(serve: Serve) -> None:
    """From the start of SSO to a session with the tenant it went through, and what she holds there."""
    _, base_url = serve()
    client = DescopeClient(project_id=DEFAULT_PROJECT_ID, base_url=base_url)
    started = client.sso.start(tenant="acme", return_url=CALLBACK, login_hint=ADA, force_authn=True)
    back = _choose(started["url"], ADA)
    assert back.params["state"] == "xyz"
    signed_in = client.sso.exchange_token(back.params["code"])
    assert signed_in["firstSeen"] is True
    assert signed_in["projectId"] == DEFAULT_PROJECT_ID
    assert signed_in["userId"] == signed_in["user"]["userId"] == User(ADA).user_id
    claims = client.validate_session(signed_in["sessionToken"]["jwt"])
    assert claims["dct"] == "acme"
    assert client.validate_tenant_roles(claims, "acme", ["admin"])
    assert not client.validate_tenant_roles(claims, "globex", ["admin"])
    assert client.validate_tenant_permissions(claims, "globex", ["reports.read"])


def test_renewal(serve: Serve) -> None:
    """A refresh keeps tenant and refresh token; a live session is not refreshed."""
    emulator, base_url = serve()
    client = DescopeClient(project_id=DEFAULT_PROJECT_ID, base_url=base_url)
    session, refresh = _signed_in(client)
    renewed = client.refresh_session(refresh)
    assert renewed["sessionToken"]["dct"] == "acme"
    assert renewed["refreshSessionToken"]["jwt"] == refresh
    assert client.validate_and_refresh_session(session, refresh)["sessionToken"]["sub"] == User(ADA).user_id
    assert emulator.requests.count("refresh") == 1


def test_switch(serve: Serve) -> None:
    """Another tenant is in both new tokens, and stays through refreshes."""
    _, base_url = serve()
    client = DescopeClient(project_id=DEFAULT_PROJECT_ID, base_url=base_url)
    _, refresh = _signed_in(client)
    switched = client.select_tenant("globex", refresh)
    assert switched["sessionToken"]["dct"] == switched["refreshSessionToken"]["dct"] == "globex"
    moved = switched["refreshSessionToken"]["jwt"]
    assert client.refresh_session(moved)["sessionToken"]["dct"] == "globex"
    with pytest.raises(AuthException) as caught:
        client.select_tenant("umbrella", moved)
    assert _code(caught) == (403, "E011004")


def test_questions_and_logout(serve: Serve) -> None:
    """Who she is, where she belongs and when she came; after the logout only her session JWT is left."""
    _, base_url = serve()
    client = DescopeClient(project_id=DEFAULT_PROJECT_ID, base_url=base_url)
    session, refresh = _signed_in(client)
    assert client.me(refresh)["loginIds"] == [ADA]
    assert [one["id"] for one in client.my_tenants(refresh, dct=True)["tenants"]] == ["acme"]
    assert [one["id"] for one in client.my_tenants(refresh, ids=["globex"])["tenants"]] == ["globex"]
    assert [one["selectedTenant"] for one in client.history(refresh)] == ["acme"]
    client.logout(refresh)
    with pytest.raises(AuthException) as caught:
        client.refresh_session(refresh)
    assert _code(caught) == (401, "E064001")
    assert client.validate_session(session)["dct"] == "acme"


def test_saml_names(serve: Serve) -> None:
    """The older names of the same calls work alike."""
    _, base_url = serve()
    client = DescopeClient(project_id=DEFAULT_PROJECT_ID, base_url=base_url)
    back = _choose(client.saml.start(tenant="acme", return_url=CALLBACK)["url"], ADA)
    assert client.saml.exchange_token(back.params["code"])["sessionToken"]["dct"] == "acme"


def test_refusal_and_bad_code(serve: Serve) -> None:
    """A refusal brings no code, and a code that is none is refused."""
    _, base_url = serve()
    client = DescopeClient(project_id=DEFAULT_PROJECT_ID, base_url=base_url)
    back = _choose(client.sso.start(tenant="acme", return_url=CALLBACK)["url"], None)
    assert back.params["err"] == back.params["error"] == "access_denied"
    assert "code" not in back.params
    with pytest.raises(AuthException) as caught:
        client.sso.exchange_token("nonsense")
    assert _code(caught) == (400, "E061301")


def test_step_up(serve: Serve) -> None:
    """Login options of the SDK reach the session: step-up marks it, custom claims are nested."""
    emulator, base_url = serve()
    client = DescopeClient(project_id=DEFAULT_PROJECT_ID, base_url=base_url)
    refresh = emulator.issue(ADA, "acme").refresh_jwt
    options = LoginOptions(stepup=True, custom_claims={"plan": "gold"})
    started = client.sso.start(
        tenant="acme", return_url=CALLBACK, login_options=options, refresh_token=refresh
    )
    signed_in = client.sso.exchange_token(_choose(started["url"], ADA).params["code"])
    assert signed_in["sessionToken"]["su"] is True
    assert signed_in["sessionToken"]["nsec"] == {"plan": "gold"}
    assert "su" not in signed_in["refreshSessionToken"]


def test_rotation_and_reuse(serve: Serve) -> None:
    """The SDK hands out the rotated token; the old one ends the family."""
    emulator, base_url = serve(Project(rotate_refresh=True))
    client = DescopeClient(project_id=DEFAULT_PROJECT_ID, base_url=base_url)
    old = emulator.issue(ADA).refresh_jwt
    new = client.refresh_session(old)["refreshSessionToken"]["jwt"]
    assert new != old
    for token in (old, new):
        with pytest.raises(AuthException) as caught:
            client.refresh_session(token)
        assert _code(caught) == (400, "E064006")


def test_logout_everywhere(serve: Serve) -> None:
    """Logging out everywhere ends the other session too."""
    emulator, base_url = serve()
    client = DescopeClient(project_id=DEFAULT_PROJECT_ID, base_url=base_url)
    first, second = (emulator.issue(ADA).refresh_jwt for _ in range(2))
    client.logout_all(first)
    with pytest.raises(AuthException) as caught:
        client.me(second)
    assert _code(caught) == (401, "E064001")


def test_key_rotation(serve: Serve) -> None:
    """The SDK finds the new key by itself, and loses the old one when it is dropped."""
    emulator, base_url = serve()
    client = DescopeClient(project_id=DEFAULT_PROJECT_ID, base_url=f"{base_url}/")
    old = emulator.issue(ADA).session_jwt
    client.validate_session(old)
    emulator.rotate_keys(keep_old=False)
    client.validate_session(emulator.issue(ADA).session_jwt)
    with pytest.raises(AuthException, match="Public key not found"):
        client.validate_session(old)


def test_expired_session_is_renewed(serve: Serve) -> None:
    """An expired session token makes the SDK refresh, and it accepts what comes back."""
    emulator, base_url = serve()
    client = DescopeClient(project_id=DEFAULT_PROJECT_ID, base_url=base_url)
    pair = emulator.issue(ADA, session_seconds=-60)
    with pytest.raises(AuthException):
        client.validate_session(pair.session_jwt)
    renewed = client.validate_and_refresh_session(pair.session_jwt, pair.refresh_jwt)
    assert client.validate_session(renewed["sessionToken"]["jwt"])["sub"] == User(ADA).user_id
    assert emulator.requests.count("refresh") == 1


@pytest.mark.parametrize(
    "project", [Project(), Project(issuer="url"), Project(issuer="app"), Project(audience=DEFAULT_PROJECT_ID)]
)
def test_token_forms(serve: Serve, project: Project) -> None:
    """The SDK reads the project id out of every issuer form, and accepts the project as audience."""
    emulator, base_url = serve(project)
    client = DescopeClient(project_id=DEFAULT_PROJECT_ID, base_url=base_url)
    assert client.validate_session(emulator.issue(ADA).session_jwt)["projectId"] == DEFAULT_PROJECT_ID


def test_rate_limit(serve: Serve) -> None:
    """The SDK recognises a rate limit and reads when to come back."""
    emulator, base_url = serve()
    client = DescopeClient(project_id=DEFAULT_PROJECT_ID, base_url=base_url)
    emulator.faults.add("authorize", status=429, retry_after=7)
    with pytest.raises(RateLimitException) as caught:
        client.sso.start(tenant="acme", return_url=CALLBACK)
    assert str(caught.value.status_code) == "E130429"
    assert caught.value.rate_limit_parameters == {"Retry-After": 7}


def test_management_keys(serve: Serve) -> None:
    """With both keys configured the SDK gets its license tier and is let in; without, it is not."""
    emulator, base_url = serve(Project(auth_management_key="for-auth", management_key="for-management"))
    refresh = emulator.issue(ADA).refresh_jwt
    keyed = DescopeClient(
        project_id=DEFAULT_PROJECT_ID,
        base_url=base_url,
        auth_management_key="for-auth",
        management_key="for-management",
    )
    assert keyed.me(refresh)["loginIds"] == [ADA]
    assert [call.status for call in emulator.requests.to("license")] == [200]
    with pytest.raises(AuthException) as caught:
        DescopeClient(project_id=DEFAULT_PROJECT_ID, base_url=base_url).me(refresh)
    assert _code(caught) == (401, "E011003")


@pytest.mark.anyio
async def test_async_client(serve: Serve) -> None:
    """The asynchronous client of the SDK goes the same way."""
    _, base_url = serve()
    async with DescopeClientAsync(project_id=DEFAULT_PROJECT_ID, base_url=base_url) as client:
        started = await client.sso.start(tenant="acme", return_url=CALLBACK)
        back = _choose(started["url"], ADA)
        signed_in = await client.sso.exchange_token(back.params["code"])
        refresh = signed_in["refreshSessionToken"]["jwt"]
        assert (await client.validate_session(signed_in["sessionToken"]["jwt"]))["dct"] == "acme"
        assert (await client.refresh_session(refresh))["sessionToken"]["dct"] == "acme"
        switched = await client.select_tenant("globex", refresh)
        assert switched["sessionToken"]["dct"] == "globex"
        assert (await client.me(refresh))["loginIds"] == [ADA]
        await client.logout(refresh)
        with pytest.raises(AuthException) as caught:
            await client.refresh_session(refresh)
    assert _code(caught) == (401, "E064001")
