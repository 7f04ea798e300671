"""An emulator on a clock that stands still, and what it takes to put it into a situation of the record."""

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import cache
from html import unescape

import httpx
from jose import jwt

from fastapi_descope.emulator import AccessKey, Emulator, Grants, SigningKey
from tests.helpers.tampering import encode, with_segment

from .wire_record import Sent, filled, sdks

__all__ = ["CALLBACK", "SITUATIONS", "ContractSetup", "signing_key"]

CALLBACK = "http://localhost:8000/callback?state=xyz"
_ADA = "ada@acme.example"
_FORM_TOKEN = re.compile(r'name="form_token" value="([^"]+)"')

Values = Mapping[str, str]


@cache
def signing_key(whose: str) -> SigningKey:
    """One key for each name: making one takes longer than most tests."""
    return SigningKey.generate()


class ContractSetup:
    """An emulator, and a client for it at ``origin``."""

    def __init__(self, emulator: Emulator, client: httpx.AsyncClient, origin: str) -> None:
        self.emulator = emulator
        self._client = client
        self._origin = origin

    async def send(self, sent: Sent, values: Values) -> httpx.Response:
        """Send a request of the record, with an SDK's headers; values take the place of placeholders."""
        method, _, path = sent.call.partition(" ")
        headers = {**sdks()[sent.by].headers, **sent.headers}
        if sent.bearer is not None:
            headers["authorization"] = f"Bearer {sent.bearer}"
        if sent.cookie is not None:
            headers["cookie"] = sent.cookie
        text = json.dumps(sent.body) if sent.body is not None else sent.text
        return await self._client.request(
            method,
            self._origin + str(filled(path, values)),
            params={name: str(filled(value, values)) for name, value in sent.query.items()},
            headers={name: str(filled(value, values)) for name, value in headers.items()},
            content=None if text is None else str(filled(text, values)),
        )

    async def code(self, token: str = "", **options: object) -> str:
        """The code that Ada brings back from the sign-in page, with these login options."""
        bearer = ":".join(filter(None, (self.emulator.project_id, token)))
        started = await self._client.post(
            f"{self._origin}/v1/auth/sso/authorize",
            params={"tenant": "acme", "redirectURL": CALLBACK},
            headers={"authorization": f"Bearer {bearer}"},
            json=options,
        )
        return (await self.confirm(started.json()["url"])).params["code"]

    async def confirm(self, url: str) -> httpx.URL:
        """Press Ada's button on the sign-in page at an address; the value is where the browser is sent."""
        page = await self._client.get(url)
        form_token = _FORM_TOKEN.search(page.text)
        assert form_token, page.text
        ada = self.emulator.project.find_user(_ADA)
        assert ada
        form = {"form_token": unescape(form_token[1]), "user": ada.user_id}
        back = await self._client.post(page.url, data=form)
        return httpx.URL(back.headers.get("location", ""))


async def _nothing(stage: ContractSetup) -> Values:
    return {}


async def _a_session(stage: ContractSetup) -> Values:
    session, refresh = stage.emulator.issue(_ADA, "acme")
    return {"session": session, "refresh": refresh}


async def _a_stepped_up_session(stage: ContractSetup) -> Values:
    session, refresh = stage.emulator.issue(_ADA, "acme", step_up=True)
    return {"session": session, "refresh": refresh}


async def _a_code(stage: ContractSetup) -> Values:
    return {"code": await stage.code()}


async def _a_code_with_custom_claims(stage: ContractSetup) -> Values:
    return {"code": await stage.code(customClaims={"plan": "gold"})}


async def _a_step_up_code(stage: ContractSetup) -> Values:
    return {"code": await stage.code((await _a_session(stage))["refresh"], stepup=True)}


async def _an_mfa_code(stage: ContractSetup) -> Values:
    return {"code": await stage.code((await _a_session(stage))["refresh"], mfa=True)}


async def _a_used_code(stage: ContractSetup) -> Values:
    values = await _a_code(stage)
    used = await _do(stage, "POST /v1/auth/sso/exchange", "{project}", values, {"code": "{code}"})
    assert used.status_code == 200
    return values


async def _a_session_logged_out(stage: ContractSetup) -> Values:
    values = await _a_session(stage)
    assert (await _do(stage, "POST /v1/auth/logout", "{project}:{refresh}", values)).status_code == 200
    return values


