"""An emulator for one exchange of the record, and the situations that precede exchanges."""

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import cache
from html import unescape

import httpx
from jose import jwt

from fastapi_descope.emulator import AccessKey, Emulator, Grants, SigningKey
from tests.helpers.full_project import FULL_PROJECT
from tests.helpers.tampering import encode, with_segment

from .wire_record import RecordedRequest, fill_placeholders, sdks

__all__ = ["CALLBACK", "SITUATIONS", "ContractSetup", "signing_key"]

CALLBACK = "http://localhost:8000/callback?state=xyz"
_ADA = "ada@acme.example"
_GRACE = "grace@acme.example"
_FORM_TOKEN = re.compile(r'name="form_token" value="([^"]+)"')

Values = Mapping[str, str]


@cache
def signing_key(name: str) -> SigningKey:
    """Return one key for each name. Generating a key takes longer than most tests."""
    return SigningKey.generate()


class ContractSetup:
    """An emulator with a client of it."""

    def __init__(self, emulator: Emulator, client: httpx.AsyncClient, origin: str) -> None:
        self.emulator = emulator
        self._client = client
        self._origin = origin

    async def send(self, request: RecordedRequest, values: Values) -> httpx.Response:
        """Send a recorded request with its SDK's headers and with its placeholders replaced."""
        method, _, path = request.call.partition(" ")
        headers = {**sdks()[request.by].headers, **request.headers}
        if request.bearer is not None:
            headers["authorization"] = f"Bearer {request.bearer}"
        if request.cookie is not None:
            headers["cookie"] = request.cookie
        text = json.dumps(request.body) if request.body is not None else request.text
        return await self._client.request(
            method,
            self._origin + str(fill_placeholders(path, values)),
            params={name: str(fill_placeholders(value, values)) for name, value in request.query.items()},
            headers={name: str(fill_placeholders(value, values)) for name, value in headers.items()},
            content=None if text is None else str(fill_placeholders(text, values)),
        )

    async def login_code(self, token: str = "", **options: object) -> str:
        """Return the code of a login of Ada with these login options."""
        bearer = ":".join(filter(None, (self.emulator.project_id, token)))
        started = await self._client.post(
            f"{self._origin}/v1/auth/sso/authorize",
            params={"tenant": "acme", "redirectURL": CALLBACK},
            headers={"authorization": f"Bearer {bearer}"},
            json=options,
        )
        return (await self.submit_sign_in_page(started.json()["url"])).params["code"]

    async def submit_sign_in_page(self, url: str) -> httpx.URL:
        """Press Ada's button on the sign-in page and return the URL of the redirect."""
        page = await self._client.get(url)
        form_token = _FORM_TOKEN.search(page.text)
        assert form_token, page.text
        ada = self.emulator.project.find_user(_ADA)
        assert ada
        form = {"form_token": unescape(form_token[1]), "user": ada.user_id}
        response = await self._client.post(page.url, data=form)
        return httpx.URL(response.headers.get("location", ""))


async def _nothing(setup: ContractSetup) -> Values:
    return {}


async def _a_session(setup: ContractSetup) -> Values:
    session, refresh = setup.emulator.issue(_ADA, "acme")
    return {"session": session, "refresh": refresh}


async def _a_stepped_up_session(setup: ContractSetup) -> Values:
    session, refresh = setup.emulator.issue(_ADA, "acme", step_up=True)
    return {"session": session, "refresh": refresh}


async def _a_code(setup: ContractSetup) -> Values:
    return {"code": await setup.login_code()}


async def _a_code_with_custom_claims(setup: ContractSetup) -> Values:
    return {"code": await setup.login_code(customClaims={"plan": "gold"})}


async def _a_step_up_code(setup: ContractSetup) -> Values:
    return {"code": await setup.login_code((await _a_session(setup))["refresh"], stepup=True)}


async def _an_mfa_code(setup: ContractSetup) -> Values:
    return {"code": await setup.login_code((await _a_session(setup))["refresh"], mfa=True)}


async def _a_used_code(setup: ContractSetup) -> Values:
    values = await _a_code(setup)
    used = await _call(setup, "POST /v1/auth/sso/exchange", "{project}", values, {"code": "{code}"})
    assert used.status_code == 200
    return values


async def _a_session_logged_out(setup: ContractSetup) -> Values:
    values = await _a_session(setup)
    assert (await _call(setup, "POST /v1/auth/logout", "{project}:{refresh}", values)).status_code == 200
    return values


async def _a_replaced_refresh_token(setup: ContractSetup) -> Values:
    """The replaced token was also used again, so its whole token family is revoked."""
    values = await _a_session(setup)
    refreshed = await _call(setup, "POST /v1/auth/refresh", "{project}:{refresh}", values)
    reused = await _call(setup, "POST /v1/auth/refresh", "{project}:{refresh}", values)
    assert (refreshed.status_code, reused.is_client_error) == (200, True)
    return {**values, "heir": refreshed.json()["refreshJwt"]}


async def _no_refresh_tokens(setup: ContractSetup) -> Values:
    values = await _a_session(setup)
    project, clock = setup.emulator.project, setup.emulator.clock
    other_emulator = Emulator(project, clock=clock, signing_key=signing_key("other"))
    clock.advance(-project.refresh_seconds)
    expired = setup.emulator.issue(_ADA, "acme").refresh_jwt
    clock.advance(project.refresh_seconds)
    return {
        "session": values["session"],
        "tampered": _tamper(values["refresh"]),
        "foreign": other_emulator.issue(_ADA, "acme").refresh_jwt,
        "expired": expired,
    }