async def _a_replaced_refresh_token(stage: ContractSetup) -> Values:
    """It was presented again, too, so that the whole family is void."""
    values = await _a_session(stage)
    renewed = await _do(stage, "POST /v1/auth/refresh", "{project}:{refresh}", values)
    again = await _do(stage, "POST /v1/auth/refresh", "{project}:{refresh}", values)
    assert (renewed.status_code, again.is_client_error) == (200, True)
    return {**values, "heir": renewed.json()["refreshJwt"]}


async def _no_refresh_tokens(stage: ContractSetup) -> Values:
    values = await _a_session(stage)
    project, clock = stage.emulator.project, stage.emulator.clock
    stranger = Emulator(project, clock=clock, signing_key=signing_key("stranger"))
    clock.advance(-project.refresh_seconds)
    expired = stage.emulator.issue(_ADA, "acme").refresh_jwt
    clock.advance(project.refresh_seconds)
    return {
        "session": values["session"],
        "tampered": _tampered(values["refresh"]),
        "foreign": stranger.issue(_ADA, "acme").refresh_jwt,
        "expired": expired,
    }


async def _no_sessions(stage: ContractSetup) -> Values:
    values = await _a_session(stage)
    stranger = Emulator(
        stage.emulator.project, clock=stage.emulator.clock, signing_key=signing_key("stranger")
    )
    return {
        "refresh": values["refresh"],
        "tampered": _tampered(values["session"]),
        "foreign": stranger.issue(_ADA, "acme").session_jwt,
        "expired": stage.emulator.issue(_ADA, "acme", session_seconds=-60).session_jwt,
    }


async def _a_social_code(stage: ContractSetup) -> Values:
    call = "POST /v1/auth/oauth/authorize"
    query = {"provider": "google", "redirectURL": CALLBACK}
    started = await _do(stage, call, "{project}", {}, query=query)
    return {"code": (await stage.confirm(started.json()["url"])).params["code"]}


async def _a_pending_notp(stage: ContractSetup) -> Values:
    return {"pending": (await _started_notp(stage))["pendingRef"]}


async def _a_confirmed_notp(stage: ContractSetup) -> Values:
    started = await _started_notp(stage)
    await stage.confirm(started["redirectUrl"])
    return {"pending": started["pendingRef"]}


async def _started_notp(stage: ContractSetup) -> dict[str, str]:
    started = await _do(stage, "POST /v1/auth/notp/whatsapp/signup-in", "{project}", {}, {"loginId": _ADA})
    answer: dict[str, str] = started.json()
    return answer


async def _an_enchanted_link(stage: ContractSetup) -> Values:
    call, key = "POST /v1/mgmt/tests/generate/enchantedlink", stage.emulator.project.management_key
    made = (await _do(stage, call, f"{{project}}:{key}", {}, {"loginId": _ADA, "URI": "{callback}"})).json()
    return {"pending": made["pendingRef"], "link_token": httpx.URL(made["link"]).params["t"]}


async def _a_followed_link(stage: ContractSetup) -> Values:
    values = await _an_enchanted_link(stage)
    call = "POST /v1/auth/enchantedlink/verify"
    assert (await _do(stage, call, "{project}", values, {"token": "{link_token}"})).status_code == 200
    return values


async def _an_access_key(stage: ContractSetup) -> Values:
    """And one that is past its time."""
    grants = {"acme": Grants(("viewer",), ("reports.read",))}
    good = AccessKey("K2recorded", "good-secret", tenants=grants)
    expired = AccessKey("K2expired", "expired-secret", tenants=grants, expires_at=1)
    stage.emulator.project = replace(stage.emulator.project, access_keys=(good, expired))
    return {"access_key": good.secret, "expired_key": expired.secret}


async def _a_rate_limit(stage: ContractSetup) -> Values:
    stage.emulator.faults.add("*", status=429, retry_after=7)
    return {}


async def _do(
    stage: ContractSetup,
    call: str,
    bearer: str,
    values: Values,
    body: dict[str, object] | None = None,
    query: dict[str, str] | None = None,
) -> httpx.Response:
    sent = Sent(by="PY", certainty="measured", call=call, bearer=bearer, body=body or {}, query=query or {})
    known = {"project": stage.emulator.project_id, "callback": CALLBACK}
    return await stage.send(sent, {**values, **known})


def _tampered(token: str) -> str:
    """The token with another tenant in it, under its old signature."""
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
    "an enchanted link": _an_enchanted_link,
    "an enchanted link that was followed": _a_followed_link,
    "an access key": _an_access_key,
    "a rate limit": _a_rate_limit,
}
"""What the record calls a situation, and how the emulator gets into it. The values are for placeholders."""