async def _no_sessions(setup: ContractSetup) -> Values:
    values = await _a_session(setup)
    other_emulator = Emulator(
        setup.emulator.project, clock=setup.emulator.clock, signing_key=signing_key("other")
    )
    return {
        "refresh": values["refresh"],
        "tampered": _tamper(values["session"]),
        "foreign": other_emulator.issue(_ADA, "acme").session_jwt,
        "expired": setup.emulator.issue(_ADA, "acme", session_seconds=-60).session_jwt,
    }


async def _a_social_code(setup: ContractSetup) -> Values:
    call = "POST /v1/auth/oauth/authorize"
    query = {"provider": "google", "redirectURL": CALLBACK}
    started = await _call(setup, call, "{project}", {}, query=query)
    return {"code": (await setup.submit_sign_in_page(started.json()["url"])).params["code"]}


async def _a_pending_notp(setup: ContractSetup) -> Values:
    return {"pending": (await _started_notp(setup))["pendingRef"]}


async def _a_confirmed_notp(setup: ContractSetup) -> Values:
    started = await _started_notp(setup)
    await setup.submit_sign_in_page(started["redirectUrl"])
    return {"pending": started["pendingRef"]}


async def _started_notp(setup: ContractSetup) -> dict[str, str]:
    started = await _call(setup, "POST /v1/auth/notp/whatsapp/signup-in", "{project}", {}, {"loginId": _ADA})
    body: dict[str, str] = started.json()
    return body


async def _a_code_of_a_full_user(setup: ContractSetup) -> Values:
    setup.emulator.project = FULL_PROJECT
    return await _a_code(setup)


async def _a_session_of_a_full_user(setup: ContractSetup) -> Values:
    values = await _a_code_of_a_full_user(setup)
    signed_in = await _call(setup, "POST /v1/auth/sso/exchange", "{project}", values, {"code": "{code}"})
    return {"refresh": signed_in.json()["refreshJwt"]}


async def _a_confirmed_notp_of_a_full_user(setup: ContractSetup) -> Values:
    setup.emulator.project = FULL_PROJECT
    return await _a_confirmed_notp(setup)


async def _an_enchanted_link(setup: ContractSetup) -> Values:
    call, key = "POST /v1/mgmt/tests/generate/enchantedlink", setup.emulator.project.management_key
    link = (await _call(setup, call, f"{{project}}:{key}", {}, {"loginId": _ADA, "URI": "{callback}"})).json()
    return {"pending": link["pendingRef"], "link_token": httpx.URL(link["link"]).params["t"]}


async def _a_followed_link(setup: ContractSetup) -> Values:
    values = await _an_enchanted_link(setup)
    call = "POST /v1/auth/enchantedlink/verify"
    assert (await _call(setup, call, "{project}", values, {"token": "{link_token}"})).status_code == 200
    return values


async def _an_access_key(setup: ContractSetup) -> Values:
    """Also creates an expired access key."""
    grants = {"acme": Grants(("viewer",), ("reports.read",))}
    good = AccessKey("K2recorded", "good-secret", tenants=grants)
    expired = AccessKey("K2expired", "expired-secret", tenants=grants, expires_at=1)
    setup.emulator.project = replace(setup.emulator.project, access_keys=(good, expired))
    return {"access_key": good.secret, "expired_key": expired.secret}


async def _an_impersonated_session(setup: ContractSetup) -> Values:
    """Also lets Grace impersonate users."""
    project = setup.emulator.project
    grace = project.find_user(_GRACE)
    assert grace is not None
    setup.emulator.project = project.with_user(replace(grace, permissions=("Impersonate",)))
    issued = setup.emulator.issue(_ADA, actor=_GRACE)
    return {"impersonator": grace.user_id, "impersonated": issued.refresh_jwt}


async def _a_rate_limit(setup: ContractSetup) -> Values:
    setup.emulator.faults.add("*", status=429, retry_after=7)
    return {}


async def _call(
    setup: ContractSetup,
    call: str,
    bearer: str,
    values: Values,
    body: dict[str, object] | None = None,
    query: dict[str, str] | None = None,
) -> httpx.Response:
    sent = RecordedRequest(
        by="PY", certainty="measured", call=call, bearer=bearer, body=body or {}, query=query or {}
    )
    known = {"project": setup.emulator.project_id, "callback": CALLBACK}
    return await setup.send(sent, {**values, **known})


def _tamper(token: str) -> str:
    """Return the token with another tenant and the old signature."""
    claims = {**jwt.get_unverified_claims(token), "dct": "globex"}
    return with_segment(token, 1, encode(json.dumps(claims).encode()))


SITUATIONS: Mapping[str, Callable[[ContractSetup], Awaitable[Values]]] = {
    "nothing": _nothing,
    "a session": _a_session,
    "a stepped-up session": _a_stepped_up_session,
    "a code": _a_code,
    "a code with custom claims": _a_code_with_custom_claims,
    "a step-up code": _a_step_up_code,
    "an MFA code": _an_mfa_code,
    "a used code": _a_used_code,
    "a session that was logged out": _a_session_logged_out,
    "a refresh token that was replaced": _a_replaced_refresh_token,
    "tokens that are no refresh tokens": _no_refresh_tokens,
    "tokens that are no sessions": _no_sessions,
    "a social code": _a_social_code,
    "a pending nOTP": _a_pending_notp,
    "a confirmed nOTP": _a_confirmed_notp,
    "a code of a user with every field": _a_code_of_a_full_user,
    "a session of a user with every field": _a_session_of_a_full_user,
    "a confirmed nOTP of a user with every field": _a_confirmed_notp_of_a_full_user,
    "an enchanted link": _an_enchanted_link,
    "an enchanted link that was followed": _a_followed_link,
    "an access key": _an_access_key,
    "an impersonated session": _an_impersonated_session,
    "a rate limit": _a_rate_limit,
}
"""Prepares the emulator for each situation that the record names, and returns values for placeholders."""
